package gguf

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"wreg/ingest/ingesttest"
	"wreg/ingest/interrupt"
)

// hole is a file of any size that holds nothing but zeros after its head. It counts
// how often it is read.
type hole struct {
	head  []byte
	reads int
}

func (h *hole) ReadAt(p []byte, off int64) (int, error) {
	h.reads++
	clear(p)
	if off < int64(len(h.head)) {
		copy(p, h.head[off:])
	}
	return len(p), nil
}

var _ io.ReaderAt = (*hole)(nil)

// TestHoles: what a file's counts may ask for is bounded whatever the file's size,
// which is a hole's, or a true one's whose count is damaged.
func TestHoles(t *testing.T) {
	const size = 1 << 40
	array := func(kind uint32, n uint64) []byte { return head(3, 0, 1).str("k").u32(9).u32(kind).u64(n).b }
	for _, c := range []struct {
		name string
		head []byte
		want string
	}{
		{"4e9 tensors", head(3, 4e9, 0).b, "4000000000 tensors cannot fit"},
		{"one tensor too many", head(3, MaxTensors+1, 0).b, "tensors exceed"},
		{"as many tensors as may be", head(3, MaxTensors, 0).b, "inside"},
		{"4e9 pairs", head(3, 0, 4e9).b, "4000000000 metadata pairs cannot fit"},
		{"one pair too many", head(3, 0, MaxPairs+1).b, "metadata pairs exceed"},
		{"strings without end", array(8, size/8-100), "cannot fit"},
		{"a million strings", array(8, 1<<20), ""},
		{"arrays without end", array(9, size/12-100), "cannot fit"},
		{"a million arrays", array(9, 1<<20), ""},
		{"numbers without end", array(10, size/8-100), "cannot fit"},
		{"a text without end", head(3, 0, 1).str("k").u32(8).u64(size - 100).b, "cannot fit"},
	} {
		r := &hole{head: c.head}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Read(t.Context(), r, size, "m.gguf")
		runtime.ReadMemStats(&after)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
		if most := MaxHeader/len((&cursor{}).back) + 10; r.reads > most {
			t.Errorf("%s: %d reads, more than %d", c.name, r.reads, most)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 256<<20 {
			t.Errorf("%s: %d MiB allocated", c.name, used>>20)
		}
	}
}

// TestInterrupted: reading ends with its context, in every loop: pairs, arrays,
// tensors, and where these lie.
func TestInterrupted(t *testing.T) {
	w := head(3, 20_000, 1).str("k").u32(9).u32(8).u64(40_000)
	for range 40_000 {
		w.b = append(w.b, 1, 0, 0, 0, 0, 0, 0, 0, 'x')
	}
	for i := range 20_000 {
		w = w.entry(fmt.Sprintf("t%05d", i), f32, 0, 0)
	}
	b := w.data(32, 0)
	ingesttest.Interrupted(t, int64(len(b)/(32<<10)+20_000/interrupt.Every), func(ctx context.Context) error {
		_, err := Read(ctx, bytes.NewReader(b), int64(len(b)), "m")
		return err
	})
}
