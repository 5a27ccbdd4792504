package compute

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"wreg/accel"
	"wreg/registry/arch/op"
	"wreg/registry/tensor"
)

// bench holds the source tensors of a generated tree.
type bench map[string][]byte

func (b bench) open(path string) (io.ReaderAt, error) { return bytes.NewReader(b[path]), nil }

// reference makes a whole tensor in the most obvious way: element by element,
// through indices, with nothing shared with the evaluator but the device.
func (b bench) reference(n *op.Node) []byte {
	if n.Op == op.Load {
		return b[n.Path]
	}
	var in [][]byte
	for _, m := range n.In {
		in = append(in, b.reference(m))
	}
	size := SizeOf(n.DType, 1)
	numel, _ := n.Shape.Numel()
	out := make([]byte, numel*size)
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	// from says which element of which input an element is.
	var from func(index []int64) (input int, at []int64)
	switch n.Op {
	case op.Reshape, op.View:
		return in[0]
	case op.Cast:
		must(accel.CPU().Cast(out, n.DType, in[0], n.In[0].DType))
		return out
	case op.Add:
		must(accel.CPU().AddScalar(out, in[0], n.DType, n.Scalar))
		return out
	case op.Mul:
		must(accel.CPU().MulScalar(out, in[0], n.DType, n.Scalar))
		return out
	case op.MulVec:
		row := int64(len(in[0])) / max(n.Shape[0], 1)
		for i, f := range n.Vector {
			must(accel.CPU().MulScalar(out[int64(i)*row:int64(i+1)*row], in[0][int64(i)*row:int64(i+1)*row], n.DType, f))
		}
		return out
	case op.FP8:
		w, s := n.In[0].Shape, n.In[1].Shape
		elements(w, func(index []int64, at int64) {
			si := make([]int64, len(s))
			for k := range s {
				i := index[k+len(w)-len(s)]
				switch {
				case n.Block == [2]int64{}:
					if s[k] != 1 {
						si[k] = i
					}
				case k >= len(s)-2:
					si[k] = i / n.Block[k-len(s)+2]
				default:
					si[k] = i
				}
			}
			p := flat(s, si) * SizeOf(n.In[1].DType, 1)
			must(accel.CPU().DequantFP8(out[2*at:2*at+2], in[0][at:at+1], 0, 1, 1, in[1][p:p+SizeOf(n.In[1].DType, 1)], n.In[1].DType, 1, 1))
		})
		return out
	case op.Stack:
		from = func(index []int64) (int, []int64) { return int(index[0]), index[1:] }
	case op.Concat:
		from = func(index []int64) (int, []int64) {
			at := append([]int64(nil), index...)
			k := 0
			for at[n.Axis] >= n.In[k].Shape[n.Axis] {
				at[n.Axis] -= n.In[k].Shape[n.Axis]
				k++
			}
			return k, at
		}
	case op.Slice:
		from = func(index []int64) (int, []int64) {
			at := make([]int64, len(index))
			for k := range index {
				at[k] = n.Start[k] + index[k]*n.Stride[k]
			}
			return 0, at
		}
	case op.Permute:
		from = func(index []int64) (int, []int64) {
			at := make([]int64, len(index))
			for k, p := range n.Perm {
				at[p] = index[k]
			}
			return 0, at
		}
	case op.Repeat:
		from = func(index []int64) (int, []int64) {
			at := append([]int64(nil), index...)
			at[n.Axis] /= int64(n.Count)
			return 0, at
		}
	}
	elements(n.Shape, func(index []int64, at int64) {
		k, src := from(index)
		p := flat(n.In[k].Shape, src) * size
		copy(out[at*size:(at+1)*size], in[k][p:p+size])
	})
	return out
}

func elements(shape tensor.Shape, fn func(index []int64, at int64)) {
	n, _ := shape.Numel()
	index := make([]int64, len(shape))
	for at := range n {
		fn(index, at)
		for k := len(shape) - 1; k >= 0; k-- {
			if index[k]++; index[k] < shape[k] {
				break
			}
			index[k] = 0
		}
	}
}

func flat(shape tensor.Shape, index []int64) (at int64) {
	for k, d := range shape {
		at = at*d + index[k]
	}
	return at
}

// tree draws a tree whose result has the given dtype and shape.
func (b bench) tree(t *rapid.T, dtype tensor.DType, shape tensor.Shape, depth int) *op.Node {
	ops := []op.Op{op.Load}
	if depth > 0 {
		ops = append(ops, op.Reshape)
		if dtype.Float() && dtype != tensor.F8E4M3 {
			ops = append(ops, op.Cast, op.Add, op.Mul)
			if len(shape) > 0 {
				ops = append(ops, op.MulVec)
			}
		}
		if len(shape) > 0 {
			ops = append(ops, op.Stack, op.Concat, op.Slice, op.Permute, op.Repeat)
			if dtype == tensor.U32 {
				ops = append(ops, op.View)
			}
			if dtype == tensor.BF16 {
				ops = append(ops, op.FP8)
			}
		}
	}
	n := &op.Node{Step: op.Step{Op: rapid.SampledFrom(ops).Draw(t, "op")}, DType: dtype, Shape: shape}
	in := func(dtype tensor.DType, shape tensor.Shape) { n.In = append(n.In, b.tree(t, dtype, shape, depth-1)) }
	pick := func(lo, hi int, name string) int { return rapid.IntRange(lo, hi).Draw(t, name) }
	with := func(axis int, d int64) tensor.Shape {
		s := append(tensor.Shape(nil), shape...)
		s[axis] = d
		return s
	}
	switch n.Op {
	case op.Load:
		n.Path = fmt.Sprintf("t%d", len(b))
		size, _ := shape.Bytes(dtype)
		b[n.Path] = noise(dtype, size, uint64(pick(0, 1<<30, "seed")))
	case op.Reshape:
		numel, _ := shape.Numel()
		in(dtype, rapid.SampledFrom([]tensor.Shape{{numel}, {numel, 1}, {1, numel}, shape}).Draw(t, "shape"))
	case op.Cast:
		in(rapid.SampledFrom([]tensor.DType{tensor.F16, tensor.BF16, tensor.F32}).Draw(t, "from"), shape)
	case op.Add, op.Mul:
		n.Scalar = rapid.SampledFrom([]float64{1, -8, 0.70710678}).Draw(t, "scalar")
		in(dtype, shape)
	case op.MulVec:
		for i := range shape[0] {
			n.Vector = append(n.Vector, float64(i)*0.37+0.1)
		}
		in(dtype, shape)
	case op.View:
		in(tensor.U8, with(len(shape)-1, shape[len(shape)-1]*4))
	case op.Stack:
		for range shape[0] {
			in(dtype, shape[1:])
		}
		if shape[0] == 0 {
			n.Op, n.Path = op.Load, fmt.Sprintf("t%d", len(b))
			b[n.Path] = nil
		}
	case op.Concat:
		n.Axis = pick(0, len(shape)-1, "axis")
		cut := int64(pick(0, int(shape[n.Axis]), "cut"))
		in(dtype, with(n.Axis, cut))
		in(dtype, with(n.Axis, shape[n.Axis]-cut))
	case op.Slice:
		from := append(tensor.Shape(nil), shape...)
		for k, d := range shape {
			start, step, rest := int64(pick(0, 2, "start")), int64(pick(1, 3, "step")), int64(pick(0, 2, "rest"))
			stop := start
			if d > 0 {
				stop = start + (d-1)*step + 1
			}
			n.Start, n.Stop, n.Stride = append(n.Start, start), append(n.Stop, stop), append(n.Stride, step)
			from[k] = stop + rest
		}
		in(dtype, from)
	case op.Permute:
		n.Perm = rapid.Permutation(sequence(len(shape))).Draw(t, "perm")
		from := make(tensor.Shape, len(shape))
		for k, p := range n.Perm {
			from[p] = shape[k]
		}
		in(dtype, from)
	case op.Repeat:
		n.Axis, n.Count = pick(0, len(shape)-1, "axis"), 1
		for _, c := range []int64{2, 3} {
			if shape[n.Axis]%c == 0 {
				n.Count = int(c)
			}
		}
		in(dtype, with(n.Axis, shape[n.Axis]/int64(n.Count)))
	case op.FP8:
		in(tensor.F8E4M3, shape)
		scale := append(tensor.Shape(nil), shape...)
		if len(shape) > 1 && rapid.Bool().Draw(t, "blocks") {
			n.Block = [2]int64{int64(pick(1, 5, "block rows")), int64(pick(1, 5, "block cols"))}
			k := len(shape) - 2
			scale[k], scale[k+1] = (shape[k]+n.Block[0]-1)/n.Block[0], (shape[k+1]+n.Block[1]-1)/n.Block[1]
		} else {
			for k := range scale {
				if rapid.Bool().Draw(t, "one") {
					scale[k] = 1
				}
			}
			scale = scale[pick(0, len(scale), "rank"):]
		}
		in(rapid.SampledFrom([]tensor.DType{tensor.F32, tensor.BF16}).Draw(t, "scale type"), scale)
	}
	return n
}

func sequence(n int) (out []int) {
	for i := range n {
		out = append(out, i)
	}
	return out
}

// noise is random bytes. e4m3 NaNs are kept: they must come out the same, too.
func noise(_ tensor.DType, size int64, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	out := make([]byte, size)
	for i := range out {
		out[i] = byte(r.Uint32())
	}
	return out
}

// Any tree, cut into any ranges, gives the bytes of the reference; with gathers
// bounded so that all paths are taken.
func TestEvaluatorEqualsReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := bench{}
		dtype := rapid.SampledFrom([]tensor.DType{tensor.BF16, tensor.F16, tensor.F32, tensor.U8, tensor.U32, tensor.I64}).Draw(t, "dtype")
		var shape tensor.Shape
		for range rapid.IntRange(0, 5).Draw(t, "rank") {
			shape = append(shape, int64(rapid.SampledFrom([]int{1, 2, 3, 4, 6, 7, 0}).Draw(t, "dim")))
		}
		n := b.tree(t, dtype, shape, 4)
		if err := Check(n, func(path string) (tensor.Info, bool) { return b.info(n, path) }); err != nil {
			t.Fatal(err)
		}
		want := b.reference(n)
		e := &Evaluator{device: accel.CPU(), open: b.open, Limit: int64(rapid.SampledFrom([]int{256, 4096, 1 << 20}).Draw(t, "limit")),
			when: rapid.SampledFrom([]thresholds{usual, {0, 0}, {0, 1 << 30}, {64, 4}}).Draw(t, "when")}
		numel, _ := shape.Numel()
		got := make([]byte, len(want))
		for _, p := range Cut(n) {
			e.Reset()
			v, err := e.Value(p.Node)
			if err != nil {
				t.Fatal(err)
			}
			for first := int64(0); first < p.N; {
				k := min(int64(rapid.IntRange(1, 300).Draw(t, "range")), p.N-first)
				if err := v.Read(got[SizeOf(dtype, p.First+first):SizeOf(dtype, p.First+first+k)], first); err != nil {
					t.Fatal(err)
				}
				first += k
			}
			numel -= p.N
		}
		if numel != 0 {
			t.Fatalf("parts leave %d elements", numel)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("%s: bytes differ", n.Text())
		}
	})
}

// info describes a source tensor as the tree's load does.
func (b bench) info(n *op.Node, path string) (tensor.Info, bool) {
	if n.Op == op.Load && n.Path == path {
		return tensor.Info{DType: n.DType, Shape: n.Shape}, true
	}
	for _, m := range n.In {
		if i, ok := b.info(m, path); ok {
			return i, true
		}
	}
	return tensor.Info{}, false
}
