package compute

import (
	"fmt"
	"math"
	"slices"

	"wreg/accel"
	"wreg/registry/arch"
	"wreg/registry/arch/op"
	"wreg/registry/tensor"
)

// maxDepth bounds a tree, so that no architecture file can exhaust the stack.
const maxDepth = 64

// Check checks a whole tree: that every dtype and shape it declares is what
// its operation makes of its inputs. Running it then needs no further checks.
// have finds the source tensors.
func Check(n *op.Node, have func(path string) (tensor.Info, bool)) error {
	return checkTree(n, have, 0)
}

func checkTree(n *op.Node, have func(string) (tensor.Info, bool), depth int) error {
	if depth == maxDepth {
		return fmt.Errorf("steps nest deeper than %d", maxDepth)
	}
	for _, m := range n.In {
		if err := checkTree(m, have, depth+1); err != nil {
			return err
		}
	}
	if _, err := n.Shape.Bytes(n.DType); err != nil {
		return fmt.Errorf("%s: %w", n.Op, err)
	}
	dtype, shape, err := result(n, have)
	if err != nil {
		return fmt.Errorf("%s: %w", n.Op, err)
	}
	if dtype != n.DType || !shape.Equal(n.Shape) {
		return fmt.Errorf("%s gives %v %v, not %v %v", n.Op, dtype, shape, n.DType, n.Shape)
	}
	return nil
}

// result is the dtype and shape a step makes of its inputs.
func result(n *op.Node, have func(string) (tensor.Info, bool)) (tensor.DType, tensor.Shape, error) {
	if n.Op == op.Load {
		t, ok := have(n.Path)
		if !ok {
			return 0, nil, fmt.Errorf("tensor %q is not in the model", n.Path)
		}
		return t.DType, t.Shape, nil
	}
	if least, most := inputs(n.Op); len(n.In) < least || len(n.In) > most {
		return 0, nil, fmt.Errorf("%d inputs", len(n.In))
	}
	in := n.In[0]
	switch n.Op {
	case op.Stack:
		return stacked(n)
	case op.Concat:
		return concatenated(n)
	case op.Slice:
		return sliced(n)
	case op.Reshape:
		a, err := in.Shape.Numel()
		if err != nil {
			return 0, nil, err
		}
		if b, err := n.Shape.Numel(); err != nil || a != b {
			return 0, nil, fmt.Errorf("%v cannot become %v", in.Shape, n.Shape)
		}
		return in.DType, n.Shape, nil
	case op.Permute:
		return permuted(n)
	case op.Repeat:
		if n.Axis < 0 || n.Axis >= len(in.Shape) || n.Count < 1 {
			return 0, nil, fmt.Errorf("axis %d of %v, %d times", n.Axis, in.Shape, n.Count)
		}
		shape := slices.Clone(in.Shape)
		shape[n.Axis] *= int64(n.Count)
		return in.DType, shape, nil
	case op.Add, op.Mul:
		return in.DType, in.Shape, castable(in.DType, in.DType)
	case op.MulVec:
		if len(in.Shape) == 0 || int64(len(n.Vector)) != in.Shape[0] {
			return 0, nil, fmt.Errorf("%d factors for %v", len(n.Vector), in.Shape)
		}
		return in.DType, in.Shape, castable(in.DType, in.DType)
	case op.Cast:
		return n.DType, in.Shape, castable(in.DType, n.DType)
	case op.Branch, op.Stream:
		if in.DType == tensor.F32 {
			return tensor.F32, in.Shape, nil
		}
		return tensor.F32, in.Shape, castable(in.DType, tensor.F32)
	case op.View:
		return viewed(n)
	case op.FP8:
		return dequantized(n)
	case op.L2Norm, op.AWQ, op.AWQBias, op.Dequantize:
		return unpacked(n)
	}
	if n.Op == op.GGML {
		if decodable[in.DType] == nil {
			return 0, nil, fmt.Errorf("of %v", in.DType)
		}
		return tensor.F32, in.Shape, nil
	}
	return 0, nil, fmt.Errorf("operation is unknown; this wreg is older than the architecture file")
}

// inputs is how many inputs an operation takes.
func inputs(of op.Op) (least, most int) {
	switch of {
	case op.Stack, op.Concat:
		return 1, math.MaxInt
	case op.FP8:
		return 2, 2
	case op.AWQBias:
		return 1, 2
	case op.Dequantize:
		return 2, 3
	}
	return 1, 1
}

func stacked(n *op.Node) (tensor.DType, tensor.Shape, error) {
	in := n.In[0]
	for i, m := range n.In {
		if m.DType != in.DType || !m.Shape.Equal(in.Shape) {
			return 0, nil, fmt.Errorf("input %d is %v %v, input 0 is %v %v", i, m.DType, m.Shape, in.DType, in.Shape)
		}
	}
	return in.DType, append(tensor.Shape{int64(len(n.In))}, in.Shape...), nil
}

func concatenated(n *op.Node) (tensor.DType, tensor.Shape, error) {
	in := n.In[0]
	if n.Axis < 0 || n.Axis >= len(in.Shape) {
		return 0, nil, fmt.Errorf("axis %d of %v", n.Axis, in.Shape)
	}
	shape := slices.Clone(in.Shape)
	shape[n.Axis] = 0
	for i, m := range n.In {
		if m.DType != in.DType || len(m.Shape) != len(shape) ||
			!slices.Equal(m.Shape[:n.Axis], in.Shape[:n.Axis]) || !slices.Equal(m.Shape[n.Axis+1:], in.Shape[n.Axis+1:]) {
			return 0, nil, fmt.Errorf("input %d is %v %v, input 0 is %v %v", i, m.DType, m.Shape, in.DType, in.Shape)
		}
		shape[n.Axis] += m.Shape[n.Axis]
	}
	return in.DType, shape, nil
}

func sliced(n *op.Node) (tensor.DType, tensor.Shape, error) {
	in := n.In[0]
	rank := len(in.Shape)
	if len(n.Start) != rank || len(n.Stop) != rank || (len(n.Stride) != rank && n.Stride != nil) {
		return 0, nil, fmt.Errorf("%d starts, %d stops, %d steps for %v", len(n.Start), len(n.Stop), len(n.Stride), in.Shape)
	}
	var shape tensor.Shape
	for i, d := range in.Shape {
		if n.Start[i] < 0 || n.Stop[i] > d || n.Start[i] > n.Stop[i] || stepOf(n, i) < 1 {
			return 0, nil, fmt.Errorf("axis %d: %d:%d:%d of %d", i, n.Start[i], n.Stop[i], stepOf(n, i), d)
		}
		shape = append(shape, sliceLen(n, i))
	}
	return in.DType, shape, byteSized(in.DType)
}

// stepOf is a slice's step along an axis; none given is 1.
func stepOf(n *op.Node, axis int) int64 {
	if n.Stride == nil {
		return 1
	}
	return n.Stride[axis]
}

// sliceLen is how many indices a slice keeps along an axis.
func sliceLen(n *op.Node, axis int) int64 {
	step := stepOf(n, axis)
	return (n.Stop[axis] - n.Start[axis] + step - 1) / step
}

func permuted(n *op.Node) (tensor.DType, tensor.Shape, error) {
	in := n.In[0]
	shape := make(tensor.Shape, len(in.Shape))
	seen := make([]bool, len(in.Shape))
	for i, p := range n.Perm {
		if len(n.Perm) != len(shape) || p < 0 || p >= len(shape) || seen[p] {
			return 0, nil, fmt.Errorf("axes %v of %v", n.Perm, in.Shape)
		}
		seen[p], shape[i] = true, in.Shape[p]
	}
	if len(n.Perm) != len(shape) {
		return 0, nil, fmt.Errorf("axes %v of %v", n.Perm, in.Shape)
	}
	return in.DType, shape, byteSized(in.DType)
}

// byteSized refuses types whose elements have no address of their own.
func byteSized(d tensor.DType) error {
	if elems, _ := d.Block(); elems != 1 {
		return fmt.Errorf("elements of %v lie packed in blocks of %d and cannot be moved one by one", d, elems)
	}
	return nil
}

func viewed(n *op.Node) (tensor.DType, tensor.Shape, error) {
	in := n.In[0]
	a, err := in.Shape.Bytes(in.DType)
	if err != nil {
		return 0, nil, err
	}
	if b, err := n.Shape.Bytes(n.DType); err != nil || a != b {
		return 0, nil, fmt.Errorf("%v %v cannot be seen as %v %v", in.DType, in.Shape, n.DType, n.Shape)
	}
	return n.DType, n.Shape, nil
}

// dequantized checks that the scales cover the weight.
func dequantized(n *op.Node) (tensor.DType, tensor.Shape, error) {
	weight, scale := n.In[0], n.In[1]
	w, s := weight.Shape, scale.Shape
	mismatch := fmt.Errorf("scales %v %v do not fit %v %v in blocks of %v", scale.DType, s, weight.DType, w, n.Block)
	if weight.DType != tensor.F8E4M3 && weight.DType != tensor.U8 || len(w) == 0 || len(s) > len(w) {
		return 0, nil, mismatch
	}
	if scale.DType != tensor.F32 && scale.DType != tensor.BF16 {
		return 0, nil, mismatch
	}
	if n.Block == [2]int64{} {
		for i, d := range s {
			if d != 1 && d != w[i+len(w)-len(s)] {
				return 0, nil, mismatch
			}
		}
		return tensor.BF16, w, nil
	}
	k := len(w) - 2
	if k < 0 || n.Block[0] < 1 || n.Block[1] < 1 || len(s) != len(w) || !slices.Equal(w[:k], s[:k]) ||
		(w[k]+n.Block[0]-1)/n.Block[0] > s[k] || (w[k+1]+n.Block[1]-1)/n.Block[1] > s[k+1] {
		return 0, nil, mismatch
	}
	return tensor.BF16, w, nil
}

// castable asks whether the device can; operations need it too, since they work
// in float32.
func castable(from, to tensor.DType) error {
	if !accel.CanCast(from, to) {
		return fmt.Errorf("no conversion from %v to %v", from, to)
	}
	return nil
}

// Numel is the number of elements of a shape that was checked before.
func Numel(s tensor.Shape) int64 {
	n, _ := s.Numel()
	return n
}

// unpacked checks what op.Dequantize, OpAWQ, OpAWQBias and OpL2Norm are given.
func unpacked(n *op.Node) (tensor.DType, tensor.Shape, error) {
	in := n.In[0]
	last := len(in.Shape) - 1
	bad := fmt.Errorf("of %v %v", in.DType, in.Shape)
	if last < 0 {
		return 0, nil, bad
	}
	switch n.Op {
	case op.L2Norm:
		if n.Axis != last && (n.Axis != 0 || last != 1) {
			return 0, nil, fmt.Errorf("axis %d of %v: only rows, or columns of a matrix", n.Axis, in.Shape)
		}
		if in.DType == tensor.F32 {
			return in.DType, in.Shape, nil
		}
		return in.DType, in.Shape, castable(in.DType, tensor.F32)
	case op.AWQ:
		if last != 1 || in.DType != tensor.I32 || in.Shape[0]%8 != 0 {
			return 0, nil, bad
		}
		return tensor.U32, tensor.Shape{8 * in.Shape[1], in.Shape[0] / 8}, nil
	case op.AWQBias:
		if last != 1 || !in.DType.Float() {
			return 0, nil, bad
		}
		if len(n.In) == 2 {
			z := n.In[1]
			if z.DType != tensor.I32 || len(z.Shape) != 2 || z.Shape[0] != in.Shape[1] || z.Shape[1]*8 != in.Shape[0] {
				return 0, nil, fmt.Errorf("zeros %v %v do not fit scales %v", z.DType, z.Shape, in.Shape)
			}
		}
		return in.DType, in.Shape, nil
	}
	scales := n.In[1]
	spec, err := Packing(arch.Packed{Bits: n.Axis, GroupSize: n.Count}, scales.DType)
	if err != nil || in.DType != tensor.U32 {
		return 0, nil, fmt.Errorf("%w: %v", bad, err)
	}
	shape := append(tensor.Shape(nil), in.Shape...)
	shape[last] = shape[last] * 32 / int64(spec.Bits)
	groups := append(tensor.Shape(nil), shape...)
	groups[last] /= int64(spec.Group)
	for _, m := range n.In[1:] {
		if !m.Shape.Equal(groups) || m.DType != scales.DType || shape[last]%int64(spec.Group) != 0 {
			return 0, nil, fmt.Errorf("scales %v %v do not fit %v of %d bits in groups of %d", m.DType, m.Shape, in.Shape, spec.Bits, spec.Group)
		}
	}
	if (spec.Mode == accel.Affine) != (len(n.In) == 3) {
		return 0, nil, fmt.Errorf("%s with %d inputs", spec.Mode, len(n.In))
	}
	if spec.Mode == accel.Affine {
		return scales.DType, shape, castable(scales.DType, scales.DType)
	}
	return tensor.BF16, shape, nil
}
