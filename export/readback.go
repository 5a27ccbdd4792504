package export

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"wreg/export/disk"
	"wreg/export/staging"
	"wreg/ingest/interrupt"
	"wreg/ingest/sums"
)

// proof is how far a unit is written and read back. Its segments are read back in their
// order, so that the checksum of the whole tensor is known without reading it again,
// by one worker at a time, and soon after they were written: the processor's cache may
// have them still.
type proof struct {
	mu      sync.Mutex
	written []bool           // by segment
	left    int              // segments still to write
	next    int              // the first segment that is not read back
	busy    bool             // a worker is reading it
	whole   []*sums.Digester // by tensor of the unit: its segments before next, when it has several
}

// wrote counts a segment as written; last: it was the last one.
func (p *proof) wrote(part int) (last bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.written[part] {
		p.written[part] = true
		p.left--
	}
	return p.left == 0
}

// take gives the next segment to read back, if it is written and nobody else is at it.
func (p *proof) take() (part int, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.busy || p.next == len(p.written) || !p.written[p.next] {
		return 0, false
	}
	p.busy = true
	return p.next, true
}

// give counts the segment that was taken as read back; last: it was the last one.
func (p *proof) give() (last bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next++
	p.busy = false
	return p.next == len(p.written)
}

// complete reports that all segments are written.
func (p *proof) complete() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.left == 0
}

// done counts all segments as written and read back.
func (p *proof) done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for k := range p.written {
		p.written[k] = true
	}
	p.left, p.next = 0, len(p.written)
}

// proven reports that all segments are read back.
func (p *proof) proven() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.next == len(p.written)
}

// readBack reads everything that was not yet read back, and compares it with what
// was meant.
func (s *writer) readBack(ctx context.Context) error {
	var units []int
	for i := range s.units {
		units = append(units, i)
	}
	return s.readUnits(ctx, units)
}

// readUnits reads back those of some units that are not proven.
func (s *writer) readUnits(ctx context.Context, units []int) error {
	units = slices.DeleteFunc(units, func(i int) bool { return s.proofs[i].proven() })
	size := func(i int) int64 { return s.plan.Tensors[s.units[i].first].Bytes }
	slices.SortStableFunc(units, func(a, b int) int { return cmp.Compare(size(b), size(a)) })
	return interrupt.Each(ctx, s.plan.o.Jobs, units, func() func(context.Context, int) error {
		w := newWorker(s)
		return func(ctx context.Context, unit int) error {
			if err := w.readBack(ctx, unit); err != nil {
				return err
			}
			if p := &s.proofs[unit]; !p.proven() {
				return fmt.Errorf("tensor %q: segment %d of %d was never written", s.plan.Tensors[s.units[unit].first].Path, p.next+1, len(p.written))
			}
			return nil
		}
	})
}

// readBack reads back the segments of a unit that are written, up to the first that is
// not, unless another worker is at it, who then goes on with them.
func (w *worker) readBack(ctx context.Context, unit int) error {
	p := &w.s.proofs[unit]
	for part, ok := p.take(); ok; part, ok = p.take() {
		if err := w.prove(ctx, staging.Key{Unit: unit, Segment: part}, p); err != nil {
			return err
		}
		if p.give() && w.s.proved != nil {
			w.s.proved(unit)
		}
	}
	return nil
}

// prove reads the next segment of a unit back and compares it with what was meant.
func (w *worker) prove(ctx context.Context, j staging.Key, p *proof) error {
	s, u := w.s, &w.s.units[j.Unit]
	if len(u.segments) > 1 && p.whole == nil {
		for range u.n {
			p.whole = append(p.whole, sums.NewDigester(false))
		}
	}
	for k := range u.n {
		i := u.first + k
		if s.isAway(s.plan.Tensors[i].Shard) {
			if err := s.sameAsSent(i, j); err != nil {
				return err
			}
			continue
		}
		var whole *sums.Digester
		if p.whole != nil {
			whole = p.whole[k]
		}
		d, err := w.readRange(ctx, i, j.Segment, whole)
		if err != nil {
			return err
		}
		if err := w.compare(ctx, i, j, d); err != nil {
			return err
		}
		if src, ok := s.copied(j); ok {
			s.made[i][j.Segment].Hash = d.Hash // of a source that was never hashed
			s.checked.Store(src.Path, d)
		}
		s.whole[i] = d
		if whole != nil && j.Segment == len(u.segments)-1 {
			s.whole[i] = whole.Digest()
		}
	}
	if j.Segment == len(u.segments)-1 {
		p.whole = nil
	}
	return nil
}

// readSegment reads one segment of a unit and compares it with what was meant.
func (w *worker) readSegment(ctx context.Context, j staging.Key) error {
	u := &w.s.units[j.Unit]
	for i := u.first; i < u.first+u.n; i++ {
		if w.s.isAway(w.s.plan.Tensors[i].Shard) {
			continue
		}
		d, err := w.readRange(ctx, i, j.Segment, nil)
		if err != nil {
			return err
		}
		if err := w.compare(ctx, i, j, d); err != nil {
			return err
		}
	}
	return nil
}

// compare compares what was read back of a segment of tensor i with what was meant.
func (w *worker) compare(ctx context.Context, i int, j staging.Key, d sums.Digest) error {
	s := w.s
	if d.Same(s.made[i][j.Segment]) {
		return nil
	}
	if src, ok := s.copied(j); ok && s.plan.stream == nil { // which of the two is not what it was?
		if err := w.source(ctx, src.Path); err != nil {
			return err
		}
	}
	why := "the disk or its driver is not to be trusted"
	if s.plan.o.Finish { // a part proved it when it was written: long ago, or elsewhere
		why = "they changed since; run each part again with --part K/N --resume, which writes only what is damaged, and then --finish"
	}
	return fmt.Errorf("%s: were written as %v and read back as %v; %s", s.place(i, j.Segment), s.made[i][j.Segment].Sum, d.Sum, why)
}

// readRange reads what is on disk of segment k of tensor i, and adds it to whole unless
// that is nil.
func (w *worker) readRange(ctx context.Context, i, k int, whole *sums.Digester) (sums.Digest, error) {
	s, t, sum := w.s, &w.s.plan.Tensors[i], w.out[0].sum
	p := s.unitOf(i).segments[k]
	sum.Reset()
	end := t.Offset + t.bytesFor(p.First+p.N)
	for at := t.Offset + t.bytesFor(p.First); at < end; {
		if err := ctx.Err(); err != nil {
			return sums.Digest{}, err
		}
		buf := w.buf[:min(int64(len(w.buf)), end-at)]
		if err := disk.ReadFull(s.files[t.Shard], buf, at); err != nil {
			return sums.Digest{}, fmt.Errorf("%s: tensor %q: %w", s.plan.Shards[t.Shard].Name, t.Path, err)
		}
		sum.Write(buf)
		if whole != nil {
			whole.Write(buf)
		}
		at += int64(len(buf))
		s.advance(int64(len(buf)))
	}
	return sum.Digest(), nil
}

// place names a segment of tensor i, for errors.
func (s *writer) place(i, part int) string {
	t, p := &s.plan.Tensors[i], s.unitOf(i).segments[part]
	return fmt.Sprintf("%s: tensor %q: bytes %d:%d", s.plan.Shards[t.Shard].Name, t.Path, t.Offset+t.bytesFor(p.First), t.Offset+t.bytesFor(p.First+p.N))
}

// sameAsSent compares a segment that was made again with what was sent of it.
func (s *writer) sameAsSent(i int, j staging.Key) error {
	at := 0
	for _, t := range s.plan.Tensors[:i] {
		if t.Shard == s.plan.Tensors[i].Shard {
			at++
		}
	}
	if was := s.sent[s.plan.Tensors[i].Shard].Tensors[at].Made[j.Segment]; !was.Same(s.made[i][j.Segment]) {
		return fmt.Errorf("%s: was sent as %v, and its sources give %v now; begin again without --resume", s.place(i, j.Segment), was.Sum, s.made[i][j.Segment].Sum)
	}
	return nil
}
