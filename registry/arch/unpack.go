package arch

import (
	"slices"
	"strings"

	"wreg/registry/arch/declare"
	"wreg/registry/arch/op"
	"wreg/registry/tensor"
)

// Tensors that mlx keeps packed as hf stored them go back as well: the same bits under
// hf's names and shapes.

// packedBack takes a packed mlx tensor back, part by part; false when hf has no form
// for it.
func (v *inverter) packedBack(it *declare.Output, m *declare.TensorExpr, weight tensor.Info) bool {
	scales, ok := v.src.Lookup(strings.TrimSuffix(it.Path, "weight") + "scales")
	if !ok || !strings.HasSuffix(it.Path, ".weight") || it.LastAxis() == 0 {
		return false
	}
	v.making = making{Output: it}
	bits, group := v.packing(it.Path, weight, scales)
	v.making = making{}
	var c *declare.Read
	var paths []string
	m.Loads(func(path string) {
		paths = append(paths, path)
		if c == nil {
			c = v.packer(path, bits, group, scales.DType)
		}
	})
	if c == nil {
		return false
	}
	for _, path := range paths {
		logical := v.shapes[v.hfName(path)]
		if len(logical) == 0 {
			return false
		}
		n := len(logical) - 1
		for suffix, last := range map[string]int64{"weight": logical[n] * int64(bits) / 32, "scales": logical[n] / int64(group)} {
			shape := slices.Clone(logical)
			shape[n] = last
			v.shapes[v.hfName(path)+partMark+suffix] = shape
		}
	}
	for suffix, i := range map[string]tensor.Info{"weight": weight, "scales": scales} {
		v.part = partMark + suffix
		err := v.back(m, op.Stored(i))
		v.part = ""
		if err != nil {
			return false
		}
	}
	for _, path := range paths {
		v.packers[v.hfName(path)] = packer{c, path}
	}
	return true
}

// partMark separates a path from the part of it that is followed.
const partMark = "\x00"

type packer struct {
	*declare.Read
	path string
}

// packer finds the stored form that a packing came from. It is never int4, whose zero
// is always 8: only the bytes tell whether mlx's biases are -8 times the scales.
func (v *inverter) packer(path string, bits, group int, scales tensor.DType) *declare.Read {
	var found *declare.Read
	v.Reads.Matching(&v.Budget, path, func(_ int, c *declare.Read) bool {
		if bits == 4 && scales == tensor.U8 && (c.Kind == "mxfp4" || c.Kind == "fp4") && group == forms[c.Kind].grouped(c, 0, 0) {
			found = c
		}
		return found != nil
	})
	return found
}

// packedTargets gives the stored tensors of one hf tensor that goes back packed.
func (v *inverter) packedTargets(w Want, p packer) ([]Target, error) {
	weight, err := v.join(w.Path + partMark + "weight")
	if err != nil {
		return nil, err
	}
	scales, err := v.join(w.Path + partMark + "scales")
	if err != nil {
		return nil, err
	}
	target := func(role string, n *op.Node) Target {
		t := Target{Want: w, Make: n}
		t.Path, t.Shape, t.DType = v.hfName(sibling(p.path, p.Parts[role])), n.Shape, n.DType
		return t
	}
	shape := slices.Clone(weight.Shape)
	n := len(shape) - 1
	shape[n] *= 4
	codes := &op.Node{Step: op.Step{Op: op.View, To: tensor.U8}, DType: tensor.U8, Shape: shape, In: []*op.Node{weight}}
	if p.Kind == "mxfp4" {
		codes = codes.Reshaped(append(slices.Clone(shape[:n]), shape[n]/16, 16))
	}
	return []Target{target(forms[p.Kind].codes, codes), target(forms[p.Kind].scale, scales)}, nil
}
