package arch

import (
	"fmt"
	"math"
	"slices"

	"wreg/registry/tensor"
)

// step computes what one operation makes of its inputs: dtype and shape, checked,
// and with build the Node.
func (m *making) step(in []part, build bool) (part, error) {
	x := in[0]
	out := part{dtype: x.dtype}
	node := Node{Op: m.op}
	var err error
	switch m.op {
	case OpStack:
		for i, other := range in[1:] {
			if other.dtype != x.dtype || !other.shape.Equal(x.shape) {
				return out, fmt.Errorf("stack: input %d is %v %v, the first %v %v", i+1, other.dtype, other.shape, x.dtype, x.shape)
			}
		}
		out.shape = append(tensor.Shape{int64(len(in))}, x.shape...)
	case OpConcat:
		out.shape, err = m.concat(in)
		node.Axis = m.axis
	case OpSlice:
		return m.slice(x, build)
	case OpPermute:
		if len(m.perm) != len(x.shape) {
			return out, fmt.Errorf("permute of %d axes: the tensor has shape %v", len(m.perm), x.shape)
		}
		node.Perm = m.perm
		for _, p := range m.perm {
			out.shape = append(out.shape, x.shape[p])
		}
		if inPlace(m.perm, x.shape) { // no element moves
			node.Op = OpReshape
		}
	case OpReshape, opFlatten, opUnflatten, opSqueeze:
		node.Op = OpReshape
		out.shape, err = m.reshaped(x.shape)
		if err == nil && out.shape.Equal(x.shape) {
			return x, nil
		}
	case OpAdd, OpMul:
		node.Scalar = m.scalar
		out.shape = x.shape
		if !x.dtype.Float() {
			err = fmt.Errorf("%v of %v", m.op, x.dtype)
		}
	case OpBranch, OpStream:
		node.Scalar = m.scalar
		out.dtype, out.shape = tensor.F32, x.shape
		if !x.dtype.Float() {
			err = fmt.Errorf("%v of %v", m.op, x.dtype)
		}
	case OpMulVec:
		node.Vector, node.Scalar = m.vector, m.scalar
		out.shape = x.shape
		if len(x.shape) == 0 || x.shape[0] != int64(len(m.vector)) {
			err = fmt.Errorf("a vector of %d does not fit axis 0 of %v", len(m.vector), x.shape)
		}
	case OpCast:
		out.dtype, out.shape = m.dtype, x.shape
		if m.dtype == x.dtype {
			return x, nil
		}
	case OpView:
		out.dtype = m.dtype
		out.shape, err = viewed(x, m.dtype)
	case OpRepeat:
		node.Axis, node.Count = m.axis, m.count
		if m.axis < 0 || m.axis >= len(x.shape) {
			return out, fmt.Errorf("repeat along axis %d of %v", m.axis, x.shape)
		}
		out.shape = slices.Clone(x.shape)
		if out.shape[m.axis] > math.MaxInt64/int64(m.count) {
			return out, fmt.Errorf("repeat of axis %d of %v: %d times overflow 64 bits", m.axis, x.shape, m.count)
		}
		out.shape[m.axis] *= int64(m.count)
	case OpL2Norm:
		node.Axis = m.axis
		out.shape = x.shape
		if m.axis < 0 || m.axis >= len(x.shape) {
			err = fmt.Errorf("l2norm along axis %d of %v", m.axis, x.shape)
		}
	default:
		err = fmt.Errorf("%v is no operation", m.op)
	}
	if err != nil {
		return out, err
	}
	if _, err := out.shape.Numel(); err != nil {
		return out, err
	}
	if build {
		node.DType, node.Shape = out.dtype, out.shape
		for _, p := range in {
			node.In = append(node.In, p.node)
		}
		out.node = &node
	}
	return out, nil
}

// inPlace reports that a permutation moves only axes of size 1.
func inPlace(perm []int, shape tensor.Shape) bool {
	last := -1
	for _, p := range perm {
		if shape[p] == 1 {
			continue
		}
		if p < last {
			return false
		}
		last = p
	}
	return true
}

func (m *making) concat(in []part) (tensor.Shape, error) {
	shape := slices.Clone(in[0].shape)
	if m.axis < 0 || m.axis >= len(shape) {
		return nil, fmt.Errorf("concat along axis %d of %v", m.axis, shape)
	}
	for i, p := range in[1:] {
		same := p.dtype == in[0].dtype && len(p.shape) == len(shape)
		for k := range shape {
			same = same && (k == m.axis || p.shape[k] == shape[k])
		}
		if !same {
			return nil, fmt.Errorf("concat: input %d is %v %v, the first %v %v", i+1, p.dtype, p.shape, in[0].dtype, in[0].shape)
		}
		if shape[m.axis] += p.shape[m.axis]; shape[m.axis] < 0 {
			return nil, fmt.Errorf("concat along axis %d overflows 64 bits", m.axis)
		}
	}
	return shape, nil
}

// slice cuts axes; an index is a slice of one and then a reshape.
func (m *making) slice(x part, build bool) (part, error) {
	rank := len(x.shape)
	if len(m.cuts) > rank {
		return x, fmt.Errorf("a slice of %d axes: the tensor has shape %v", len(m.cuts), x.shape)
	}
	node := Node{Op: OpSlice, DType: x.dtype, Start: make([]int64, rank), Stop: slices.Clone([]int64(x.shape)), Step: make([]int64, rank)}
	cutShape := slices.Clone(x.shape)
	var kept tensor.Shape
	indexed := false
	for k := range rank {
		node.Step[k] = 1
		if k >= len(m.cuts) {
			kept = append(kept, x.shape[k])
			continue
		}
		c := m.cuts[k]
		stop := c.stop
		switch {
		case c.index:
			stop = c.start + 1
		case c.open:
			stop = x.shape[k]
		}
		if c.start > stop || stop > x.shape[k] {
			return x, fmt.Errorf("axis %d has %d elements, too few for %d..%d", k, x.shape[k], c.start, stop)
		}
		node.Start[k], node.Stop[k], node.Step[k] = c.start, stop, c.step
		cutShape[k] = (stop - c.start + c.step - 1) / c.step
		if c.index {
			indexed = true
		} else {
			kept = append(kept, cutShape[k])
		}
	}
	out := part{dtype: x.dtype, shape: cutShape}
	if cutShape.Equal(x.shape) && !indexed {
		return x, nil
	}
	if build {
		node.Shape, node.In = cutShape, []*Node{x.node}
		out.node = &node
		if cutShape.Equal(x.shape) {
			out.node = x.node
		}
	}
	if indexed {
		out.shape = kept
		if build {
			out.node = &Node{Op: OpReshape, DType: x.dtype, Shape: kept, In: []*Node{out.node}}
		}
	}
	return out, nil
}

func (m *making) reshaped(from tensor.Shape) (tensor.Shape, error) {
	inRange := func(count int) error {
		if m.axis < 0 || m.axis+count > len(from) {
			return fmt.Errorf("%v at axis %d of %v", m.op, m.axis, from)
		}
		return nil
	}
	var to tensor.Shape
	switch m.op {
	case opFlatten:
		if err := inRange(m.count); err != nil {
			return nil, err
		}
		n, err := from[m.axis : m.axis+m.count].Numel()
		if err != nil {
			return nil, err
		}
		return append(append(append(to, from[:m.axis]...), n), from[m.axis+m.count:]...), nil
	case opSqueeze:
		if err := inRange(1); err != nil {
			return nil, err
		}
		if from[m.axis] != 1 {
			return nil, fmt.Errorf("squeeze of axis %d of %v, which is not 1", m.axis, from)
		}
		return append(append(to, from[:m.axis]...), from[m.axis+1:]...), nil
	case opUnflatten:
		if err := inRange(1); err != nil {
			return nil, err
		}
		inner, err := fill(m.dims, from[m.axis])
		if err != nil {
			return nil, err
		}
		return append(append(append(to, from[:m.axis]...), inner...), from[m.axis+1:]...), nil
	}
	n, err := from.Numel()
	if err != nil {
		return nil, err
	}
	return fill(m.dims, n)
}

// fill puts the size that makes n elements where a dimension is -1.
func fill(dims tensor.Shape, n int64) (tensor.Shape, error) {
	out := slices.Clone(dims)
	open, rest := -1, int64(1)
	for i, d := range dims {
		switch {
		case d == -1 && open < 0:
			open = i
			out[i] = 1
		case d < 0:
			return nil, fmt.Errorf("%v are no dimensions", dims)
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
func viewed(x part, dtype tensor.DType) (tensor.Shape, error) {
	e1, from := x.dtype.Block()
	e2, to := dtype.Block()
	if e1 != 1 || e2 != 1 || len(x.shape) == 0 {
		return nil, fmt.Errorf("view of %v %v as %v", x.dtype, x.shape, dtype)
	}
	shape := slices.Clone(x.shape)
	bytes := shape[len(shape)-1] * from
	if bytes%to != 0 {
		return nil, fmt.Errorf("view of %v %v as %v: %d bytes a row are no whole elements", x.dtype, x.shape, dtype, bytes)
	}
	shape[len(shape)-1] = bytes / to
	return shape, nil
}
