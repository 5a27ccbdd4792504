package op

import (
	"fmt"
	"math"
	"slices"

	"wreg/registry/tensor"
)

func stacked(_ *Step, in []Array) (Array, error) {
	x := in[0]
	for i, other := range in[1:] {
		if other.DType != x.DType || !other.Shape.Equal(x.Shape) {
			return x, fmt.Errorf("stack: input %d is %v %v, the first %v %v", i+1, other.DType, other.Shape, x.DType, x.Shape)
		}
	}
	return Array{x.DType, append(tensor.Shape{int64(len(in))}, x.Shape...)}, nil
}

func concatenated(s *Step, in []Array) (Array, error) {
	out := Array{in[0].DType, slices.Clone(in[0].Shape)}
	if err := s.inRange(out.Shape, 1); err != nil {
		return out, err
	}
	for i, x := range in[1:] {
		same := x.DType == out.DType && len(x.Shape) == len(out.Shape)
		for k := range out.Shape {
			same = same && (k == s.Axis || x.Shape[k] == out.Shape[k])
		}
		if !same {
			return out, fmt.Errorf("concat: input %d is %v %v, the first %v %v", i+1, x.DType, x.Shape, in[0].DType, in[0].Shape)
		}
		if out.Shape[s.Axis] += x.Shape[s.Axis]; out.Shape[s.Axis] < 0 {
			return out, fmt.Errorf("concat along axis %d overflows 64 bits", s.Axis)
		}
	}
	return out, nil
}

// inRange checks that the axes that a step is about are there.
func (s *Step) inRange(shape tensor.Shape, axes int) error {
	if s.Axis < 0 || axes > len(shape) || s.Axis > len(shape)-axes {
		return fmt.Errorf("%s along axis %d of %v", s.Op, s.Axis, shape)
	}
	return nil
}

func permuted(s *Step, in []Array) (Array, error) {
	x := in[0]
	if len(s.Perm) != len(x.Shape) {
		return x, fmt.Errorf("permute of %d axes: the tensor has shape %v", len(s.Perm), x.Shape)
	}
	shape := make(tensor.Shape, len(x.Shape))
	for i, p := range s.Perm {
		if p < 0 || p >= len(shape) || slices.Contains(s.Perm[:i], p) {
			return x, fmt.Errorf("permute by %v: want each axis once", s.Perm)
		}
		shape[i] = x.Shape[p]
	}
	return Array{x.DType, shape}, nil
}

// permuteNode is a reshape when no element moves. It keeps the axes all the same: a
// plan's fingerprint has them, and parts written by an older wreg are found by it.
func permuteNode(s *Step, in *Node, out Array) *Node {
	n := &Node{Step: Step{Op: Permute, Perm: s.Perm}, In: []*Node{in}, DType: out.DType, Shape: out.Shape}
	if inPlace(s.Perm, in.Shape) {
		n.Op = Reshape
	}
	return n
}

// inPlace reports that a permutation moves only axes of size 1.
func inPlace(perm []int, shape tensor.Shape) bool {
	moved := slices.DeleteFunc(slices.Clone(perm), func(p int) bool { return shape[p] == 1 })
	return slices.IsSorted(moved)
}

func unpermuted(s *Step, out tensor.Shape) tensor.Shape {
	if len(out) != len(s.Perm) {
		return nil
	}
	in := make(tensor.Shape, len(out))
	for i, p := range s.Perm {
		in[p] = out[i]
	}
	return in
}

func unpermute(s *Step, n *Node, _ tensor.Shape) (*Node, error) {
	back := &Step{Op: Permute, Perm: make([]int, len(s.Perm))}
	for i, p := range s.Perm {
		back.Perm[p] = i
	}
	out, err := permuted(back, []Array{{n.DType, n.Shape}})
	if err != nil {
		return nil, err
	}
	return permuteNode(back, n, out), nil
}

func reshaped(s *Step, in []Array) (Array, error) {
	n, err := in[0].Shape.Numel()
	if err != nil {
		return in[0], err
	}
	shape, err := fill(s.Dims, n)
	return Array{in[0].DType, shape}, err
}

func flattened(s *Step, in []Array) (Array, error) {
	from := in[0].Shape
	if err := s.inRange(from, s.Count); err != nil {
		return in[0], err
	}
	n, err := from[s.Axis : s.Axis+s.Count].Numel()
	return Array{in[0].DType, slices.Concat(from[:s.Axis], tensor.Shape{n}, from[s.Axis+s.Count:])}, err
}

func unflattened(s *Step, out tensor.Shape) tensor.Shape {
	if s.Axis >= len(out) {
		return nil
	}
	return slices.Concat(out[:s.Axis], slices.Repeat(tensor.Shape{Unknown}, s.Count), out[s.Axis+1:])
}

func split(s *Step, in []Array) (Array, error) {
	from := in[0].Shape
	if err := s.inRange(from, 1); err != nil {
		return in[0], err
	}
	inner, err := fill(s.Dims, from[s.Axis])
	return Array{in[0].DType, slices.Concat(from[:s.Axis], inner, from[s.Axis+1:])}, err
}

// merged undoes an unflatten, whose dimensions say more than the result does.
func merged(s *Step, out tensor.Shape) tensor.Shape {
	n := len(s.Dims)
	if s.Axis+n > len(out) {
		return nil
	}
	dims := slices.Clone(s.Dims)
	for i, d := range dims {
		if d == Unknown {
			dims[i] = out[s.Axis+i]
		}
	}
	size := int64(Unknown)
	if Complete(dims) {
		if p, err := dims.Numel(); err == nil {
			size = p
		}
	}
	return slices.Concat(out[:s.Axis], tensor.Shape{size}, out[s.Axis+n:])
}

func squeezed(s *Step, in []Array) (Array, error) {
	from := in[0].Shape
	if err := s.inRange(from, 1); err != nil {
		return in[0], err
	}
	if from[s.Axis] != 1 {
		return in[0], fmt.Errorf("squeeze of axis %d of %v, which is not 1", s.Axis, from)
	}
	return Array{in[0].DType, slices.Concat(from[:s.Axis], from[s.Axis+1:])}, nil
}

func unsqueezed(s *Step, out tensor.Shape) tensor.Shape {
	if s.Axis > len(out) {
		return nil
	}
	return slices.Insert(slices.Clone(out), s.Axis, 1)
}

func reshapeNode(_ *Step, in *Node, out Array) *Node { return in.Reshaped(out.Shape) }

func unshape(_ *Step, n *Node, in tensor.Shape) (*Node, error) { return n.Reshaped(in), nil }

// Reshaped is the node with another shape of as many elements.
func (n *Node) Reshaped(shape tensor.Shape) *Node {
	if n.Shape.Equal(shape) {
		return n
	}
	return &Node{Step: Step{Op: Reshape}, DType: n.DType, Shape: shape, In: []*Node{n}}
}

// fill puts the size that makes n elements where a dimension is -1.
func fill(dims tensor.Shape, n int64) (tensor.Shape, error) {
	out := slices.Clone(dims)
	open := -1
	for i, d := range dims {
		switch {
		case d == Unknown && open < 0:
			open, out[i] = i, 1
		case d < 0:
			return nil, fmt.Errorf("%v are not dimensions", dims)
		}
	}
	rest, err := out.Numel()
	if err != nil {
		return nil, err
	}
	if open >= 0 && rest > 0 {
		out[open], rest = n/rest, n/rest*rest
	}
	if rest != n {
		return nil, fmt.Errorf("%d elements do not make %v", n, dims)
	}
	return out, nil
}

// viewed gives the shape of the same bits as another type: the last axis changes
// by the ratio of the sizes.
func viewed(s *Step, in []Array) (Array, error) {
	x := in[0]
	e1, from := x.DType.Block()
	e2, to := s.To.Block()
	if e1 != 1 || e2 != 1 || len(x.Shape) == 0 {
		return x, fmt.Errorf("view of %v %v as %v", x.DType, x.Shape, s.To)
	}
	shape := slices.Clone(x.Shape)
	bytes := shape[len(shape)-1] * from
	if bytes%to != 0 {
		return x, fmt.Errorf("view of %v %v as %v: the %d bytes of a row are not whole elements", x.DType, x.Shape, s.To, bytes)
	}
	shape[len(shape)-1] = bytes / to
	return Array{s.To, shape}, nil
}

func repeated(s *Step, in []Array) (Array, error) {
	x := in[0]
	if err := s.inRange(x.Shape, 1); err != nil {
		return x, err
	}
	if s.Count < 1 || x.Shape[s.Axis] > math.MaxInt64/int64(s.Count) {
		return x, fmt.Errorf("repeat of axis %d of %v: %d times overflow 64 bits", s.Axis, x.Shape, s.Count)
	}
	shape := slices.Clone(x.Shape)
	shape[s.Axis] *= int64(s.Count)
	return Array{x.DType, shape}, nil
}

func unrepeated(s *Step, out tensor.Shape) tensor.Shape {
	if s.Axis >= len(out) || out[s.Axis]%int64(s.Count) != 0 {
		return nil
	}
	in := slices.Clone(out)
	in[s.Axis] /= int64(s.Count)
	return in
}

func floats(s *Step, in []Array) (Array, error) {
	if !in[0].DType.Float() {
		return in[0], fmt.Errorf("%v of %v", s.Op, in[0].DType)
	}
	return in[0], nil
}

func gated(s *Step, in []Array) (Array, error) {
	x, err := floats(s, in)
	return Array{tensor.F32, x.Shape}, err
}

func scaledRows(s *Step, in []Array) (Array, error) {
	x := in[0]
	if len(x.Shape) == 0 || x.Shape[0] != int64(len(s.Vector)) {
		return x, fmt.Errorf("a vector of %d does not fit axis 0 of %v", len(s.Vector), x.Shape)
	}
	return x, nil
}

func normalized(s *Step, in []Array) (Array, error) { return in[0], s.inRange(in[0].Shape, 1) }

func same(_ *Step, out tensor.Shape) tensor.Shape { return out }

// uncounted is the shape of inputs whose sizes along the axis the result does not
// tell apart.
func uncounted(s *Step, out tensor.Shape) tensor.Shape {
	if s.Axis >= len(out) {
		return nil
	}
	in := slices.Clone(out)
	in[s.Axis] = Unknown
	return in
}

// Unknown is a dimension that the shape of a result does not tell.
const Unknown = -1

// Complete reports a shape without unknown dimensions.
func Complete(s tensor.Shape) bool { return s != nil && !slices.Contains(s, Unknown) }

// Tail is a shape without its first axis.
func Tail(s tensor.Shape) tensor.Shape {
	if len(s) == 0 {
		return nil
	}
	return s[1:]
}

// Merge joins what two results tell about one shape; ok is false when they
// contradict each other.
func Merge(a, b tensor.Shape) (_ tensor.Shape, ok bool) {
	switch {
	case a == nil:
		return b, true
	case b == nil:
		return a, true
	case len(a) != len(b):
		return a, false
	}
	out := slices.Clone(a)
	for i := range out {
		switch {
		case out[i] == Unknown:
			out[i] = b[i]
		case b[i] != Unknown && b[i] != out[i]:
			return a, false
		}
	}
	return out, true
}
