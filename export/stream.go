package export

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"wreg/ingest"
	"wreg/registry/arch"
	"wreg/registry/tensor"
)

// stream writes all tensors of a plan into open shard files and proves them.
type stream struct {
	plan   *Plan
	src    *ingest.Checkpoint
	files  []*os.File     // by shard
	made   [][]digest     // by tensor, by part: what was meant
	whole  []digest       // by tensor: what was read back
	left   []atomic.Int32 // by tensor: parts still to write
	parts  [][]part
	chunks []int64

	checked sync.Map // source path → digest, of those read whole

	mu   sync.Mutex
	done int64 // half-bytes: each byte counts once written, once read back
}

// job is one part of one tensor.
type job struct{ tensor, part int }

func newStream(p *Plan, src *ingest.Checkpoint) (*stream, error) {
	n := len(p.Tensors)
	s := &stream{plan: p, src: src, made: make([][]digest, n), whole: make([]digest, n), left: make([]atomic.Int32, n), parts: make([][]part, n), chunks: make([]int64, n)}
	for i := range p.Tensors {
		s.parts[i] = parts(p.Tensors[i].Make)
		s.made[i] = make([]digest, len(s.parts[i]))
		s.left[i].Store(int32(len(s.parts[i])))
		var err error
		if s.chunks[i], _, err = chunkFor(p.Tensors[i].Make, p.o.Memory/int64(p.o.Jobs)); err != nil {
			return nil, fmt.Errorf("tensor %q: %w", p.Tensors[i].Path, err)
		}
	}
	return s, nil
}

// jobs lists all parts, the largest first, so that no worker is left with a large
// one at the end.
func (s *stream) jobs() []job {
	var jobs []job
	for i := range s.parts {
		for k := range s.parts[i] {
			jobs = append(jobs, job{i, k})
		}
	}
	size := func(j job) int64 { return s.parts[j.tensor][j.part].n }
	slices.SortStableFunc(jobs, func(a, b job) int { return int(min(max(size(b)-size(a), -1), 1)) })
	return jobs
}

// write makes and writes every part. With readBack each tensor is read back as
// soon as its last part is written.
func (s *stream) write(ctx context.Context, readBack bool) error {
	return each(ctx, s.plan.o.Jobs, s.jobs(), func() func(context.Context, job) error {
		w := newWorker(s)
		return func(ctx context.Context, j job) error {
			if err := w.write(ctx, j); err != nil {
				return fmt.Errorf("tensor %q: %w", s.plan.Tensors[j.tensor].Path, err)
			}
			if s.left[j.tensor].Add(-1) == 0 && readBack {
				return w.readBack(ctx, j.tensor)
			}
			return nil
		}
	})
}

// readBack reads every tensor and compares it with what was meant.
func (s *stream) readBack(ctx context.Context) error {
	tensors := make([]int, len(s.plan.Tensors))
	for i := range tensors {
		tensors[i] = i
	}
	slices.SortStableFunc(tensors, func(a, b int) int {
		return int(min(max(s.plan.Tensors[b].Bytes-s.plan.Tensors[a].Bytes, -1), 1))
	})
	return each(ctx, s.plan.o.Jobs, tensors, func() func(context.Context, int) error { return newWorker(s).readBack })
}

// sources checks the used source tensors that no part read from front to back.
func (s *stream) sources(ctx context.Context) error {
	var rest []string
	seen := map[string]bool{}
	for i := range s.plan.Tensors {
		for _, path := range loads(s.plan.Tensors[i].Make) {
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
	buf   []byte
	part  *digester
	whole *digester
}

func newWorker(s *stream) *worker {
	sha := s.plan.o.Prove == ProveSHA256
	return &worker{
		s: s, buf: make([]byte, maxChunk), part: newDigester(sha), whole: newDigester(sha),
		eval: evaluator{device: s.plan.o.Device, open: s.src.Bytes, sha: sha},
	}
}

// write makes one part, chunk by chunk, and writes it to its place.
func (w *worker) write(ctx context.Context, j job) error {
	s := w.s
	t, p := &s.plan.Tensors[j.tensor], s.parts[j.tensor][j.part]
	w.eval.reset()
	w.eval.limit = gather * s.chunks[j.tensor]
	v, err := w.eval.value(p.node)
	if err != nil {
		return err
	}
	_, copies := plain(p.node)
	w.part.reset()
	file := s.files[t.Shard]
	at := t.Offset + sizeOf(t.DType, p.first)
	step := count(t.DType, s.chunks[j.tensor]) / blockElems * blockElems
	for first := int64(0); first < p.n; first += step {
		if err := ctx.Err(); err != nil {
			return err
		}
		buf := w.buf[:sizeOf(t.DType, min(step, p.n-first))]
		if err := v.read(buf, first); err != nil {
			return err
		}
		if !copies {
			w.part.write(buf)
		}
		if _, err := file.WriteAt(buf, at); err != nil {
			return err
		}
		at += int64(len(buf))
		s.advance(int64(len(buf)))
	}
	for _, l := range w.eval.loads {
		if d, ok := l.whole(); ok {
			if err := s.check(l.node, d); err != nil {
				return err
			}
			if copies {
				s.made[j.tensor][j.part] = d
			}
		}
	}
	if !copies {
		s.made[j.tensor][j.part] = w.part.digest()
	}
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

// readBack reads a written tensor and compares each part with what was meant.
func (w *worker) readBack(ctx context.Context, i int) error {
	s := w.s
	t := &s.plan.Tensors[i]
	w.whole.reset()
	for k, p := range s.parts[i] {
		w.part.reset()
		at, end := t.Offset+sizeOf(t.DType, p.first), t.Offset+sizeOf(t.DType, p.first+p.n)
		for at < end {
			if err := ctx.Err(); err != nil {
				return err
			}
			buf := w.buf[:min(int64(len(w.buf)), end-at)]
			if n, err := s.files[t.Shard].ReadAt(buf, at); n < len(buf) {
				if err == nil || errors.Is(err, io.EOF) {
					err = io.ErrUnexpectedEOF
				}
				return fmt.Errorf("%s: tensor %q: bytes %d:%d: %w", s.plan.Shards[t.Shard].Name, t.Path, at, at+int64(len(buf)), err)
			}
			w.part.write(buf)
			if len(s.parts[i]) > 1 {
				w.whole.sum.Write(buf)
			}
			at += int64(len(buf))
			s.advance(int64(len(buf)))
		}
		d := w.part.digest()
		if !d.same(s.made[i][k]) {
			return fmt.Errorf("%s: tensor %q: bytes %d:%d were written as %v and read back as %v; the disk or its driver is not to be trusted",
				s.plan.Shards[t.Shard].Name, t.Path, t.Offset+sizeOf(t.DType, p.first), end, s.made[i][k].sum, d.sum)
		}
		s.whole[i] = d
	}
	if len(s.parts[i]) > 1 {
		s.whole[i] = digest{sum: w.whole.sum.Sum()}
	}
	return nil
}
