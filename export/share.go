package export

import (
	"context"
	"fmt"
	"os"
	"slices"
)

// remaining opens the berth's files and lists the parts that are still to be
// written: all of them, or the share that was asked for, less those that a journal
// has and that are on disk as it says.
func (s *stream) remaining(ctx context.Context, b *berth) ([]job, error) {
	p := s.plan
	s.fingerprint = p.fingerprint()
	written, err := b.readJournals(s.fingerprint)
	if err != nil {
		return nil, err
	}
	if err := s.received(b, s.fingerprint, written); err != nil {
		return nil, err
	}
	if s.journal, err = b.openJournal(partJournal(p.o.Part, p.o.Parts), s.fingerprint); err != nil {
		return nil, err
	}
	if err := s.open(b); err != nil {
		return nil, err
	}
	jobs := s.jobs()
	if p.o.Parts > 0 {
		jobs = share(jobs, s.bytes, p.o.Parts)[p.o.Part-1]
	}
	var old, todo []job
	for _, j := range jobs {
		if made, ok := written[j]; ok && len(made) == s.units[j.unit].n {
			for k, d := range made {
				s.made[s.units[j.unit].first+k][j.part] = d
			}
			old = append(old, j)
		} else {
			todo = append(todo, j)
		}
	}
	s.output = s.written(jobs)
	if p.o.Finish {
		if len(todo) > 0 {
			return nil, s.unwritten(todo)
		}
		s.expect(s.output, 0)
		s.keep(old)
		return nil, nil // read back later, all of it
	}
	again := s.written(old) // is read when all is written
	if p.o.Parts > 0 {
		again = 0
	}
	s.expect(s.written(old)+again, s.written(todo))
	kept, err := s.intact(ctx, old)
	if err != nil {
		return nil, err
	}
	s.keep(kept)
	whole := map[job]bool{}
	for _, j := range kept {
		whole[j] = true
	}
	jobs = slices.DeleteFunc(jobs, func(j job) bool { return whole[j] })
	s.expect(min(again, s.written(kept)), s.written(jobs))
	return jobs, nil
}

// unwritten says what keeps parts from being landed.
func (s *stream) unwritten(todo []job) error {
	t := &s.plan.Tensors[s.units[todo[0].unit].first]
	return fmt.Errorf("%s: %d of the export's pieces are not written yet, among them one of tensor %q; run the parts that are missing, or killed, again",
		berthPath(s.plan.o.Out), len(todo), t.Path)
}

// intact reads parts that a journal has and gives those that are there as it says.
func (s *stream) intact(ctx context.Context, jobs []job) ([]job, error) {
	good := make([]bool, len(jobs))
	index := make([]int, len(jobs))
	for i := range index {
		index[i] = i
	}
	err := each(ctx, s.plan.o.Jobs, index, func() func(context.Context, int) error {
		w := newWorker(s)
		return func(ctx context.Context, i int) error {
			good[i] = w.readJob(ctx, jobs[i]) == nil // else it is written again
			return nil
		}
	})
	var kept []job
	for i, j := range jobs {
		if good[i] {
			kept = append(kept, j)
		}
	}
	return kept, err
}

// keep counts parts as written. A copy whose checksum is its source's proves that
// the source was right when it was read.
func (s *stream) keep(jobs []job) {
	for _, j := range jobs {
		u := &s.units[j.unit]
		s.proofs[j.unit].wrote(j.part)
		if path, ok := plain(u.parts[j.part].node); ok && !s.plan.Tensors[u.first].quant {
			src, _ := s.plan.source.Lookup(path)
			if made := s.made[u.first][j.part]; made.sum == src.Sum {
				s.checked.Store(path, made)
			}
		}
	}
}

// open opens or makes the shard files, with room for all bytes and their headers
// in place.
func (s *stream) open(b *berth) error {
	for i, shard := range s.plan.Shards {
		f, err := b.root.OpenFile(shard.Name, os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return err
		}
		s.files = append(s.files, f)
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
			if err := reserve(f, shard.Bytes); err != nil {
				return fmt.Errorf("%s: %d bytes: %w", shard.Name, shard.Bytes, err)
			}
		}
		if _, err := f.WriteAt(s.plan.headers[i], 0); err != nil {
			return err
		}
	}
	return nil
}

// sync makes the shards durable.
func (s *stream) sync() error {
	for _, f := range s.files {
		if err := f.Sync(); err != nil {
			return err
		}
	}
	return nil
}

func (s *stream) close() {
	for _, f := range s.files {
		f.Close()
	}
	if s.journal != nil {
		s.journal.file.Close()
	}
}

// bytes is the size of a job's result.
func (s *stream) bytes(j job) int64 {
	u := &s.units[j.unit]
	p := u.parts[j.part]
	return sizeOf(p.node.DType, p.n)
}

// share deals jobs, the largest first, each to the share that has least: the same
// on every machine.
func share(jobs []job, size func(job) int64, n int) [][]job {
	shares, load := make([][]job, n), make([]int64, n)
	for _, j := range jobs {
		k := 0
		for i := range load {
			if load[i] < load[k] {
				k = i
			}
		}
		shares[k] = append(shares[k], j)
		load[k] += size(j) + 1
	}
	return shares
}
