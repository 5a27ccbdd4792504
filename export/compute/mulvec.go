package compute

import (
	"math"

	"wreg/registry/arch/op"
	"wreg/registry/tensor"
)

// mulVec multiplies each index of axis 0 by its own factor.
type mulVec struct {
	e      *Evaluator
	in     Value
	dtype  tensor.DType
	width  int64
	vector []byte // of dtype
	slot   int
}

func newMulVec(e *Evaluator, n *op.Node, in Value) (Value, error) {
	width := int64(1)
	for _, d := range n.Shape[1:] {
		width *= d
	}
	wide := make([]byte, 8*len(n.Vector))
	for i, f := range n.Vector {
		le.PutUint64(wide[8*i:], math.Float64bits(f))
	}
	vector := make([]byte, SizeOf(n.DType, int64(len(n.Vector))))
	if err := e.device.Cast(vector, n.DType, wide, tensor.F64); err != nil {
		return nil, err
	}
	return &mulVec{e, in, n.DType, width, vector, e.slot()}, nil
}

func (v *mulVec) Read(dst []byte, first int64) error {
	src := v.e.buffer(v.slot, int64(len(dst)))
	if err := v.in.Read(src, first); err != nil {
		return err
	}
	size := SizeOf(v.dtype, 1)
	return rows(first, Count(v.dtype, dst), v.width, func(row, col, rows, cols int64) error {
		n := rows * cols * size
		err := v.e.device.MulVec(dst[:n], src[:n], v.dtype, int(rows), int(cols), v.vector[row*size:(row+rows)*size])
		dst, src = dst[n:], src[n:]
		return err
	})
}
