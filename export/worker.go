package export

import (
	"context"
	"fmt"

	"wreg/export/compute"
	"wreg/export/disk"
	"wreg/export/staging"
	"wreg/ingest/sums"
	"wreg/registry/arch/op"
	"wreg/registry/tensor"
)

// alignment is what file systems share blocks at. Elsewhere copyRange would go by 16
// pages at a time, slower than a pipe, and than reading and writing large pieces.
const alignment = 4096

// worker holds the buffers of one goroutine.
type worker struct {
	s    *writer
	eval *compute.Evaluator
	buf  []byte // what the tree gives, or what is read back
	out  [3]output
	pipe *disk.Pipe // of those that copy
	sha  bool       // prove with SHA-256
	dry  bool       // make and sum, but write nothing
}

// output is where one tensor of a unit is made and summed.
type output struct {
	buf []byte // used only when quantizing
	sum *sums.Digester
	at  int64 // in the shard
}

func newWorker(s *writer) *worker {
	sha := s.plan.o.Prove == ProveSHA256
	w := &worker{
		s: s, buf: make([]byte, compute.MaxChunk), sha: sha,
		eval: compute.NewEvaluator(s.plan.o.Device, s.src.Bytes, sha),
	}
	for i := range w.out {
		w.out[i].sum = sums.NewDigester(sha)
	}
	return w
}

// write writes a segment, says so in the journal, and reads it back, or has it read back
// when the disk has its unit.
func (w *worker) write(ctx context.Context, j staging.Key, queue *schedule, settled chan<- int) error {
	s, u := w.s, &w.s.units[j.Unit]
	if s.opens != nil {
		done, err := s.opens(ctx, j)
		if err != nil {
			return err
		}
		defer done()
	}
	var err error
	if _, ok := s.copied(j); ok {
		err = w.copy(ctx, j)
		queue.free(s, j)
	} else {
		err = w.make(ctx, j)
	}
	if err != nil {
		return fmt.Errorf("tensor %q: %w", s.plan.Tensors[u.first].Path, err)
	}
	if s.plan.o.Parts > 0 { // nobody else has the rest of the unit
		if err := w.readSegment(ctx, j); err != nil {
			return err
		}
	}
	var made []sums.Digest
	for k := range u.n {
		made = append(made, s.made[u.first+k][j.Segment])
		if out := &s.plan.Tensors[u.first+k]; !s.plan.o.NoSync && s.plan.o.Sink == nil {
			p := u.segments[j.Segment]
			disk.StartWriting(s.files[out.Shard], out.Offset+out.bytesFor(p.First), out.bytesFor(p.N))
		}
	}
	if err := s.journal.Record(j, made); err != nil {
		return err
	}
	if s.plan.stream != nil {
		s.plan.source.spool.Done(s.plan.jobs[j])
	}
	if s.plan.o.Parts > 0 {
		return nil
	}
	last := s.proofs[j.Unit].wrote(j.Segment)
	if !s.cold() {
		return w.readBack(ctx, j.Unit)
	}
	if last {
		settled <- j.Unit
	}
	return nil
}

// copy writes a segment that is a source tensor as it is. It is hashed when it is
// read back: being what the registry has then proves its source, too.
func (w *worker) copy(ctx context.Context, j staging.Key) error {
	u := &w.s.units[j.Unit]
	t, p := &w.s.plan.Tensors[u.first], u.segments[j.Segment]
	info, _ := w.s.copied(j)
	src, err := w.s.src.Bytes(info.Path)
	if err != nil {
		return err
	}
	file, off, direct := disk.InFile(src)
	dst, at, size := w.s.files[t.Shard], t.Offset+t.bytesFor(p.First), t.bytesFor(p.N)
	for done := int64(0); done < size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(disk.LargeWrite-(at+done)%disk.LargeWrite, size-done)
		var copied int64
		if direct && (off+done)%alignment == 0 && (at+done)%alignment == 0 {
			copied = disk.CopyRange(dst, at+done, file, off+done, n)
		}
		if direct {
			copied += w.s.pass(w.pipe, file, off+done+copied, t.Shard, at+done+copied, n-copied)
		}
		if buf := w.buf[:n-copied]; len(buf) > 0 {
			if err := disk.ReadFull(src, buf, done+copied); err != nil {
				return fmt.Errorf("source tensor %q: %w", info.Path, err)
			}
			if err := w.s.writeAt(t.Shard, buf, at+done+copied); err != nil {
				return err
			}
		}
		done += n
		w.s.advance(n)
	}
	w.s.made[u.first][j.Segment] = w.meant(info)
	return nil
}

// meant is what a copy of a source tensor must be.
func (w *worker) meant(info tensor.Info) sums.Digest {
	d := sums.Digest{Sum: info.Sum}
	if w.sha {
		d.Hash = info.Hash
	}
	return d
}

// make makes one segment, chunk by chunk, and writes it to its place.
func (w *worker) make(ctx context.Context, j staging.Key) error {
	u := &w.s.units[j.Unit]
	t, p := &w.s.plan.Tensors[u.first], u.segments[j.Segment]
	w.eval.Reset()
	w.eval.Limit = compute.Gather * u.chunk
	v, err := w.eval.Value(p.Node)
	if err != nil {
		return err
	}
	for k := range u.n {
		out := &w.s.plan.Tensors[u.first+k]
		w.out[k].sum.Reset()
		w.out[k].at = out.Offset + out.bytesFor(p.First)
	}
	step := compute.Count(p.Node.DType, u.chunk) / compute.BlockElems * compute.BlockElems
	for first := int64(0); first < p.N; first += step {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(step, p.N-first)
		buf := w.buf[:compute.SizeOf(p.Node.DType, n)]
		if err := v.Read(buf, first); err != nil {
			return err
		}
		if t.quant {
			err = w.quantize(u, p.Node.DType, buf, n)
		} else {
			err = w.put(t, &w.out[0], buf)
		}
		if err != nil {
			return err
		}
	}
	for _, l := range w.eval.Loads {
		if d, ok := l.Whole(); ok {
			if err := w.s.check(l.Node, d); err != nil {
				return err
			}
		}
	}
	for k := range u.n {
		w.s.made[u.first+k][j.Segment] = w.out[k].sum.Digest()
	}
	return nil
}

// quantize writes the codes, scales and biases of n elements.
func (w *worker) quantize(u *unit, dtype tensor.DType, src []byte, n int64) error {
	var bufs [3][]byte
	for k := range u.n {
		size := w.s.plan.Tensors[u.first+k].bytesFor(n)
		if int64(cap(w.out[k].buf)) < size {
			w.out[k].buf = make([]byte, size)
		}
		bufs[k] = w.out[k].buf[:size]
	}
	if err := w.s.plan.o.Device.Quantize(bufs[0], bufs[1], bufs[2], src, dtype, 1, int(n), w.s.plan.Tensors[u.first].spec); err != nil {
		return err
	}
	for k := range u.n {
		if err := w.put(&w.s.plan.Tensors[u.first+k], &w.out[k], bufs[k]); err != nil {
			return err
		}
	}
	return nil
}

// put writes the next bytes of a tensor.
func (w *worker) put(t *PlanTensor, out *output, buf []byte) error {
	out.sum.Write(buf)
	if !w.dry {
		if err := w.s.writeAt(t.Shard, buf, out.at); err != nil {
			return err
		}
	}
	out.at += int64(len(buf))
	w.s.advance(int64(len(buf)))
	return nil
}

// source reads a source tensor from front to back only to check it.
func (w *worker) source(ctx context.Context, path string) error {
	info, _ := w.s.plan.source.Lookup(path)
	w.eval.Reset()
	v, err := w.eval.Value(&op.Node{Step: op.Step{Op: op.Load, Path: path}, DType: info.DType, Shape: info.Shape})
	if err != nil {
		return err
	}
	n, _ := info.Shape.Numel()
	step := compute.Count(info.DType, int64(len(w.buf))) / compute.BlockElems * compute.BlockElems
	for first := int64(0); first < n; first += step {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := v.Read(w.buf[:compute.SizeOf(info.DType, min(step, n-first))], first); err != nil {
			return err
		}
	}
	l := w.eval.Loads[0]
	d, ok := l.Whole()
	if !ok {
		return fmt.Errorf("tensor %q: was not read completely", path)
	}
	return w.s.check(l.Node, d)
}
