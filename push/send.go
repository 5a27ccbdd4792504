package push

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"wreg/ingest/interrupt"
)

// DefaultJobs is how many files are sent at once.
const DefaultJobs = 4

// Send puts the files that are not held, jobs at once, and commits all. The address is pinned. When it fails,
// nothing is visible that was not before, and what was put is held the next time.
func (f *Folder) Send(ctx context.Context, t Target, held []bool, jobs int, moved func(int64)) (address string, err error) {
	var todo []File
	for i, file := range f.Files {
		if !held[i] {
			todo = append(todo, file)
		}
	}
	slices.SortStableFunc(todo, func(a, b File) int { return cmp.Compare(b.Size, a.Size) })
	err = interrupt.Each(ctx, cmp.Or(jobs, DefaultJobs), todo, func() func(context.Context, File) error {
		return func(ctx context.Context, file File) error { return f.put(ctx, t, file, moved) }
	})
	if err != nil {
		return "", err
	}
	for _, file := range f.Files { // one that is held, too: its digest is what was announced
		if err := f.unchanged(file.Name); err != nil {
			return "", fmt.Errorf("%w; nothing was published", err)
		}
	}
	return t.Commit(ctx, f.Files)
}

func (f *Folder) put(ctx context.Context, t Target, file File, moved func(int64)) error {
	in, err := f.root.Open(file.Name)
	if err != nil {
		return err
	}
	err = t.Put(ctx, file, interrupt.Reader(ctx, in), moved)
	return errors.Join(err, in.Close())
}
