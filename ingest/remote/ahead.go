package remote

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
)

const (
	nearBytes  = 16 << 10 // ranges no further apart are asked for as one
	aheadBytes = 32 << 20 // that are held of what was asked for ahead
)

// ReadAhead asks for ranges, each an offset and a length, as many at once as there are
// slots: small reads that follow are served from them.
func (f *File) ReadAhead(ctx context.Context, ranges [][2]int64) error {
	if f.Size() < 0 {
		if _, err := f.beginning(f.ctx); err != nil {
			return err
		}
	}
	asks := f.lacking(ranges)
	ctx, cancel := context.WithCancel(ctx)
	defer context.AfterFunc(f.ctx, cancel)()
	defer cancel()
	var next atomic.Int64
	var workers sync.WaitGroup
	errs := make([]error, min(cap(f.c.slots), len(asks)))
	for w := range errs {
		workers.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(asks)) && errs[w] == nil; i = next.Add(1) - 1 {
				if _, errs[w] = f.get(ctx, asks[i].data, asks[i].off); errs[w] != nil {
					cancel() // the others
				}
			}
		})
	}
	workers.Wait()
	slices.SortStableFunc(errs, func(a, b error) int { return cmp.Compare(ended(a), ended(b)) })
	if len(errs) > 0 && errs[0] != nil {
		return errs[0]
	}
	f.hold(asks)
	return nil
}

// ended sorts what ended the others before what was ended, and that before no error.
func ended(err error) int {
	switch {
	case err == nil:
		return 2
	case errors.Is(err, context.Canceled):
		return 1
	}
	return 0
}

// lacking are the ranges that nothing is held of, near ones joined, as far as they may be held.
func (f *File) lacking(ranges [][2]int64) (asks []segment) {
	size, total := f.Size(), int64(0)
	type span struct{ from, to int64 }
	var spans []span
	for _, r := range slices.SortedFunc(slices.Values(ranges), func(a, b [2]int64) int { return cmp.Compare(a[0], b[0]) }) {
		from, to := max(r[0], headBytes), min(r[0]+r[1], size)
		if r[0] < 0 || r[1] < 0 || from >= to || f.holds(from, to) {
			continue
		}
		last := len(spans) - 1
		if last < 0 || from-spans[last].to > nearBytes {
			spans = append(spans, span{from, to})
			total += to - from
		} else if more := to - spans[last].to; more > 0 {
			spans[last].to = to
			total += more
		}
		if total > aheadBytes {
			spans = spans[:len(spans)-1]
			break
		}
	}
	for _, s := range spans {
		asks = append(asks, segment{s.from, make([]byte, s.to-s.from)})
	}
	return asks
}

// hold keeps what was asked for ahead, in place of earlier ones where it would be too much.
func (f *File) hold(list []segment) {
	var n, held int64
	for _, s := range list {
		n += int64(len(s.data))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.ahead {
		held += int64(len(s.data))
	}
	if n+held > aheadBytes {
		f.ahead = nil
	}
	f.ahead = append(f.ahead, list...)
	slices.SortFunc(f.ahead, func(a, b segment) int { return cmp.Compare(a.off, b.off) })
}

// held is the segment that was asked for ahead and holds a byte, nil when none does.
func (f *File) held(off int64) *segment {
	i, exact := slices.BinarySearchFunc(f.ahead, off, func(s segment, off int64) int { return cmp.Compare(s.off, off) })
	if !exact {
		i--
	}
	if i < 0 || off >= f.ahead[i].off+int64(len(f.ahead[i].data)) {
		return nil
	}
	return &f.ahead[i]
}

// holds reports that all of a range is in one segment.
func (f *File) holds(from, to int64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s := f.held(from); s != nil && to <= s.off+int64(len(s.data)) {
		return true
	}
	return slices.ContainsFunc(f.kept, func(s segment) bool { return s.off <= from && to <= s.off+int64(len(s.data)) })
}

// Release lets go of all that is held to serve small reads.
func (f *File) Release() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kept, f.ahead, f.head = nil, nil, nil
}
