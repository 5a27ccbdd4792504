package compute

import (
	"wreg/accel"
	"wreg/registry/arch/op"
	"wreg/registry/tensor"
)

func init() {
	register(operation{value: newAWQ, scratch: func(n *op.Node, _, limit int64) int64 {
		column := 4 * n.In[0].Shape[0]
		return 3*max(limit, column) + scratch(n.In[0], limit, limit)
	}}, op.AWQ)
	register(operation{value: newAWQBias, check: computable, scratch: func(n *op.Node, _, limit int64) int64 {
		size := SizeOf(n.DType, Numel(n.Shape))
		return 3*size + deepest(n, size, limit)
	}}, op.AWQBias)
}

// awq unpacks, transposes and packs again AWQ's codes: in, i32 [in, out/8], becomes
// u32 [out, in/8]. Eight rows of the result come from one column of the input.
type awq struct {
	e         *Evaluator
	columns   *strided
	rows      int64 // of the input
	width     int64 // of the input
	slot, out int
}

func newAWQ(e *Evaluator, n *op.Node, in []Value) (Value, error) {
	from := n.In[0]
	s := &strided{e: e, in: in[0], dtype: from.DType, slot: e.slot()}
	return &awq{e, s, from.Shape[0], from.Shape[1], e.slot(), e.slot()}, nil
}

func (v *awq) Read(dst []byte, first int64) error {
	row := v.rows / 8 // of the result, in elements
	block := 8 * row  // what one column of the input gives
	for len(dst) > 0 {
		col := first / block
		n := min(max(v.e.Limit/(4*v.rows), 1), v.width-col, (first+int64(len(dst))/4-col*block+block-1)/block)
		src := v.e.buffer(v.slot, 4*v.rows*n)
		if err := v.columns.box(src, []axis{{v.rows, n, v.width}, {n, 1, 1}}, col); err != nil {
			return err
		}
		out := v.e.buffer(v.out, 4*block*n)
		if err := accel.RepackAWQ(out, src, int(v.rows), int(8*n)); err != nil {
			return err
		}
		k := copy(dst, out[4*(first-col*block):])
		dst, first = dst[k:], first+int64(k)/4
	}
	return nil
}

// held is a small tensor that was computed whole.
type held struct {
	bytes []byte
	dtype tensor.DType
}

func (v *held) Read(dst []byte, first int64) error {
	copy(dst, v.bytes[SizeOf(v.dtype, first):])
	return nil
}

// newAWQBias computes the affine biases of AWQ weights, which are as many as the
// scales: few.
func newAWQBias(e *Evaluator, n *op.Node, in []Value) (Value, error) {
	var whole [2][]byte
	for i, v := range in {
		whole[i] = make([]byte, SizeOf(n.In[i].DType, Numel(n.In[i].Shape)))
		if err := v.Read(whole[i], 0); err != nil {
			return nil, err
		}
	}
	out := &held{make([]byte, len(whole[0])), n.DType}
	return out, accel.BiasesAWQ(out.bytes, whole[1], whole[0], n.DType, int(n.Shape[1]), int(n.Shape[0]))
}
