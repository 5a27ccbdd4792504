// Package interrupt ends loops over input when their context is done.
//
// Most users need a [Reader] where the loop reads, [Steps] where it counts, and [Each]
// where workers share it.
//
// Invariants: at most [Every] steps pass between two looks at the context; the error is
// the context's own, wherever the loop was; workers are all gone when Each returns, and
// the first error that one had is the one reported.
package interrupt

import (
	"context"
	"io"
	"runtime"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"wreg/ingest/place"
)

// Every is how many steps of a loop pass between two looks at its context.
const Every = 1024

// Steps counts the steps of a loop. The zero value is never interrupted.
type Steps struct {
	Context context.Context
	n       uint
}

// Next counts a step and fails once the context is done.
func (s *Steps) Next() error {
	if s.n++; s.n%Every != 0 || s.Context == nil {
		return nil
	}
	return s.Context.Err()
}

// Reader is r until ctx is done, then its error.
func Reader(ctx context.Context, r io.ReaderAt) io.ReaderAt {
	if b, ok := r.(place.Batched); ok {
		return batched{reader{ctx, r}, b}
	}
	return reader{ctx, r}
}

// batched is a reader of what can be told what follows.
type batched struct {
	reader
	place.Batched
}

type reader struct {
	ctx context.Context
	r   io.ReaderAt
}

func (r reader) ReadAt(p []byte, off int64) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.ReadAt(p, off)
}

// Each hands items out to workers, as many as there are cores when workers is 0. Each
// begins with start. The first error, or that of ctx, stops all.
func Each[T any](ctx context.Context, workers int, items []T, start func() func(context.Context, T) error) error {
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	g, inner := errgroup.WithContext(ctx)
	var next atomic.Int64
	for range min(workers, len(items)) {
		g.Go(func() error {
			work := start()
			for i := next.Add(1) - 1; i < int64(len(items)) && inner.Err() == nil; i = next.Add(1) - 1 {
				if err := work(inner, items[i]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}
