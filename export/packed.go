package export

import (
	"fmt"
	"math"

	"wreg/accel"
	"wreg/registry/arch"
	"wreg/registry/tensor"
)

// dequantizer unpacks groups of codes. Groups are independent and rows hold whole
// ones, so a range is seen as one long row.
type dequantizer struct {
	e     *evaluator
	in    []value
	node  *arch.Node
	spec  accel.QuantSpec
	slots [4]int
}

func newDequantizer(e *evaluator, n *arch.Node, in []value) (value, error) {
	spec, err := packing(arch.Packed{Bits: n.Axis, GroupSize: n.Count}, n.In[1].DType)
	if err != nil {
		return nil, err
	}
	return &dequantizer{e, in, n, spec, [4]int{e.slot(), e.slot(), e.slot(), e.slot()}}, nil
}

func (v *dequantizer) read(dst []byte, first int64) error {
	group, n := int64(v.spec.Group), count(v.node.DType, dst)
	low, high := first/group*group, (first+n+group-1)/group*group
	out := dst
	if low != first || high != first+n { // not whole groups: a detour
		out = v.e.buffer(v.slots[3], sizeOf(v.node.DType, high-low))
	}
	packed := v.e.buffer(v.slots[0], (high-low)*int64(v.spec.Bits)/8)
	if err := v.in[0].read(packed, low*int64(v.spec.Bits)/32); err != nil {
		return err
	}
	var side [2][]byte
	for i := range v.in[1:] {
		side[i] = v.e.buffer(v.slots[1+i], sizeOf(v.node.In[1+i].DType, (high-low)/group))
		if err := v.in[1+i].read(side[i], low/group); err != nil {
			return err
		}
	}
	if err := v.e.device.Dequantize(out, packed, side[0], side[1], v.node.DType, 1, int(high-low), v.spec); err != nil {
		return err
	}
	if &out[0] != &dst[0] {
		copy(dst, out[sizeOf(v.node.DType, first-low):])
	}
	return nil
}

// awq unpacks, transposes and packs again AWQ's codes: in, i32 [in, out/8], becomes
// u32 [out, in/8]. Eight rows of the result come from one column of the input.
type awq struct {
	e         *evaluator
	columns   *strided
	rows      int64 // of the input
	width     int64 // of the input
	slot, out int
}

func newAWQ(e *evaluator, n *arch.Node, in value) value {
	from := n.In[0]
	s := &strided{e: e, in: in, dtype: from.DType, slot: e.slot()}
	return &awq{e, s, from.Shape[0], from.Shape[1], e.slot(), e.slot()}
}

func (v *awq) read(dst []byte, first int64) error {
	row := v.rows / 8 // of the result, in elements
	block := 8 * row  // what one column of the input gives
	for len(dst) > 0 {
		col := first / block
		n := min(max(v.e.limit/(4*v.rows), 1), v.width-col, (first+int64(len(dst))/4-col*block+block-1)/block)
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

func (v *held) read(dst []byte, first int64) error {
	copy(dst, v.bytes[sizeOf(v.dtype, first):])
	return nil
}

// newAWQBias computes the affine biases of AWQ weights, which are as many as the
// scales: few.
func newAWQBias(e *evaluator, n *arch.Node, in []value) (value, error) {
	var whole [2][]byte
	for i, v := range in {
		whole[i] = make([]byte, sizeOf(n.In[i].DType, numel(n.In[i].Shape)))
		if err := v.read(whole[i], 0); err != nil {
			return nil, err
		}
	}
	out := &held{make([]byte, len(whole[0])), n.DType}
	return out, accel.BiasesAWQ(out.bytes, whole[1], whole[0], n.DType, int(n.Shape[1]), int(n.Shape[0]))
}

// l2norm divides rows (the last axis) or columns (axis 0 of a matrix) by their
// Euclidean length plus a little, in float32. mlx sums one element after the other
// on x86-64, and so does this; elsewhere its result differs in the last bit.
type l2norm struct {
	e       *evaluator
	node    *arch.Node
	in      value
	lengths []float32 // of columns, when the axis is 0
	slots   [2]int
}

// l2Epsilon is mlx_lm's, added to the length.
const l2Epsilon = float32(1e-7)

func newL2Norm(e *evaluator, n *arch.Node, in value) (value, error) {
	v := &l2norm{e: e, node: n, in: in, slots: [2]int{e.slot(), e.slot()}}
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
	src := v.e.buffer(v.slots[0], sizeOf(v.node.DType, n))
	if err := v.in.read(src, first); err != nil || v.node.DType == tensor.F32 {
		return src, err
	}
	wide := v.e.buffer(v.slots[1], 4*n)
	return wide, v.e.device.Cast(wide, tensor.F32, src, v.node.DType)
}

func float(b []byte, i int) float32 { return math.Float32frombits(le.Uint32(b[4*i:])) }

func (v *l2norm) read(dst []byte, first int64) error {
	cols := v.node.Shape[len(v.node.Shape)-1]
	for n := count(v.node.DType, dst); n > 0; {
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
		out := dst[:sizeOf(v.node.DType, k)]
		if v.node.DType == tensor.F32 {
			copy(out, part)
		} else if err := v.e.device.Cast(out, v.node.DType, part, tensor.F32); err != nil {
			return err
		}
		dst, first, n = dst[len(out):], first+k, n-k
	}
	return nil
}

// numel is the number of elements of a shape that was checked before.
func numel(s tensor.Shape) int64 {
	n, _ := s.Numel()
	return n
}

// unpacked checks what opDequantize, OpAWQ, OpAWQBias and OpL2Norm are given.
func unpacked(n *arch.Node) (tensor.DType, tensor.Shape, error) {
	in := n.In[0]
	last := len(in.Shape) - 1
	bad := fmt.Errorf("of %v %v", in.DType, in.Shape)
	if last < 0 {
		return 0, nil, bad
	}
	switch n.Op {
	case arch.OpL2Norm:
		if n.Axis != last && (n.Axis != 0 || last != 1) {
			return 0, nil, fmt.Errorf("axis %d of %v: only rows, or columns of a matrix", n.Axis, in.Shape)
		}
		if in.DType == tensor.F32 {
			return in.DType, in.Shape, nil
		}
		return in.DType, in.Shape, castable(in.DType, tensor.F32)
	case arch.OpAWQ:
		if last != 1 || in.DType != tensor.I32 || in.Shape[0]%8 != 0 {
			return 0, nil, bad
		}
		return tensor.U32, tensor.Shape{8 * in.Shape[1], in.Shape[0] / 8}, nil
	case arch.OpAWQBias:
		if last != 1 || !mlxFloat(in.DType) {
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
	spec, err := packing(arch.Packed{Bits: n.Axis, GroupSize: n.Count}, scales.DType)
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
