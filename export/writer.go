package export

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"sort"
	"sync"
	"time"

	"wreg/export/compute"
	"wreg/export/disk"
	"wreg/export/staging"
	"wreg/ingest"
	"wreg/ingest/interrupt"
	"wreg/ingest/spool"
	"wreg/ingest/sums"
	"wreg/registry/arch/op"
	"wreg/registry/tensor"
)

// writer writes all tensors of a plan into open shard files and proves them.
type writer struct {
	plan    *Plan
	src     *ingest.Checkpoint
	files   []*os.File    // by shard
	shards  []shardWriter // by shard
	units   []unit
	made    [][]sums.Digest // by tensor, by segment: what was meant
	whole   []sums.Digest   // by tensor: what was read back
	proofs  []proof         // by unit
	journal *staging.Journal

	fingerprint string               // of the plan
	claims      staging.Claims       // of the journals that lay in the staging folder
	proven      []spool.Proof        // of the receipt that lay there
	sent        []*staging.SentShard // by shard: what an earlier run sent to the sink; nil where there is none

	opens  func(ctx context.Context, j staging.Key) (done func(), err error) // nil, or called before a segment is written
	proved func(unit int)                                                    // nil, or called when all of a unit is read back

	checked sync.Map // source path → digest, of those read whole

	progress
}

func newWriter(p *Plan, src *ingest.Checkpoint) (*writer, error) {
	s := &writer{plan: p, src: src, units: p.units(), made: make([][]sums.Digest, len(p.Tensors)), whole: make([]sums.Digest, len(p.Tensors)), shards: make([]shardWriter, len(p.Shards)), progress: progress{report: p.o.Progress}}
	for i := range s.units {
		u, err := &s.units[i], error(nil)
		t := &p.Tensors[u.first]
		if u.chunk, _, err = compute.ChunkFor(t.tree, t.quant, p.o.Memory/int64(p.o.Jobs)); err != nil {
			return nil, fmt.Errorf("tensor %q: %w", t.Path, err)
		}
		for k := range u.n {
			s.made[u.first+k] = make([]sums.Digest, len(u.segments))
		}
	}
	s.proofs = make([]proof, len(s.units))
	for i, u := range s.units {
		s.proofs[i].written, s.proofs[i].left = make([]bool, len(u.segments)), len(u.segments)
	}
	return s, nil
}

// cold reports that what is read back must come from the disk. That costs as much
// as reading the output anew, so it goes with the proof that costs more anyway.
func (s *writer) cold() bool { return !s.plan.o.NoSync && s.plan.o.Prove == ProveSHA256 }

// write makes and writes segments, and reads them back: at once, from memory most
// likely, or behind the writers, as soon as the disk has the unit.
func (s *writer) write(ctx context.Context, jobs []staging.Key) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	settled := make(chan int, len(s.units))
	var prover sync.WaitGroup
	if s.cold() {
		prover.Go(func() {
			if err := s.prove(ctx, settled); err != nil {
				cancel(err)
			}
		})
	}
	queue := s.schedule(jobs)
	unstop := context.AfterFunc(ctx, queue.stop)
	defer unstop()
	var workers sync.WaitGroup
	for range min(s.plan.o.Jobs, len(jobs)) {
		workers.Go(func() {
			w := newWorker(s)
			w.pipe = disk.NewPipe()
			defer w.pipe.Close()
			for j, ok := queue.next(s); ok; j, ok = queue.next(s) {
				if err := w.write(ctx, j, queue, settled); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	if sp := s.plan.source.spool; sp != nil {
		if err := sp.Run(ctx); err != nil {
			cancel(err)
		}
	}
	workers.Wait()
	close(settled)
	prover.Wait()
	return context.Cause(ctx)
}

// prove reads units back from the disk as they come.
func (s *writer) prove(ctx context.Context, settled <-chan int) error {
	w := newWorker(s)
	for unit := range settled {
		if ctx.Err() != nil {
			return nil // the cause is known
		}
		u := &s.units[unit]
		for i := u.first; i < u.first+u.n; i++ {
			t := &s.plan.Tensors[i]
			if err := disk.Settle(s.files[t.Shard], t.Offset, t.Bytes); err != nil {
				return fmt.Errorf("%s: %w", s.plan.Shards[t.Shard].Name, err)
			}
		}
		if err := w.readBack(ctx, unit); err != nil {
			return err
		}
	}
	return nil
}

// sources checks the used source tensors that no segment read from front to back, and what
// of the source's own checksums reading them does not show.
func (s *writer) sources(ctx context.Context) error {
	if s.plan.stream != nil { // whose files were compared as a whole
		return nil
	}
	var rest []string
	seen := map[string]bool{}
	for _, u := range s.units {
		for _, path := range compute.Loads(s.plan.Tensors[u.first].tree) {
			if seen[path] {
				continue
			}
			seen[path] = true
			if _, ok := s.checked.Load(path); !ok {
				rest = append(rest, path)
			}
		}
	}
	if err := interrupt.Each(ctx, s.plan.o.Jobs, rest, func() func(context.Context, string) error {
		w := newWorker(s)
		return w.source
	}); err != nil {
		return err
	}
	return interrupt.Each(ctx, s.plan.o.Jobs, slices.Collect(maps.Keys(seen)), func() func(context.Context, string) error { return s.src.Prove })
}

// check compares a source tensor with what it was when it was ingested.
func (s *writer) check(n *op.Node, d sums.Digest) error {
	was, _ := s.plan.source.Lookup(n.Path)
	meant := sums.Digest{Sum: was.Sum, Hash: was.Hash}
	if was.Sum != (tensor.Sum{}) && !d.Same(meant) {
		return fmt.Errorf("source tensor %q is not what %s has: its bytes have %v, had %v when ingested; the source is damaged or changed, ingest it again",
			n.Path, s.plan.Model, d.Sum, was.Sum)
	}
	if before, loaded := s.checked.LoadOrStore(n.Path, d); loaded && !d.Same(before.(sums.Digest)) {
		return fmt.Errorf("source tensor %q: its bytes were read as %v, then as %v; the disk or its driver is not to be trusted",
			n.Path, before.(sums.Digest).Sum, d.Sum)
	}
	return nil
}

// shardWriter is how a shard is written. The system lets one writer at a time into a
// file, and has the others spin: here they sleep, and the core does something else.
type shardWriter struct {
	mu sync.Mutex
	disk.Pace
}

// writeAt writes to a shard.
func (s *writer) writeAt(shard int, buf []byte, at int64) error {
	if s.isAway(shard) {
		return nil
	}
	w := &s.shards[shard]
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(buf) > 0 {
		n := w.Next(at, int64(len(buf)))
		begun := time.Now()
		if _, err := s.files[shard].WriteAt(buf[:n], at); err != nil {
			return err
		}
		w.Took(n, time.Since(begun))
		buf, at = buf[n:], at+n
	}
	return nil
}

// isAway reports that a shard was sent by an earlier run: it is not on this disk.
func (s *writer) isAway(shard int) bool { return s.sent != nil && s.sent[shard] != nil }

// pass writes n bytes of a file at off to a shard, through a pipe, and gives how many
// it wrote: what is wrong is met again, and said, by reading and writing the rest.
func (s *writer) pass(p *disk.Pipe, src *os.File, off int64, shard int, at, n int64) (passed int64) {
	w := &s.shards[shard]
	for passed < n {
		w.mu.Lock()
		size := w.Next(at+passed, n-passed)
		w.mu.Unlock()
		k := p.Fill(int(src.Fd()), off+passed, size)
		if k == 0 {
			break
		}
		w.mu.Lock()
		begun := time.Now()
		written := p.Drain(int(s.files[shard].Fd()), at+passed, k)
		w.Took(written, time.Since(begun))
		w.mu.Unlock()
		passed += written
		if written < k {
			break
		}
	}
	return passed
}

// unitOf is the unit that tensor i belongs to.
func (s *writer) unitOf(i int) *unit {
	k := sort.Search(len(s.units), func(k int) bool { return s.units[k].first > i })
	return &s.units[k-1]
}

// progress counts what an export has still to do: each byte is written once and
// read back once, a byte that a killed export left is read twice. It is reported in
// bytes of output, so that rate and time left mean what a user takes them for.
type progress struct {
	mu     sync.Mutex
	report func(done, total int64) // nil: nobody asks
	output int64                   // bytes of output of this run
	done   int64                   // bytes read and written
	work   int64                   // bytes to read and write in all
}

// expect says what is left to do: bytes to read only, and bytes to write and read.
func (p *progress) expect(read, write int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.work = p.done + read + 2*write
}

// advance counts n bytes that were read or written.
func (p *progress) advance(n int64) {
	if p.report == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done += n
	if p.done >= p.work {
		p.report(p.output, p.output)
		return
	}
	p.report(int64(float64(p.output)*float64(p.done)/float64(p.work)), p.output)
}
