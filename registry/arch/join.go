package arch

import (
	"fmt"
	"slices"

	"wreg/registry/arch/op"
	"wreg/registry/tensor"
)

// join puts an hf tensor together.
func (v *inverter) join(path string) (*op.Node, error) {
	pieces := v.pieces[path]
	switch {
	case len(pieces) == 0:
		return nil, fmt.Errorf("no mlx tensor is made from it")
	case pieces[0].cut == nil:
		return pieces[0].node, nil
	}
	shapes := []tensor.Shape{v.shapes[path]} // that each step below the cut reads; last, that was cut
	if shapes[0] == nil {
		return nil, fmt.Errorf("its shape cannot be inferred from what is made of it; add a source statement")
	}
	below := pieces[0].below
	for _, m := range below {
		out, err := m.Result(op.Array{Shape: shapes[len(shapes)-1], DType: tensor.F32})
		if err != nil {
			return nil, err
		}
		shapes = append(shapes, out.Shape)
	}
	node, err := joined(pieces, shapes[len(below)])
	if err != nil {
		return nil, err
	}
	for i := len(below) - 1; i >= 0; i-- {
		if node, err = below[i].Undo(node, shapes[i]); err != nil {
			return nil, fmt.Errorf("not invertible: %w", err)
		}
	}
	return node, nil
}

// joined puts the pieces of one cut axis side by side, or, of a strided cut, one
// after the other.
func joined(pieces []piecewise, whole tensor.Shape) (*op.Node, error) {
	axis, stride := -1, int64(1)
	for _, p := range pieces {
		for k := range p.cut.Start {
			c := p.cut.Cut(k)
			if c.Whole() {
				continue
			}
			step := max(c.Stride, 1) // of an index, too
			if axis >= 0 && axis != k || axis >= 0 && stride != step || k >= len(whole) {
				return nil, fmt.Errorf("its parts are cut along several axes")
			}
			axis, stride = k, step
		}
	}
	if axis < 0 {
		return nil, fmt.Errorf("its parts overlap")
	}
	slices.SortStableFunc(pieces, func(a, b piecewise) int { return int(a.cut.Start[axis] - b.cut.Start[axis]) })
	var parts []*op.Node
	at := int64(0)
	for i, p := range pieces {
		c := p.cut.Cut(axis)
		if i > 0 && c == pieces[i-1].cut.Cut(axis) {
			continue // told twice
		}
		size := c.Of(whole[axis]).Size()
		if c.Start != at {
			return nil, fmt.Errorf("part of it is not stored anywhere: axis %d has %d elements, %d..%d are missing", axis, whole[axis], at, c.Start)
		}
		if at += size; stride > 1 {
			at = c.Start + 1
		}
		shape := slices.Clone(whole)
		shape[axis] = size
		parts = append(parts, p.node.Reshaped(shape))
	}
	if stride > 1 {
		if int64(len(parts)) != stride || whole[axis]%stride != 0 {
			return nil, fmt.Errorf("part of it is not stored anywhere: %d of %d interleaved parts", len(parts), stride)
		}
		return interleaved(parts, whole, axis), nil
	}
	if at != whole[axis] {
		return nil, fmt.Errorf("part of it is not stored anywhere: axis %d has %d elements, the parts %d", axis, whole[axis], at)
	}
	if len(parts) == 1 {
		return parts[0], nil
	}
	return &op.Node{Step: op.Step{Op: op.Concat, Axis: axis}, DType: parts[0].DType, Shape: whole, In: parts}, nil
}

// interleaved turns [a0 a1 …], [b0 b1 …] into a0 b0 a1 b1 … along an axis.
func interleaved(parts []*op.Node, whole tensor.Shape, axis int) *op.Node {
	each := parts[0].Shape
	dt := parts[0].DType
	stack := &op.Node{Step: op.Step{Op: op.Stack}, DType: dt, Shape: append(tensor.Shape{int64(len(parts))}, each...), In: parts}
	perm := make([]int, 0, len(each)+1)
	shape := make(tensor.Shape, 0, len(each)+1)
	for k := range each {
		perm, shape = append(perm, k+1), append(shape, each[k])
		if k == axis {
			perm, shape = append(perm, 0), append(shape, int64(len(parts)))
		}
	}
	turned := &op.Node{Step: op.Step{Op: op.Permute, Perm: perm}, DType: dt, Shape: shape, In: []*op.Node{stack}}
	return turned.Reshaped(whole)
}
