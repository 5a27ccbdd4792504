package arch

import (
	"fmt"
	"slices"

	"wreg/registry/tensor"
)

// join puts an hf tensor together.
func (v *inverter) join(path string) (*Node, error) {
	pieces := v.pieces[path]
	switch {
	case len(pieces) == 0:
		return nil, fmt.Errorf("no mlx tensor is made of it")
	case pieces[0].cut == nil:
		return pieces[0].node, nil
	}
	base := v.shapes[path]
	if base == nil {
		return nil, fmt.Errorf("its shape cannot be told from what is made of it: a source statement is needed")
	}
	first := pieces[0]
	for _, m := range first.below { // the shape that was cut
		p, err := m.step([]part{{shape: base, dtype: tensor.F32}}, false)
		if err != nil {
			return nil, err
		}
		base = p.shape
	}
	node, err := joined(pieces, base)
	if err != nil {
		return nil, err
	}
	shapes := []tensor.Shape{v.shapes[path]}
	for _, m := range first.below[:max(0, len(first.below)-1)] {
		p, err := m.step([]part{{shape: shapes[len(shapes)-1], dtype: tensor.F32}}, false)
		if err != nil {
			return nil, err
		}
		shapes = append(shapes, p.shape)
	}
	for i := len(first.below) - 1; i >= 0; i-- {
		if node, err = undo(first.below[i], node, shapes[i]); err != nil {
			return nil, fmt.Errorf("not invertible: %w", err)
		}
	}
	return node, nil
}

// joined puts the pieces of one cut axis side by side, or, of a strided cut, one
// after the other.
func joined(pieces []piecewise, whole tensor.Shape) (*Node, error) {
	axis, stride := -1, int64(1)
	for _, p := range pieces {
		for k, c := range p.cut.cuts {
			if c.whole() {
				continue
			}
			if axis >= 0 && axis != k || axis >= 0 && stride != c.step {
				return nil, fmt.Errorf("its parts are cut along several axes")
			}
			axis, stride = k, c.step
		}
	}
	if axis < 0 {
		return nil, fmt.Errorf("its parts overlap")
	}
	slices.SortStableFunc(pieces, func(a, b piecewise) int { return int(a.cut.cuts[axis].start - b.cut.cuts[axis].start) })
	var parts []*Node
	at := int64(0)
	for i, p := range pieces {
		c := p.cut.cuts[axis]
		if i > 0 && c == pieces[i-1].cut.cuts[axis] {
			continue // told twice
		}
		size := whole[axis] - c.start
		switch {
		case c.index:
			size = 1
		case !c.open:
			size = c.stop - c.start
		}
		if stride > 1 {
			size = (size + stride - 1) / stride
		}
		if c.start != at {
			return nil, fmt.Errorf("a part of it is kept nowhere: axis %d has %d elements, %d..%d are missing", axis, whole[axis], at, c.start)
		}
		if at += size; stride > 1 {
			at = c.start + 1
		}
		shape := slices.Clone(whole)
		shape[axis] = size
		parts = append(parts, reshaped(p.node, shape))
	}
	if stride > 1 {
		if int64(len(parts)) != stride || whole[axis]%stride != 0 {
			return nil, fmt.Errorf("a part of it is kept nowhere: %d of %d interleaved parts", len(parts), stride)
		}
		return interleaved(parts, whole, axis), nil
	}
	if at != whole[axis] {
		return nil, fmt.Errorf("a part of it is kept nowhere: axis %d has %d elements, the parts %d", axis, whole[axis], at)
	}
	if len(parts) == 1 {
		return parts[0], nil
	}
	return &Node{Op: OpConcat, Axis: axis, DType: parts[0].DType, Shape: whole, In: parts}, nil
}

// interleaved turns [a0 a1 …], [b0 b1 …] into a0 b0 a1 b1 … along an axis.
func interleaved(parts []*Node, whole tensor.Shape, axis int) *Node {
	each := parts[0].Shape
	dt := parts[0].DType
	stack := &Node{Op: OpStack, DType: dt, Shape: append(tensor.Shape{int64(len(parts))}, each...), In: parts}
	perm := make([]int, 0, len(each)+1)
	shape := make(tensor.Shape, 0, len(each)+1)
	for k := range each {
		perm, shape = append(perm, k+1), append(shape, each[k])
		if k == axis {
			perm, shape = append(perm, 0), append(shape, int64(len(parts)))
		}
	}
	turned := &Node{Op: OpPermute, Perm: perm, DType: dt, Shape: shape, In: []*Node{stack}}
	return reshaped(turned, whole)
}
