package export

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// TestProof lets workers write the parts of a unit in any order and read back what
// they may: every part once, in order, one at a time, and none before it is written.
func TestProof(t *testing.T) {
	const Cut, workers = 64, 4
	for range 200 {
		p := proof{written: make([]bool, Cut), left: Cut}
		order := rand.Perm(Cut)
		var (
			todo, last atomic.Int32
			written    [Cut]atomic.Bool
			reading    atomic.Bool
			read       []int
			all        sync.WaitGroup
		)
		for range workers {
			all.Go(func() {
				for i := todo.Add(1) - 1; i < Cut; i = todo.Add(1) - 1 {
					written[order[i]].Store(true)
					if p.wrote(order[i]) {
						last.Add(1)
					}
					for part, ok := p.take(); ok; part, ok = p.take() {
						if reading.Swap(true) {
							t.Error("two workers read back at once")
						}
						runtime.Gosched()
						if !written[part].Load() {
							t.Errorf("part %d is read back before it is written", part)
						}
						read = append(read, part)
						reading.Store(false)
						p.give()
					}
				}
			})
		}
		all.Wait()
		if !p.proven() || last.Load() != 1 {
			t.Fatalf("proven %v after %v, last part said %d times", p.proven(), read, last.Load())
		}
		for i, part := range read {
			if i != part {
				t.Fatalf("read back in the order %v", read)
			}
		}
		if p.wrote(0); p.left != 0 {
			t.Fatalf("a part that is written twice counts twice: %d left", p.left)
		}
	}
}
