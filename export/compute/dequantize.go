package compute

import (
	"fmt"
	"slices"

	"wreg/accel"
	"wreg/registry/arch"
	"wreg/registry/arch/op"
	"wreg/registry/tensor"
)

func init() {
	register(operation{value: newDequantizer, result: dequantized, scratch: func(n *op.Node, out, limit int64) int64 {
		return 3*out + 4<<10 + deepest(n, 2*out, limit)
	}}, op.Dequantize)
}

// dequantized checks that the scales, and the biases of an affine packing, fit the
// codes.
func dequantized(n *op.Node) (out op.Array, err error) {
	if len(n.In) < 2 || len(n.In) > 3 {
		return out, fmt.Errorf("%d inputs", len(n.In))
	}
	in, scales := n.In[0], n.In[1]
	last := len(in.Shape) - 1
	spec, err := Packing(arch.Packed{Bits: n.Axis, GroupSize: n.Count}, scales.DType)
	if err != nil || in.DType != tensor.U32 || last < 0 {
		return out, fmt.Errorf("of %v %v: %v", in.DType, in.Shape, err)
	}
	out = op.Array{DType: tensor.BF16, Shape: in.Shape.Unpacked(spec.Bits)}
	groups := slices.Clone(out.Shape)
	groups[last] /= int64(spec.Group)
	for _, m := range n.In[1:] {
		if !m.Shape.Equal(groups) || m.DType != scales.DType || out.Shape[last]%int64(spec.Group) != 0 {
			return out, fmt.Errorf("scales %v %v do not fit %v of %d bits in groups of %d", m.DType, m.Shape, in.Shape, spec.Bits, spec.Group)
		}
	}
	if (spec.Mode == accel.Affine) != (len(n.In) == 3) {
		return out, fmt.Errorf("%s with %d inputs", spec.Mode, len(n.In))
	}
	if spec.Mode == accel.Affine {
		out.DType = scales.DType
		err = castable(scales.DType, scales.DType)
	}
	return out, err
}

// Packing tells a stored packing from its numbers.
func Packing(p arch.Packed, scales tensor.DType) (accel.QuantSpec, error) {
	spec := accel.QuantSpec{Bits: p.Bits, Group: p.GroupSize, Mode: tensor.PackingMode(p.Bits, p.GroupSize, scales)}
	if spec.Mode == "" {
		return spec, fmt.Errorf("%d bits in groups of %d are not a packing with u8 scales", p.Bits, p.GroupSize)
	}
	return spec.Resolve()
}

// dequantizer unpacks groups of codes. Groups are independent and rows hold whole
// ones, so a range is seen as one long row.
type dequantizer struct {
	e     *Evaluator
	in    []Value
	node  *op.Node
	spec  accel.QuantSpec
	slots [4]int
}

func newDequantizer(e *Evaluator, n *op.Node, in []Value) (Value, error) {
	spec, err := Packing(arch.Packed{Bits: n.Axis, GroupSize: n.Count}, n.In[1].DType)
	if err != nil {
		return nil, err
	}
	return &dequantizer{e, in, n, spec, [4]int{e.slot(), e.slot(), e.slot(), e.slot()}}, nil
}

func (v *dequantizer) Read(dst []byte, first int64) error {
	group, n := int64(v.spec.Group), Count(v.node.DType, dst)
	low, high := first/group*group, (first+n+group-1)/group*group
	out := dst
	if low != first || high != first+n { // not whole groups: a detour
		out = v.e.buffer(v.slots[3], SizeOf(v.node.DType, high-low))
	}
	packed := v.e.buffer(v.slots[0], (high-low)*int64(v.spec.Bits)/8)
	if err := v.in[0].Read(packed, low*int64(v.spec.Bits)/32); err != nil {
		return err
	}
	var side [2][]byte
	for i := range v.in[1:] {
		side[i] = v.e.buffer(v.slots[1+i], SizeOf(v.node.In[1+i].DType, (high-low)/group))
		if err := v.in[1+i].Read(side[i], low/group); err != nil {
			return err
		}
	}
	if err := v.e.device.Dequantize(out, packed, side[0], side[1], v.node.DType, 1, int(high-low), v.spec); err != nil {
		return err
	}
	if &out[0] != &dst[0] {
		copy(dst, out[SizeOf(v.node.DType, first-low):])
	}
	return nil
}
