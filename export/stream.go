package export

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sort"
	"sync"
	"sync/atomic"

	"wreg/ingest"
	"wreg/registry/arch"
	"wreg/registry/tensor"
)

// stream writes all tensors of a plan into open shard files and proves them.
type stream struct {
	plan    *Plan
	src     *ingest.Checkpoint
	files   []*os.File // by shard
	units   []unit
	made    [][]digest     // by tensor, by part: what was meant
	whole   []digest       // by tensor: what was read back
	left    []atomic.Int32 // by unit: parts still to write
	proven  []atomic.Bool  // by unit: read back already
	journal *journal

	checked sync.Map // source path → digest, of those read whole

	mu   sync.Mutex
	done int64 // half-bytes: each byte counts once written, once read back
}

// unit is what is made together: one tensor, or the codes, scales and biases of a
// quantized one.
type unit struct {
	first, n int // tensors of the plan
	parts    []part
	chunk    int64 // bytes of the tree's result that are made at once
}

// job is one part of one unit.
type job struct{ unit, part int }

func newStream(p *Plan, src *ingest.Checkpoint) (*stream, error) {
	s := &stream{plan: p, src: src, made: make([][]digest, len(p.Tensors)), whole: make([]digest, len(p.Tensors))}
	for i := 0; i < len(p.Tensors); {
		t := &p.Tensors[i]
		u := unit{first: i, n: 1, parts: parts(t.tree)}
		for t.quant && i+u.n < len(p.Tensors) && p.Tensors[i+u.n].tree == t.tree {
			u.n++
		}
		var err error
		if u.chunk, _, err = chunkFor(t, p.o.Memory/int64(p.o.Jobs)); err != nil {
			return nil, fmt.Errorf("tensor %q: %w", t.Path, err)
		}
		for k := range u.n {
			s.made[i+k] = make([]digest, len(u.parts))
		}
		s.units = append(s.units, u)
		i += u.n
	}
	s.left, s.proven = make([]atomic.Int32, len(s.units)), make([]atomic.Bool, len(s.units))
	for i := range s.units {
		s.left[i].Store(int32(len(s.units[i].parts)))
	}
	return s, nil
}

// jobs lists all parts, the largest first, so that no worker is left with a large
// one at the end.
func (s *stream) jobs() []job {
	var jobs []job
	for i := range s.units {
		for k := range s.units[i].parts {
			jobs = append(jobs, job{i, k})
		}
	}
	slices.SortStableFunc(jobs, func(a, b job) int {
		return cmp.Compare(s.units[b.unit].parts[b.part].n, s.units[a.unit].parts[a.part].n)
	})
	return jobs
}

// cold reports that what is read back must come from the disk. That costs as much
// as reading the output anew, so it goes with the proof that costs more anyway.
func (s *stream) cold() bool { return !s.plan.o.NoSync && s.plan.o.Prove == ProveSHA256 }

// write makes and writes parts, and reads back each unit whose last part is
// written: at once, from memory most likely, or behind the writers, as soon as the
// disk has it.
func (s *stream) write(ctx context.Context, jobs []job) error {
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
	err := each(ctx, s.plan.o.Jobs, jobs, func() func(context.Context, job) error {
		w := newWorker(s)
		return func(ctx context.Context, j job) error {
			u := &s.units[j.unit]
			if err := w.write(ctx, j); err != nil {
				return fmt.Errorf("tensor %q: %w", s.plan.Tensors[u.first].Path, err)
			}
			if s.plan.o.Parts > 0 { // nobody else has the rest of the unit
				if err := w.readJob(ctx, j); err != nil {
					return err
				}
			}
			var made []digest
			for k := range u.n {
				made = append(made, s.made[u.first+k][j.part])
			}
			if err := s.journal.record(j, made); err != nil {
				return err
			}
			switch last := s.left[j.unit].Add(-1) == 0; {
			case !last || s.plan.o.Parts > 0:
			case s.cold():
				settled <- j.unit
			default:
				return w.readBack(ctx, j.unit)
			}
			return nil
		}
	})
	if err != nil {
		cancel(err)
	}
	close(settled)
	prover.Wait()
	return context.Cause(ctx)
}

// prove reads units back from the disk as they come.
func (s *stream) prove(ctx context.Context, settled <-chan int) error {
	w := newWorker(s)
	for unit := range settled {
		if ctx.Err() != nil {
			return nil // the cause is known
		}
		u := &s.units[unit]
		for i := u.first; i < u.first+u.n; i++ {
			t := &s.plan.Tensors[i]
			if err := settle(s.files[t.Shard], t.Offset, t.Bytes); err != nil {
				return fmt.Errorf("%s: %w", s.plan.Shards[t.Shard].Name, err)
			}
		}
		if err := w.readBack(ctx, unit); err != nil {
			return err
		}
	}
	return nil
}

// readBack reads every tensor that was not yet read back, and compares it with
// what was meant.
func (s *stream) readBack(ctx context.Context) error {
	var units []int
	for i := range s.units {
		if !s.proven[i].Load() {
			units = append(units, i)
		}
	}
	size := func(i int) int64 { return s.plan.Tensors[s.units[i].first].Bytes }
	slices.SortStableFunc(units, func(a, b int) int { return cmp.Compare(size(b), size(a)) })
	return each(ctx, s.plan.o.Jobs, units, func() func(context.Context, int) error { return newWorker(s).readBack })
}

// sources checks the used source tensors that no part read from front to back.
func (s *stream) sources(ctx context.Context) error {
	var rest []string
	seen := map[string]bool{}
	for _, u := range s.units {
		for _, path := range loads(s.plan.Tensors[u.first].tree) {
			if _, ok := s.checked.Load(path); !ok && !seen[path] {
				seen[path] = true
				rest = append(rest, path)
			}
		}
	}
	return each(ctx, s.plan.o.Jobs, rest, func() func(context.Context, string) error {
		w := newWorker(s)
		return w.source
	})
}

// each hands items out to workers; the first error stops all.
func each[T any](ctx context.Context, workers int, items []T, start func() func(context.Context, T) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(workers, len(items)) {
		wg.Go(func() {
			work := start()
			for ctx.Err() == nil {
				i := next.Add(1) - 1
				if i >= int64(len(items)) {
					return
				}
				if err := work(ctx, items[i]); err != nil {
					cancel(err)
				}
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// advance reports progress.
func (s *stream) advance(n int64) {
	if s.plan.o.Progress == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done += n
	s.plan.o.Progress(s.done/2, s.plan.TotalSize)
}

// worker holds the buffers of one goroutine.
type worker struct {
	s     *stream
	eval  evaluator
	buf   []byte // what the tree gives, or what is read back
	out   [3]output
	whole *digester
	sha   bool // prove with SHA-256
}

// output is where one tensor of a unit is made and summed.
type output struct {
	buf []byte // used only when quantizing
	sum *digester
	at  int64 // in the shard
}

func newWorker(s *stream) *worker {
	sha := s.plan.o.Prove == ProveSHA256
	w := &worker{
		s: s, buf: make([]byte, maxChunk), whole: newDigester(false), sha: sha,
		eval: evaluator{device: s.plan.o.Device, open: s.src.Bytes},
	}
	for i := range w.out {
		w.out[i].sum = newDigester(sha)
	}
	return w
}

// write makes one part, chunk by chunk, and writes it to its place.
func (w *worker) write(ctx context.Context, j job) error {
	u := &w.s.units[j.unit]
	t, p := &w.s.plan.Tensors[u.first], u.parts[j.part]
	path, copies := plain(p.node)
	copies = copies && !t.quant
	w.eval.reset()
	w.eval.limit = gather * u.chunk
	// A copy is hashed when it is read back: that it is what the registry has then
	// proves its source, too.
	w.eval.sha = w.sha && !copies
	v, err := w.eval.value(p.node)
	if err != nil {
		return err
	}
	for k := range u.n {
		out := &w.s.plan.Tensors[u.first+k]
		w.out[k].sum.reset()
		w.out[k].at = out.Offset + out.share(p.first)
	}
	step := count(p.node.DType, u.chunk) / blockElems * blockElems
	for first := int64(0); first < p.n; first += step {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(step, p.n-first)
		buf := w.buf[:sizeOf(p.node.DType, n)]
		if err := v.read(buf, first); err != nil {
			return err
		}
		if t.quant {
			err = w.quantize(u, p.node.DType, buf, n)
		} else {
			err = w.put(t, &w.out[0], buf, !copies)
		}
		if err != nil {
			return err
		}
	}
	for _, l := range w.eval.loads {
		if d, ok := l.whole(); ok {
			if copies && w.sha {
				src, _ := w.s.plan.source.Lookup(path)
				d.hash = src.Hash
			}
			if err := w.s.check(l.node, d); err != nil {
				return err
			}
			if copies {
				w.s.made[u.first][j.part] = d
			}
		}
	}
	for k := range u.n {
		if !copies {
			w.s.made[u.first+k][j.part] = w.out[k].sum.digest()
		}
		if out := &w.s.plan.Tensors[u.first+k]; !w.s.plan.o.NoSync {
			startWriting(w.s.files[out.Shard], out.Offset+out.share(p.first), out.share(p.n))
		}
	}
	return nil
}

// share is the bytes that the first n elements of the tree take in this tensor.
func (t *PlanTensor) share(n int64) int64 {
	if !t.quant {
		return sizeOf(t.DType, n)
	}
	if t.bits != 0 {
		return n / 8 * int64(t.spec.Bits)
	}
	return sizeOf(t.DType, n/int64(t.spec.Group))
}

// quantize writes the codes, scales and biases of n elements.
func (w *worker) quantize(u *unit, dtype tensor.DType, src []byte, n int64) error {
	var bufs [3][]byte
	for k := range u.n {
		size := w.s.plan.Tensors[u.first+k].share(n)
		if int64(cap(w.out[k].buf)) < size {
			w.out[k].buf = make([]byte, size)
		}
		bufs[k] = w.out[k].buf[:size]
	}
	if err := w.s.plan.o.Device.Quantize(bufs[0], bufs[1], bufs[2], src, dtype, 1, int(n), w.s.plan.Tensors[u.first].spec); err != nil {
		return err
	}
	for k := range u.n {
		if err := w.put(&w.s.plan.Tensors[u.first+k], &w.out[k], bufs[k], true); err != nil {
			return err
		}
	}
	return nil
}

// put writes the next bytes of a tensor.
func (w *worker) put(t *PlanTensor, out *output, buf []byte, sum bool) error {
	if sum {
		out.sum.write(buf)
	}
	if _, err := w.s.files[t.Shard].WriteAt(buf, out.at); err != nil {
		return err
	}
	out.at += int64(len(buf))
	w.s.advance(int64(len(buf)))
	return nil
}

// check compares a source tensor with what it was when it was ingested.
func (s *stream) check(n *arch.Node, d digest) error {
	was, _ := s.plan.source.Lookup(n.Path)
	meant := digest{was.Sum, was.Hash}
	if was.Sum != (tensor.Sum{}) && !d.same(meant) {
		return fmt.Errorf("source tensor %q is not what %s has: its bytes have %v, had %v when ingested; the source is damaged or changed, ingest it again",
			n.Path, s.plan.Model, d.sum, was.Sum)
	}
	s.checked.Store(n.Path, d)
	return nil
}

// source reads a source tensor from front to back only to check it.
func (w *worker) source(ctx context.Context, path string) error {
	info, _ := w.s.plan.source.Lookup(path)
	w.eval.reset()
	w.eval.sha = w.sha
	v, err := w.eval.value(&arch.Node{Op: arch.OpLoad, Path: path, DType: info.DType, Shape: info.Shape})
	if err != nil {
		return err
	}
	n, _ := info.Shape.Numel()
	step := count(info.DType, int64(len(w.buf))) / blockElems * blockElems
	for first := int64(0); first < n; first += step {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := v.read(w.buf[:sizeOf(info.DType, min(step, n-first))], first); err != nil {
			return err
		}
	}
	l := w.eval.loads[0]
	d, ok := l.whole()
	if !ok {
		return fmt.Errorf("tensor %q: was not read whole", path)
	}
	return w.s.check(l.node, d)
}

// readBack reads the written tensors of a unit and compares each part with what
// was meant.
func (w *worker) readBack(ctx context.Context, unit int) error {
	u := &w.s.units[unit]
	for i := u.first; i < u.first+u.n; i++ {
		w.whole.reset()
		for k := range u.parts {
			d, err := w.readPart(ctx, i, k, len(u.parts) > 1)
			if err != nil {
				return err
			}
			if err := w.s.compare(i, k, d); err != nil {
				return err
			}
			w.s.made[i][k].hash = d.hash // of a copy whose source was never hashed
			w.s.whole[i] = d
		}
		if len(u.parts) > 1 {
			w.s.whole[i] = digest{sum: w.whole.sum.Sum()}
		}
	}
	w.s.proven[unit].Store(true)
	return nil
}

// readJob reads one part of a unit and compares it with what was meant.
func (w *worker) readJob(ctx context.Context, j job) error {
	u := &w.s.units[j.unit]
	for i := u.first; i < u.first+u.n; i++ {
		d, err := w.readPart(ctx, i, j.part, false)
		if err != nil {
			return err
		}
		if err := w.s.compare(i, j.part, d); err != nil {
			return err
		}
	}
	return nil
}

// compare holds what was read back of a part against what was meant.
func (s *stream) compare(i, k int, d digest) error {
	if d.same(s.made[i][k]) {
		return nil
	}
	t := &s.plan.Tensors[i]
	p := s.unitOf(i).parts[k]
	return fmt.Errorf("%s: tensor %q: bytes %d:%d were written as %v and read back as %v; the disk or its driver is not to be trusted",
		s.plan.Shards[t.Shard].Name, t.Path, t.Offset+t.share(p.first), t.Offset+t.share(p.first+p.n), s.made[i][k].sum, d.sum)
}

// unitOf is the unit that tensor i belongs to.
func (s *stream) unitOf(i int) *unit {
	k := sort.Search(len(s.units), func(k int) bool { return s.units[k].first > i })
	return &s.units[k-1]
}

// readPart reads what is on disk of part k of tensor i. whole adds it to the
// tensor's own sum.
func (w *worker) readPart(ctx context.Context, i, k int, whole bool) (digest, error) {
	s, t, sum := w.s, &w.s.plan.Tensors[i], w.out[0].sum
	p := s.unitOf(i).parts[k]
	sum.reset()
	end := t.Offset + t.share(p.first+p.n)
	for at := t.Offset + t.share(p.first); at < end; {
		if err := ctx.Err(); err != nil {
			return digest{}, err
		}
		buf := w.buf[:min(int64(len(w.buf)), end-at)]
		if n, err := s.files[t.Shard].ReadAt(buf, at); n < len(buf) {
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return digest{}, fmt.Errorf("%s: tensor %q: bytes %d:%d: %w", s.plan.Shards[t.Shard].Name, t.Path, at, at+int64(len(buf)), err)
		}
		sum.write(buf)
		if whole {
			w.whole.sum.Write(buf)
		}
		at += int64(len(buf))
		s.advance(int64(len(buf)))
	}
	return sum.digest(), nil
}
