package ingesttest

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
)

// lag is how many more looks at a context a piece of work may take after one that
// said it is done: the readers of other files look once each.
const lag = 12

// looked is a context that counts how often it is asked whether it is done, and is
// after so many times, and with it those made of it, whose looks do not count.
type looked struct {
	context.Context
	cancel context.CancelFunc
	most   int64
	looks  atomic.Int64
}

func lookedAt(t testing.TB, most int64) *looked {
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	return &looked{Context: ctx, cancel: cancel, most: most}
}

func (c *looked) Err() error {
	if c.looks.Add(1) > c.most {
		c.cancel()
	}
	return c.Context.Err()
}

// Interrupted holds work to ending when its context does, by counting: it must look
// at least so many times on its whole way, which is the work between two looks; and
// when any of these looks says that the context is done it must fail with that,
// looking a few times more at most.
func Interrupted(t testing.TB, looks int64, work func(ctx context.Context) error) {
	t.Helper()
	c := lookedAt(t, 1<<60)
	if err := work(c); err != nil {
		t.Fatal(err)
	}
	all := c.looks.Load()
	if all < looks {
		t.Errorf("%d looks at the context, fewer than %d", all, looks)
	}
	for after := int64(0); after < all; after += max(1, all/32) {
		c := lookedAt(t, after)
		err := work(c)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("done after look %d of %d: error %v", after, all, err)
		}
		if more := c.looks.Load() - after; more > lag {
			t.Errorf("done after look %d of %d: looked %d times more", after, all, more)
		}
	}
}
