package ingesttest

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// failing stands for a test that Bounded fails.
type failing struct {
	testing.TB
	message string
}

func (f *failing) Helper() {}

func (f *failing) Fatalf(format string, args ...any) {
	f.message = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

var sink []byte

func TestBounded(t *testing.T) {
	for _, c := range []struct {
		name  string
		size  int
		alloc int
		want  string // part of the failure, "" for none
	}{
		{"little", 10, 1 << 20, ""},
		{"much for a small input", 10, heapFree + 1<<20, "bytes allocated for an input of 10"},
		{"as much for a large one", 1 << 20, heapFree + 1<<20, ""},
		{"more than times the large one", 1 << 20, heapFree + (heapTimes+1)<<20, "bytes allocated for an input of 1048576"},
	} {
		f := &failing{}
		done := make(chan struct{})
		go func() {
			defer close(done)
			Bounded(f, c.size, func() { sink = make([]byte, c.alloc) })
		}()
		<-done
		if !strings.Contains(f.message, c.want) || (f.message == "") != (c.want == "") {
			t.Errorf("%s: %q, want %q", c.name, f.message, c.want)
		}
	}
}
