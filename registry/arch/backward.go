package arch

import (
	"slices"

	"wreg/registry/tensor"
)

// unknown is a dimension that the shape of a result does not tell.
const unknown = -1

// backward tells, for the result's shape, what shape each path a making reads
// must have; dimensions that cannot be told are unknown. Several results may tell
// different dimensions of one path: merge joins them.
func (m *making) backward(shape tensor.Shape, tell func(path string, shape tensor.Shape)) {
	switch m.op {
	case opLoad:
		tell(m.path, shape)
	case opEach:
		for i := m.from; i < m.to; i++ {
			tell(m.each(i), tail(shape))
		}
	default:
		in := m.inputShape(shape)
		for _, x := range m.in {
			x.backward(in, tell)
		}
	}
}

func tail(shape tensor.Shape) tensor.Shape {
	if len(shape) == 0 {
		return nil
	}
	return shape[1:]
}

func (m *making) inputShape(shape tensor.Shape) tensor.Shape {
	switch m.op {
	case OpStack:
		return tail(shape)
	case OpAdd, OpMul, OpMulVec, OpCast, OpL2Norm, OpBranch, OpStream:
		return shape
	case OpConcat:
		if m.axis < len(shape) {
			in := slices.Clone(shape)
			in[m.axis] = unknown
			return in
		}
	case OpRepeat:
		if m.axis < len(shape) && shape[m.axis]%int64(m.count) == 0 {
			in := slices.Clone(shape)
			in[m.axis] /= int64(m.count)
			return in
		}
	case OpPermute:
		if len(shape) == len(m.perm) {
			in := make(tensor.Shape, len(shape))
			for i, p := range m.perm {
				in[p] = shape[i]
			}
			return in
		}
	case OpSlice:
		return m.uncut(shape)
	case opSqueeze:
		if m.axis <= len(shape) {
			return slices.Insert(slices.Clone(shape), m.axis, 1)
		}
	case opFlatten:
		if m.axis < len(shape) {
			in := slices.Clone(shape)
			in[m.axis] = unknown
			for range m.count - 1 {
				in = slices.Insert(in, m.axis, unknown)
			}
			return in
		}
	case opUnflatten:
		return m.merged(shape)
	}
	return nil
}

// uncut undoes a slice: an open end tells the whole axis.
func (m *making) uncut(shape tensor.Shape) tensor.Shape {
	var in tensor.Shape
	k := 0
	for _, c := range m.cuts {
		if c.index {
			in = append(in, unknown)
			continue
		}
		if k == len(shape) {
			return nil
		}
		d := shape[k]
		k++
		switch {
		case !c.open || d == unknown:
			d = unknown
		case c.step > 1:
			d *= c.step
		default:
			d += c.start
		}
		in = append(in, d)
	}
	return append(in, shape[k:]...)
}

// merged undoes an unflatten, whose dimensions say more than the result does.
func (m *making) merged(shape tensor.Shape) tensor.Shape {
	n := len(m.dims)
	if m.axis+n > len(shape) {
		return nil
	}
	dims := slices.Clone(m.dims)
	for i, d := range dims {
		if d == unknown {
			dims[i] = shape[m.axis+i]
		}
	}
	size := int64(unknown)
	if !slices.Contains(dims, unknown) {
		if p, err := dims.Numel(); err == nil {
			size = p
		}
	}
	in := append(slices.Clone(shape[:m.axis]), size)
	return append(in, shape[m.axis+n:]...)
}

// merge joins what two results tell about one path; ok is false when they
// contradict each other.
func merge(a, b tensor.Shape) (tensor.Shape, bool) {
	if a == nil || b == nil {
		if a == nil {
			return b, true
		}
		return a, true
	}
	if len(a) != len(b) {
		return a, false
	}
	out := slices.Clone(a)
	for i := range out {
		switch {
		case out[i] == unknown:
			out[i] = b[i]
		case b[i] != unknown && b[i] != out[i]:
			return a, false
		}
	}
	return out, true
}
