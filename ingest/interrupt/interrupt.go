// Package interrupt ends loops over input when their context is done: a Reader
// where the loop reads, Steps where it counts.
package interrupt

import (
	"context"
	"io"
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
	if s.n++; s.n%Every != 0 {
		return nil
	}
	return s.look()
}

func (s *Steps) look() error {
	if s.Context == nil {
		return nil
	}
	return s.Context.Err()
}

// Reader is r until ctx is done, then its error.
func Reader(ctx context.Context, r io.ReaderAt) io.ReaderAt { return reader{ctx, r} }

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
