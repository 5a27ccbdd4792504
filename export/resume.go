package export

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"

	"wreg/export/disk"
	"wreg/export/receipt"
	"wreg/export/staging"
	"wreg/ingest/interrupt"
	"wreg/ingest/regular"
	"wreg/ingest/remote"
	"wreg/ingest/spool"
	"wreg/ingest/sums"
)

// remaining opens the files of the staging folder and lists the segments that are still to be
// written: all of them, or the share that was asked for, less those that a journal
// has and that are on disk as it says.
func (s *writer) remaining(ctx context.Context, b *staging.Folder) ([]staging.Key, error) {
	p := s.plan
	s.fingerprint = p.fingerprint()
	var err error
	if s.claims, err = b.Claims(s.fingerprint, s.tensors); err != nil {
		return nil, err
	}
	if err := s.claimsOfReceipt(b, s.claims); err != nil {
		return nil, err
	}
	if s.journal, err = b.OpenJournal(staging.JournalName(p.o.Part, p.o.Parts), s.fingerprint); err != nil {
		return nil, err
	}
	if err := s.open(b); err != nil {
		return nil, err
	}
	jobs := s.segments()
	if p.o.Parts > 0 {
		jobs = deal(jobs, s.bytes, p.o.Parts)[p.o.Part-1]
	}
	var old, todo, computed []staging.Key
	for _, j := range jobs {
		if s.claims[j] == nil {
			todo = append(todo, j)
			continue
		}
		old = append(old, j)
		if _, ok := s.copied(j); !ok {
			computed = append(computed, j)
		}
	}
	s.output = s.outputBytes(jobs)
	if p.o.Finish {
		if len(todo) > 0 {
			return nil, s.missing(todo)
		}
		s.expect(s.output+s.outputBytes(computed), 0)
		s.keep(old)
		return nil, s.each(ctx, old, func(ctx context.Context, w *worker, j staging.Key) error {
			return w.remake(ctx, j)
		}) // read back later, all of it
	}
	again := s.outputBytes(old) // is read when all is written
	if p.o.Parts > 0 {
		again = 0
	}
	s.expect(s.outputBytes(old)+s.outputBytes(computed)+again, s.outputBytes(todo))
	kept, err := s.intact(ctx, old)
	if err != nil {
		return nil, err
	}
	s.keep(kept)
	whole := map[staging.Key]bool{}
	for _, j := range kept {
		whole[j] = true
	}
	jobs = slices.DeleteFunc(jobs, func(j staging.Key) bool { return whole[j] })
	if err := s.begin(b, whole); err != nil {
		return nil, err
	}
	s.expect(min(again, s.outputBytes(kept)), s.outputBytes(jobs))
	return jobs, nil
}

// tensors is how many tensors a segment is of; 0: there is no such segment.
func (s *writer) tensors(j staging.Key) int {
	if j.Unit < 0 || j.Unit >= len(s.units) || j.Segment < 0 || j.Segment >= len(s.units[j.Unit].segments) {
		return 0
	}
	return s.units[j.Unit].n
}

// missing says what keeps an export from being landed.
func (s *writer) missing(todo []staging.Key) error {
	t := &s.plan.Tensors[s.units[todo[0].Unit].first]
	return fmt.Errorf("%s: %d of the export's segments are not written yet, among them one of tensor %q; run the parts that are missing or were killed",
		staging.PathOf(s.plan.o.Out), len(todo), t.Path)
}

// intact gives those of the segments that a journal has which are what their sources
// give, in the journal and on disk.
func (s *writer) intact(ctx context.Context, jobs []staging.Key) (kept []staging.Key, err error) {
	var mu sync.Mutex
	good := map[staging.Key]bool{}
	err = s.each(ctx, jobs, func(ctx context.Context, w *worker, j staging.Key) error {
		if w.remake(ctx, j) == nil && w.readSegment(ctx, j) == nil { // else it is written again
			mu.Lock()
			good[j] = true
			mu.Unlock()
		}
		return nil
	})
	for _, j := range jobs {
		if good[j] {
			kept = append(kept, j)
		}
	}
	return kept, err
}

// each does something with every segment, each worker of s with its own buffers.
func (s *writer) each(ctx context.Context, jobs []staging.Key, do func(context.Context, *worker, staging.Key) error) error {
	return interrupt.Each(ctx, s.plan.o.Jobs, jobs, func() func(context.Context, staging.Key) error {
		w := newWorker(s)
		return func(ctx context.Context, j staging.Key) error { return do(ctx, w, j) }
	})
}

// remake makes a segment that was written before once more, and writes nothing: neither
// a journal nor what is on disk says what should be there. A copy needs no bytes for
// that. What the journals say must agree.
func (w *worker) remake(ctx context.Context, j staging.Key) error {
	s, u := w.s, &w.s.units[j.Unit]
	if info, ok := s.copied(j); ok {
		s.made[u.first][j.Segment] = w.meant(info)
	} else if s.plan.stream != nil { // its sources are not here any more: what was made of them is on disk, or is made again
		for k, made := range s.claims[j][0] {
			s.made[u.first+k][j.Segment] = made
		}
	} else {
		w.dry = true
		err := w.make(ctx, j)
		w.dry = false
		if err != nil {
			return fmt.Errorf("tensor %q: %w", s.plan.Tensors[u.first].Path, err)
		}
	}
	for k := range u.n {
		made := s.made[u.first+k][j.Segment]
		if !slices.ContainsFunc(s.claims[j], func(claim []sums.Digest) bool { return claim[k].Same(made) }) {
			return fmt.Errorf("%s: were written as %v, their sources here give %v: they were made from other bytes, or the journal was changed; run each part again with --part K/N --resume, on the same source, and then --finish",
				s.place(u.first+k, j.Segment), s.claims[j][0][k].Sum, made.Sum)
		}
	}
	return nil
}

// keep counts segments as written.
func (s *writer) keep(jobs []staging.Key) {
	for _, j := range jobs {
		s.proofs[j.Unit].wrote(j.Segment)
	}
}

// open opens or makes the shard files, with room for all bytes and their headers
// in place.
func (s *writer) open(b *staging.Folder) error {
	s.files = make([]*os.File, len(s.plan.Shards))
	for i := range s.plan.Shards {
		if err := s.openShard(b, i); err != nil {
			return err
		}
	}
	return nil
}

func (s *writer) openShard(b *staging.Folder, i int) error {
	shard := s.plan.Shards[i]
	f, err := b.Root.OpenFile(shard.Name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	s.files[i] = f
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() > shard.Bytes {
		if err := f.Truncate(shard.Bytes); err != nil {
			return err
		}
	}
	if info.Size() < shard.Bytes {
		if err := disk.Reserve(f, shard.Bytes); err != nil {
			return fmt.Errorf("%s: %d bytes: %w", shard.Name, shard.Bytes, err)
		}
	}
	_, err = f.WriteAt(s.plan.headers[i], 0)
	return err
}

// sync makes the shards durable.
func (s *writer) sync() error {
	for _, f := range s.files {
		if err := f.Sync(); err != nil {
			return err
		}
	}
	return nil
}

func (s *writer) close() {
	for _, f := range s.files {
		if f != nil {
			f.Close()
		}
	}
	if s.journal != nil {
		s.journal.Close()
	}
}

// claimsOfReceipt adds what the receipt in a staging folder says was written. A kill while landing
// may have left it alone there, with some or all of the journals gone: without it,
// the work of all shares would be lost in the last millisecond.
func (s *writer) claimsOfReceipt(b *staging.Folder, written staging.Claims) error {
	data, err := regular.ReadIn(b.Root, receipt.Name, receipt.MaxBytes)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !receipt.Sealed(data) { // cut short: the journals are still there
		return nil
	}
	if err != nil {
		return err
	}
	r, err := receipt.Parse(data)
	if err != nil {
		return fmt.Errorf("%s in %s: %w; remove it", receipt.Name, b.Path, err)
	}
	if r.Plan != s.fingerprint || len(r.Tensors) != len(s.plan.Tensors) {
		return staging.AnotherPlan(b)
	}
	for _, x := range r.Inputs {
		if x.SHA256 != "" {
			s.proven = append(s.proven, spool.Proof{Name: x.Name, Declared: x.Declared, SHA256: x.SHA256})
		}
	}
	for unit, u := range s.units {
		for part := range u.segments {
			var made []sums.Digest
			for _, t := range r.Tensors[u.first : u.first+u.n] {
				sum, hash := t.XXH3, t.SHA256
				if len(u.segments) > 1 {
					if len(t.Parts) != len(u.segments) {
						return staging.AnotherPlan(b)
					}
					sum, hash = t.Parts[part].XXH3, t.Parts[part].SHA256
				}
				d, err := receipt.ParseDigest(sum, hash)
				if err != nil {
					return fmt.Errorf("%s in %s: tensor %q: %w; remove it", receipt.Name, b.Path, t.Path, err)
				}
				made = append(made, d)
			}
			at := staging.Key{Unit: unit, Segment: part}
			written[at] = append(written[at], made)
		}
	}
	return nil
}

// begin has what is still to be written come: all but what is done.
func (s *writer) begin(b *staging.Folder, done map[staging.Key]bool) error {
	p := s.plan
	if p.stream == nil {
		return nil
	}
	have := make([]bool, len(p.keys))
	for i, key := range p.keys {
		have[i] = done[key]
	}
	return p.source.spool.Begin(b.Root, p.stream, have, spool.Options{ID: s.fingerprint, Sync: !p.o.NoSync, Proven: s.proven})
}

// disown takes back what was made of a file that turned out not to be what is declared of it.
func (s *writer) disown(err error) error {
	p, name := s.plan, liar(err)
	if name == "" {
		return nil
	}
	var errs []error
	for i, key := range p.keys {
		if p.stream.Reads(i, name) {
			errs = append(errs, s.journal.Record(key, nil))
		}
	}
	return errors.Join(errs...)
}

// liar names the file that turned out not to be what is declared of it.
func liar(err error) string {
	if lie, ok := errors.AsType[*spool.Mismatch](err); ok {
		return lie.Name
	} else if lie, ok := errors.AsType[*remote.DigestError](err); ok {
		return lie.Name
	}
	return ""
}
