package interrupt

import (
	"context"
	"errors"
	"sync"
	"testing"
)

// What stops the workers is the error that is reported, not that they were stopped.
func TestEachReportsTheCause(t *testing.T) {
	cause := errors.New("cause")
	var started sync.WaitGroup
	started.Add(4)
	err := Each(t.Context(), 4, []int{0, 1, 2, 3}, func() func(context.Context, int) error {
		return func(ctx context.Context, i int) error {
			started.Done()
			started.Wait()
			if i == 2 {
				return cause
			}
			<-ctx.Done()
			return ctx.Err()
		}
	})
	if err != cause {
		t.Errorf("%v, want the cause", err)
	}
	ended, end := context.WithCancelCause(t.Context())
	end(cause)
	for _, items := range [][]int{nil, {1, 2}} {
		if err := Each(ended, 0, items, func() func(context.Context, int) error {
			return func(context.Context, int) error { return nil }
		}); err != cause {
			t.Errorf("%d items after the end: %v, want the cause", len(items), err)
		}
	}
}
