package compute

import (
	"fmt"
	"math"

	"wreg/registry/arch/op"
	"wreg/registry/tensor"
)

func init() {
	register(operation{value: newL2Norm, check: normable, scratch: func(n *op.Node, _, limit int64) int64 {
		row := 4 * n.Shape[len(n.Shape)-1]
		return 4*row + scratch(n.In[0], row, limit)
	}}, op.L2Norm)
}

// normable wants rows, or columns of a matrix, of what becomes float32.
func normable(n *op.Node) error {
	last := len(n.Shape) - 1
	if n.Axis != last && (n.Axis != 0 || last != 1) {
		return fmt.Errorf("axis %d of %v: only rows, or columns of a matrix", n.Axis, n.Shape)
	}
	return widened(n)
}

// l2norm divides rows (the last axis) or columns (axis 0 of a matrix) by their
// Euclidean length plus a little, in float32. mlx sums one element after the other
// on x86-64, and so does this; elsewhere its result differs in the last bit.
type l2norm struct {
	e       *Evaluator
	node    *op.Node
	in      Value
	lengths []float32 // of columns, when the axis is 0
	slots   [2]int
}

// l2Epsilon is mlx_lm's, added to the length.
const l2Epsilon = float32(1e-7)

func newL2Norm(e *Evaluator, n *op.Node, in []Value) (Value, error) {
	v := &l2norm{e: e, node: n, in: in[0], slots: [2]int{e.slot(), e.slot()}}
	if n.Axis == len(n.Shape)-1 {
		return v, nil
	}
	rows, cols := n.Shape[0], n.Shape[1]
	v.lengths = make([]float32, cols)
	for r := range rows {
		wide, err := v.floats(r*cols, cols)
		if err != nil {
			return nil, err
		}
		for c := range v.lengths {
			f := float(wide, c)
			v.lengths[c] += f * f
		}
	}
	for c, sum := range v.lengths {
		v.lengths[c] = float32(math.Sqrt(float64(sum))) + l2Epsilon
	}
	return v, nil
}

// floats reads elements as float32.
func (v *l2norm) floats(first, n int64) ([]byte, error) {
	return v.e.floats(v.in, v.node.DType, v.slots, first, n)
}

func (v *l2norm) Read(dst []byte, first int64) error {
	cols := v.node.Shape[len(v.node.Shape)-1]
	for n := Count(v.node.DType, dst); n > 0; {
		row, col := first/cols, first%cols
		k := min(cols-col, n)
		wide, err := v.floats(row*cols, cols)
		if err != nil {
			return err
		}
		length := float32(0)
		if v.lengths == nil {
			for c := range int(cols) {
				f := float(wide, c)
				length += f * f
			}
			length = float32(math.Sqrt(float64(length))) + l2Epsilon
		}
		part := wide[4*col : 4*(col+k)]
		for c := range int(k) {
			by := length
			if v.lengths != nil {
				by = v.lengths[int(col)+c]
			}
			le.PutUint32(part[4*c:], math.Float32bits(float(part, c)/by))
		}
		out := dst[:SizeOf(v.node.DType, k)]
		if v.node.DType == tensor.F32 {
			copy(out, part)
		} else if err := v.e.device.Cast(out, v.node.DType, part, tensor.F32); err != nil {
			return err
		}
		dst, first, n = dst[len(out):], first+k, n-k
	}
	return nil
}
