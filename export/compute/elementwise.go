package compute

import (
	"math"

	"wreg/registry/arch/op"
	"wreg/registry/tensor"
)

func init() {
	register(operation{value: newElementwise, check: computable}, op.Cast, op.Add, op.Mul)
	register(operation{value: newMulVec, check: computable, scratch: func(n *op.Node, out, limit int64) int64 {
		return out + int64(len(n.Vector))*16 + scratch(n.In[0], out, limit)
	}}, op.MulVec)
	register(operation{value: newView}, op.View)
	register(operation{
		value:   func(_ *Evaluator, _ *op.Node, in []Value) (Value, error) { return in[0], nil },
		scratch: func(n *op.Node, out, limit int64) int64 { return scratch(n.In[0], out, limit) },
	}, op.Reshape)
}

// elementwise is cast, add and mul: element i of the result needs element i of
// the input and no other.
type elementwise struct {
	e    *Evaluator
	node *op.Node
	in   Value
	slot int
}

func newElementwise(e *Evaluator, n *op.Node, in []Value) (Value, error) {
	return &elementwise{e, n, in[0], e.slot()}, nil
}

func (v *elementwise) Read(dst []byte, first int64) error {
	from, to := v.node.In[0].DType, v.node.DType
	src := v.e.buffer(v.slot, SizeOf(from, Count(to, dst)))
	if err := v.in.Read(src, first); err != nil {
		return err
	}
	switch v.node.Op {
	case op.Cast:
		return v.e.device.Cast(dst, to, src, from)
	case op.Add:
		return v.e.device.AddScalar(dst, src, to, v.node.Scalar)
	}
	return v.e.device.MulScalar(dst, src, to, v.node.Scalar)
}

// view reads the same bytes as another type.
type view struct {
	e    *Evaluator
	node *op.Node
	in   Value
	slot int
}

func newView(e *Evaluator, n *op.Node, in []Value) (Value, error) {
	return &view{e, n, in[0], e.slot()}, nil
}

func (v *view) Read(dst []byte, first int64) error {
	from := v.node.In[0].DType
	at := SizeOf(v.node.DType, first)
	elems, size := from.Block()
	if at%size == 0 && int64(len(dst))%size == 0 {
		return v.in.Read(dst, at/size*elems)
	}
	begin, end := at/size, (at+int64(len(dst))+size-1)/size
	buf := v.e.buffer(v.slot, (end-begin)*size)
	if err := v.in.Read(buf, begin*elems); err != nil {
		return err
	}
	copy(dst, buf[at-begin*size:])
	return nil
}

// mulVec multiplies each index of axis 0 by its own factor.
type mulVec struct {
	e      *Evaluator
	in     Value
	dtype  tensor.DType
	width  int64
	vector []byte // of dtype
	slot   int
}

func newMulVec(e *Evaluator, n *op.Node, in []Value) (Value, error) {
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
	return &mulVec{e, in[0], n.DType, width, vector, e.slot()}, nil
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
