package compute

import (
	"strings"
	"testing"

	"wreg/registry/arch/op"
	"wreg/registry/tensor"
)

// What a step cannot do is refused before it is run, whoever built the tree.
func TestCheckRefuses(t *testing.T) {
	load := func(d tensor.DType, shape ...int64) *op.Node {
		return &op.Node{Step: op.Step{Op: op.Load, Path: d.String()}, DType: d, Shape: shape}
	}
	on := func(s op.Step, d tensor.DType, shape tensor.Shape, in ...*op.Node) *op.Node {
		return &op.Node{Step: s, In: in, DType: d, Shape: shape}
	}
	f32, i64, f4, f8 := load(tensor.F32, 4, 6), load(tensor.I64, 4, 6), load(tensor.F4, 4, 6), load(tensor.F8E4M3, 4, 6)
	deep := f32
	for range maxDepth {
		deep = on(op.Step{Op: op.Reshape}, tensor.F32, deep.Shape, deep)
	}
	for _, c := range []struct {
		n     *op.Node
		wants string
	}{
		{f32, ""},
		{on(op.Step{Op: "frobnicate"}, tensor.F32, f32.Shape, f32), "older than the architecture file"},
		{deep, "deeper than"},
		{on(op.Step{Op: op.Reshape}, tensor.F32, tensor.Shape{25}, f32), "elements do not make"},
		{on(op.Step{Op: op.Reshape}, tensor.F32, tensor.Shape{-24}, f32), "reshape"},
		{on(op.Step{Op: op.Reshape}, tensor.BF16, tensor.Shape{24}, f32), "gives f32"},
		{on(op.Step{Op: op.Reshape}, tensor.F32, tensor.Shape{24}, f32, f32), "2 inputs"},
		{on(op.Step{Op: op.Stack}, tensor.F32, tensor.Shape{0}), "0 inputs"},
		{on(op.Step{Op: op.Stack}, tensor.F32, tensor.Shape{2, 4, 6}, f32, i64), "the first"},
		{on(op.Step{Op: op.Concat, Axis: 2}, tensor.F32, tensor.Shape{4, 6}, f32), "axis 2"},
		{on(op.Step{Op: op.Permute, Perm: []int{0, 0}}, tensor.F32, tensor.Shape{4, 4}, f32), "each axis once"},
		{on(op.Step{Op: op.Permute, Perm: []int{0, 7}}, tensor.F32, tensor.Shape{4, 6}, f32), "each axis once"},
		{on(op.Step{Op: op.Permute, Perm: []int{1, 0}}, tensor.F4, tensor.Shape{6, 4}, f4), "individually"},
		{on(op.Step{Op: op.Repeat, Axis: 0, Count: 2}, tensor.F4, tensor.Shape{8, 6}, f4), "individually"},
		{on(op.Step{Op: op.Slice, Start: []int64{0}, Stop: []int64{2}, Stride: []int64{1}}, tensor.F32, tensor.Shape{2, 6}, f32), "slice"},
		{on(op.Step{Op: op.Slice, Start: []int64{0, 0}, Stop: []int64{op.End, 6}, Stride: []int64{1, 1}}, tensor.F32, tensor.Shape{4, 6}, f32), "slice"},
		{on(op.Step{Op: op.Slice, Start: []int64{0, 0}, Stop: []int64{5, 6}, Stride: []int64{1, 1}}, tensor.F32, tensor.Shape{5, 6}, f32), "too few"},
		{on(op.Step{Op: op.Repeat, Axis: 2, Count: 2}, tensor.F32, tensor.Shape{4, 12}, f32), "axis 2"},
		{on(op.Step{Op: op.Add, Scalar: 1}, tensor.I64, i64.Shape, i64), "add"},
		{on(op.Step{Op: op.MulVec, Vector: []float64{1}}, tensor.F32, f32.Shape, f32), "vector of 1"},
		{on(op.Step{Op: op.MulVec, Vector: make([]float64, 4)}, tensor.I64, i64.Shape, i64), "no conversion"},
		{on(op.Step{Op: op.Cast}, tensor.I64, f32.Shape, f32), "no conversion"},
		{on(op.Step{Op: op.View}, tensor.BF16, tensor.Shape{4, 6}, f32), "gives bf16 [4, 12]"},
		{on(op.Step{Op: op.L2Norm, Axis: 0}, tensor.F32, tensor.Shape{2, 2, 6}, load(tensor.F32, 2, 2, 6)), "only rows"},
		{on(op.Step{Op: op.L2Norm, Axis: 1}, tensor.I64, i64.Shape, i64), "no conversion"},
		{on(op.Step{Op: op.Branch, Scalar: 1}, tensor.F32, i64.Shape, i64), "branch"},
		{on(op.Step{Op: op.FP8, Block: [2]int64{2, 2}}, tensor.BF16, f8.Shape, f8, load(tensor.F32, 2, 2)), "do not fit"},
		{on(op.Step{Op: op.FP8}, tensor.BF16, f8.Shape, f8), "1 inputs"},
		{on(op.Step{Op: op.AWQ}, tensor.U32, tensor.Shape{48, 1}, load(tensor.I32, 4, 6)), "awq"},
		{on(op.Step{Op: op.AWQBias}, tensor.F32, f32.Shape, f32, load(tensor.I32, 6, 4)), "do not fit"},
		{on(op.Step{Op: op.Dequantize, Axis: 4, Count: 32}, tensor.BF16, tensor.Shape{4, 32}, load(tensor.U32, 4, 4), load(tensor.U8, 4, 2)), "do not fit"},
		{on(op.Step{Op: op.Dequantize, Axis: 4, Count: 32}, tensor.BF16, tensor.Shape{4, 32}, load(tensor.U32, 4, 4)), "1 inputs"},
		{on(op.Step{Op: op.Dequantize, Axis: 4, Count: 64}, tensor.F16, tensor.Shape{4, 64}, load(tensor.U32, 4, 8), load(tensor.F16, 4, 1)), "with 2 inputs"},
		{on(op.Step{Op: op.GGML}, tensor.F32, f32.Shape, f32), "become floats"},
	} {
		b := bench{}
		err := Check(c.n, func(path string) (tensor.Info, bool) { return b.info(c.n, path) })
		if (err == nil) != (c.wants == "") || err != nil && !strings.Contains(err.Error(), c.wants) {
			t.Errorf("%.80s: %v, want %q", c.n.Text(), err, c.wants)
		}
	}
}

// An operation that op knows can be computed, but for those that no Node has.
func TestEveryOperationIsRegistered(t *testing.T) {
	for _, name := range op.Functions() {
		switch o := op.Op(name); o {
		case op.Flatten, op.Unflatten, op.Squeeze: // become reshape
		default:
			if operations[o].value == nil {
				t.Errorf("nothing computes %s", o)
			}
		}
	}
}
