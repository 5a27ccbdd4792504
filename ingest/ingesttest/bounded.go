// Package ingesttest checks what a file of any content may cost its reader. Only tests
// use it.
//
// Most users need [Bounded] (memory and time), [Interrupted] (ends with its context),
// and [Zip], [Torch] and [NPY], which make files as right or as wrong as a test wants.
//
// Invariants: nothing depends on how busy the machine is: memory is what was allocated,
// looks at a context are counted, and what was slow is read again.
package ingesttest

import (
	"runtime"
	"testing"
	"time"
)

// What reading a file may cost, whatever the file says.
const (
	heapFree  = 64 << 20 // bytes of heap,
	heapTimes = 8        // and as many more for each byte of the file
	hang      = Cost * time.Second
)

// Bounded runs read, which reads an input of size bytes, and fails t when it takes
// too much memory or time. All that was ever allocated is an upper bound of what
// was held at once. What only took long because the machine was busy is quick when
// it is read again, so read must bear to run more than once.
func Bounded(t testing.TB, size int, read func()) {
	t.Helper()
	var before, after runtime.MemStats
	for try := 1; ; try++ {
		runtime.ReadMemStats(&before)
		start := time.Now()
		read()
		took := time.Since(start)
		runtime.ReadMemStats(&after)
		if got, limit := after.TotalAlloc-before.TotalAlloc, uint64(heapFree+heapTimes*size); got > limit {
			t.Fatalf("%d bytes allocated for an input of %d, more than %d", got, size, limit)
		}
		if took < hang {
			return
		}
		if try == 5 {
			t.Fatalf("an input of %d bytes took %v, more than %v each of %d times", size, took, hang, try)
		}
	}
}
