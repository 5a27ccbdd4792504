// Package measure reads tensors of two checkpoints and says how far their numbers are
// apart.
//
// Most users need [Pairs], and of each [Delta] the norm ([Delta.Relative]), the largest
// change and the elements that changed.
//
// Invariants: an answer does not depend on the workers, on memory or on the processor;
// numbers are taken exactly as float64 and summed in a fixed order; bytes that are not
// those the registry recorded are an error; what a worker holds does not depend on the
// tensors.
package measure

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"

	"wreg/accel"
	"wreg/export/compute"
	"wreg/ingest/interrupt"
	"wreg/registry/arch/op"
	"wreg/registry/tensor"
)

// Side is a checkpoint that is read.
type Side struct {
	Ref   string // of its revision
	Bytes func(path string) (io.ReaderAt, error)
	Info  func(path string) (tensor.Info, bool)        // as recorded
	Prove func(ctx context.Context, path string) error // what reading from front to back does not show

	proven sync.Map // paths of tensors whose bytes are those recorded
}

// Pair is a tensor that both sides have, as each makes it of what it stores: as many
// elements on both.
type Pair struct {
	Path string
	A, B *op.Node
}

// Options of Pairs. The zero value uses every core.
type Options struct {
	Jobs     int
	Memory   int64             // of all workers' buffers; 0: DefaultMemory
	Progress func(bytes int64) // called with bytes read since the last call, from any worker
}

// DefaultMemory is what the buffers of all workers take at most.
const DefaultMemory = 512 << 20

// Pairs measures each pair: how b's tensor differs from a's.
func Pairs(ctx context.Context, a, b *Side, pairs []Pair, o Options) ([]Delta, error) {
	if o.Jobs <= 0 {
		o.Jobs = runtime.GOMAXPROCS(0)
	}
	bound := cmp.Or(o.Memory, DefaultMemory) / int64(o.Jobs) / 2
	order := make([]int, len(pairs))
	cost := make([]int64, len(pairs))
	for i, p := range pairs {
		for _, side := range []struct {
			*Side
			tree *op.Node
		}{{a, p.A}, {b, p.B}} {
			if err := compute.Check(side.tree, side.Info); err != nil {
				return nil, fmt.Errorf("tensor %q of %s: %w", p.Path, side.Ref, err)
			}
			cost[i] += read(side.tree)
		}
		if x, y := compute.Numel(p.A.Shape), compute.Numel(p.B.Shape); x != y {
			return nil, fmt.Errorf("tensor %q: %v of %s and %v of %s do not have as many elements", p.Path, p.A.Shape, a.Ref, p.B.Shape, b.Ref)
		}
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(cost[j], cost[i]) }) // the largest first
	out := make([]Delta, len(pairs))
	if err := interrupt.Each(ctx, o.Jobs, order, func() func(context.Context, int) error {
		w := newWorker(a, b, bound, o.Progress)
		return func(ctx context.Context, i int) error {
			if err := w.measure(ctx, &pairs[i], &out[i]); err != nil {
				return fmt.Errorf("tensor %q: %w", pairs[i].Path, err)
			}
			return nil
		}
	}); err != nil {
		return nil, err
	}
	for _, side := range []struct {
		*Side
		tree func(p *Pair) *op.Node
	}{{a, func(p *Pair) *op.Node { return p.A }}, {b, func(p *Pair) *op.Node { return p.B }}} {
		seen := map[string]bool{}
		var paths []string
		for i := range pairs {
			side.tree(&pairs[i]).Sources(func(path string) {
				if !seen[path] {
					seen[path] = true
					paths = append(paths, path)
				}
			})
		}
		if err := side.prove(ctx, o, bound, paths); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// read is the bytes of a tree's sources.
func read(n *op.Node) (bytes int64) {
	if n.Op == op.Load {
		bytes, _ = n.Shape.Bytes(n.DType)
	}
	for _, m := range n.In {
		bytes += read(m)
	}
	return bytes
}

// prove reads the tensors that were not read from front to back, whose bytes nothing has
// proven yet to be those recorded.
func (s *Side) prove(ctx context.Context, o Options, bound int64, paths []string) error {
	if err := interrupt.Each(ctx, o.Jobs, paths, func() func(context.Context, string) error {
		w := newWorker(s, s, bound, nil)
		return func(ctx context.Context, path string) error {
			t, _ := s.Info(path)
			if _, ok := s.proven.Load(path); ok || t.Sum == (tensor.Sum{}) {
				return nil
			}
			return w.source(ctx, &op.Node{Step: op.Step{Op: op.Load, Path: path}, DType: t.DType, Shape: t.Shape})
		}
	}); err != nil || s.Prove == nil {
		return err
	}
	return interrupt.Each(ctx, o.Jobs, paths, func() func(context.Context, string) error { return s.Prove })
}

// check compares a tensor that was read whole with what was recorded of it.
func (s *Side) check(l *compute.Load) error {
	d, ok := l.Whole()
	if !ok {
		return nil
	}
	was, _ := s.Info(l.Node.Path)
	if was.Sum != (tensor.Sum{}) && was.Sum != d.Sum {
		return fmt.Errorf("tensor %q is not what %s has: its bytes have %v, had %v when ingested; the checkpoint is damaged or changed, ingest it again", l.Node.Path, s.Ref, d.Sum, was.Sum)
	}
	s.proven.Store(l.Node.Path, true)
	return nil
}

// worker holds the buffers of one goroutine.
type worker struct {
	sides    [2]*Side
	evals    [2]*compute.Evaluator
	bufs     [2][]byte
	bound    int64
	progress func(int64)
	adder    adder
}

func newWorker(a, b *Side, bound int64, progress func(int64)) *worker {
	w := &worker{sides: [2]*Side{a, b}, bound: bound, progress: progress}
	for k, s := range w.sides {
		w.evals[k] = compute.NewEvaluator(accel.CPU(), s.Bytes, false)
	}
	return w
}

// open makes the values of one side and says how many elements to take at once.
func (w *worker) open(k int, n *op.Node) (compute.Value, int64, error) {
	chunk, _, err := compute.ChunkFor(n, false, w.bound)
	if err != nil {
		return nil, 0, err
	}
	e := w.evals[k]
	e.Reset()
	e.Limit = compute.Gather * chunk
	v, err := e.Value(n)
	return v, compute.Count(n.DType, chunk), err
}

// buffer is room for n elements of one side.
func (w *worker) buffer(k int, d tensor.DType, n int64) []byte {
	size := compute.SizeOf(d, n)
	if int64(cap(w.bufs[k])) < size {
		w.bufs[k] = make([]byte, size)
	}
	return w.bufs[k][:size]
}

func (w *worker) measure(ctx context.Context, p *Pair, d *Delta) error {
	d.At = -1
	a, stepA, err := w.open(0, p.A)
	if err != nil {
		return err
	}
	b, stepB, err := w.open(1, p.B)
	if err != nil {
		return err
	}
	step := max(min(stepA, stepB)/blockElems*blockElems, blockElems)
	total := compute.Numel(p.A.Shape)
	todo := read(p.A) + read(p.B)
	for first := int64(0); first < total; first += step {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(step, total-first)
		var t [2]typed
		for k, side := range []struct {
			compute.Value
			node *op.Node
		}{{a, p.A}, {b, p.B}} {
			t[k] = typed{side.node.DType, w.buffer(k, side.node.DType, n)}
			if err := side.Read(t[k].bytes, first); err != nil {
				return fmt.Errorf("%s: %w", w.sides[k].Ref, err)
			}
		}
		if err := w.adder.add(d, t[0], t[1], first, n); err != nil {
			return err
		}
		if w.progress != nil {
			done := int64(float64(todo) * (float64(first+n) / float64(total)))
			w.progress(done - int64(float64(todo)*(float64(first)/float64(total))))
		}
	}
	return w.checks()
}

// checks compares what was read with what was recorded.
func (w *worker) checks() error {
	for k, e := range w.evals {
		for _, l := range e.Loads {
			if err := w.sides[k].check(l); err != nil {
				return err
			}
		}
	}
	return nil
}

// source reads a tensor from front to back only to check it.
func (w *worker) source(ctx context.Context, n *op.Node) error {
	v, step, err := w.open(0, n)
	if err != nil {
		return err
	}
	w.evals[1].Reset()
	total := compute.Numel(n.Shape)
	step = max(step/compute.BlockElems*compute.BlockElems, compute.BlockElems)
	for first := int64(0); first < total; first += step {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := v.Read(w.buffer(0, n.DType, min(step, total-first)), first); err != nil {
			return fmt.Errorf("%s: %w", w.sides[0].Ref, err)
		}
	}
	return w.checks()
}
