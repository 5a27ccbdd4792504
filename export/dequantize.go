package export

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"wreg/accel"
	"wreg/registry/arch"
	"wreg/registry/arch/op"
	"wreg/registry/tensor"
)

// dequantizedTargets turns the three stored parts of a module into its weight; other
// targets stay. mlx_lm does it for linear, embedding and expert layers. said: the
// config speaks of quantized weights, even if none is.
func dequantizedTargets(targets []arch.Target, dtype tensor.DType, said bool) ([]arch.Target, error) {
	byPath := map[string]*arch.Target{}
	for i := range targets {
		byPath[targets[i].Path] = &targets[i]
	}
	var out []arch.Target
	found := said
	for _, t := range targets {
		module := parent(t.Path)
		scales, weight := byPath[module+".scales"], byPath[module+".weight"]
		if t.Packed.Bits == 0 || scales == nil || weight == nil || weight.Make == nil || scales.Make == nil || multi(module) {
			out = append(out, t)
			continue
		}
		if t.Path != module+".weight" {
			if t.Path != module+".scales" && t.Path != module+".biases" {
				out = append(out, t)
			}
			continue
		}
		found = true
		spec, err := packing(t.Packed, scales.Make.DType)
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", t.Path, err)
		}
		n := &op.Node{Step: op.Step{Op: op.Dequantize}, In: []*op.Node{t.Make, scales.Make}, DType: tensor.BF16, Shape: slices.Clone(t.Make.Shape)}
		n.Shape[len(n.Shape)-1] = n.Shape[len(n.Shape)-1] * 32 / int64(spec.Bits)
		n.Axis, n.Count = spec.Bits, spec.Group
		if spec.Mode == accel.Affine {
			biases := byPath[module+".biases"]
			if biases == nil || biases.Make == nil {
				return nil, fmt.Errorf("tensor %q: %s.biases is missing", t.Path, module)
			}
			n.In = []*op.Node{t.Make, castTo(scales.Make, dtype), castTo(biases.Make, dtype)}
			n.DType = n.In[1].DType
		}
		t.Make, t.Packed, t.Keep = n, arch.Packed{}, true
		t.Shape = n.Shape
		out = append(out, t)
	}
	if !found {
		return nil, errors.New("nothing to dequantize: the model holds no quantized weights")
	}
	return out, nil
}

// multi reports a layer that mlx_lm leaves quantized: its per-head projections.
func multi(module string) bool {
	return strings.HasSuffix(module, ".embed_q") || strings.HasSuffix(module, ".unembed_out")
}

// packing tells a stored packing from its numbers: all but affine have U8 scales,
// and each of them allows one pair of bits and group.
func packing(p arch.Packed, scales tensor.DType) (accel.QuantSpec, error) {
	spec := accel.QuantSpec{Bits: p.Bits, Group: p.GroupSize, Mode: accel.Affine}
	if scales == tensor.U8 {
		switch {
		case p.Bits == 4 && p.GroupSize == 16:
			spec.Mode = accel.NVFP4
		case p.Bits == 4 && p.GroupSize == 32:
			spec.Mode = accel.MXFP4
		case p.Bits == 8 && p.GroupSize == 32:
			spec.Mode = accel.MXFP8
		default:
			return spec, fmt.Errorf("%d bits in groups of %d are no packing with u8 scales", p.Bits, p.GroupSize)
		}
	}
	return spec.Resolve()
}

// castTo casts floats, when a dtype is wanted that they do not have.
func castTo(n *op.Node, dtype tensor.DType) *op.Node {
	if dtype == tensor.Invalid || !mlxFloat(n.DType) || n.DType == dtype {
		return n
	}
	return &op.Node{Step: op.Step{Op: op.Cast}, In: []*op.Node{n}, DType: dtype, Shape: n.Shape}
}

// dequantizer unpacks groups of codes. Groups are independent and rows hold whole
// ones, so a range is seen as one long row.
type dequantizer struct {
	e     *evaluator
	in    []value
	node  *op.Node
	spec  accel.QuantSpec
	slots [4]int
}

func newDequantizer(e *evaluator, n *op.Node, in []value) (value, error) {
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
