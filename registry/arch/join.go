package arch

import (
	"fmt"
	"slices"
	"strings"

	"wreg/registry/arch/declare"
	"wreg/registry/arch/op"
	"wreg/registry/tensor"
)

// join puts an hf tensor together.
func (v *inverter) join(path string) (*op.Node, error) {
	pieces := v.pieces[path]
	switch {
	case len(pieces) == 0:
		return nil, fmt.Errorf("no mlx tensor is made from it")
	case pieces[0].cut == nil:
		return pieces[0].node, nil
	}
	shapes := []tensor.Shape{v.shapes[path]} // that each step below the cut reads; last, that was cut
	if shapes[0] == nil {
		return nil, fmt.Errorf("its shape cannot be inferred from what is made of it; add a source statement")
	}
	below := pieces[0].below
	for _, m := range below {
		out, err := m.Result(op.Array{Shape: shapes[len(shapes)-1], DType: tensor.F32})
		if err != nil {
			return nil, err
		}
		shapes = append(shapes, out.Shape)
	}
	node, err := joined(pieces, shapes[len(below)])
	if err != nil {
		return nil, err
	}
	for i := len(below) - 1; i >= 0; i-- {
		if node, err = below[i].Undo(node, shapes[i]); err != nil {
			return nil, fmt.Errorf("not invertible: %w", err)
		}
	}
	return node, nil
}

// joined puts the pieces of one cut axis side by side, or, of a strided cut, one
// after the other.
func joined(pieces []piecewise, whole tensor.Shape) (*op.Node, error) {
	axis, stride := -1, int64(1)
	for _, p := range pieces {
		for k := range p.cut.Start {
			c := p.cut.Cut(k)
			if c.Whole() {
				continue
			}
			step := max(c.Stride, 1) // of an index, too
			if axis >= 0 && axis != k || axis >= 0 && stride != step || k >= len(whole) {
				return nil, fmt.Errorf("its parts are cut along several axes")
			}
			axis, stride = k, step
		}
	}
	if axis < 0 {
		return nil, fmt.Errorf("its parts overlap")
	}
	slices.SortStableFunc(pieces, func(a, b piecewise) int { return int(a.cut.Start[axis] - b.cut.Start[axis]) })
	var parts []*op.Node
	at := int64(0)
	for i, p := range pieces {
		c := p.cut.Cut(axis)
		if i > 0 && c == pieces[i-1].cut.Cut(axis) {
			continue // told twice
		}
		size := c.Of(whole[axis]).Size()
		if c.Start != at {
			return nil, fmt.Errorf("part of it is not stored anywhere: axis %d has %d elements, %d..%d are missing", axis, whole[axis], at, c.Start)
		}
		if at += size; stride > 1 {
			at = c.Start + 1
		}
		shape := slices.Clone(whole)
		shape[axis] = size
		parts = append(parts, p.node.Reshaped(shape))
	}
	if stride > 1 {
		if int64(len(parts)) != stride || whole[axis]%stride != 0 {
			return nil, fmt.Errorf("part of it is not stored anywhere: %d of %d interleaved parts", len(parts), stride)
		}
		return interleaved(parts, whole, axis), nil
	}
	if at != whole[axis] {
		return nil, fmt.Errorf("part of it is not stored anywhere: axis %d has %d elements, the parts %d", axis, whole[axis], at)
	}
	if len(parts) == 1 {
		return parts[0], nil
	}
	return &op.Node{Step: op.Step{Op: op.Concat, Axis: axis}, DType: parts[0].DType, Shape: whole, In: parts}, nil
}

// interleaved turns [a0 a1 …], [b0 b1 …] into a0 b0 a1 b1 … along an axis.
func interleaved(parts []*op.Node, whole tensor.Shape, axis int) *op.Node {
	each := parts[0].Shape
	dt := parts[0].DType
	stack := &op.Node{Step: op.Step{Op: op.Stack}, DType: dt, Shape: append(tensor.Shape{int64(len(parts))}, each...), In: parts}
	perm := make([]int, 0, len(each)+1)
	shape := make(tensor.Shape, 0, len(each)+1)
	for k := range each {
		perm, shape = append(perm, k+1), append(shape, each[k])
		if k == axis {
			perm, shape = append(perm, 0), append(shape, int64(len(parts)))
		}
	}
	turned := &op.Node{Step: op.Step{Op: op.Permute, Perm: perm}, DType: dt, Shape: shape, In: []*op.Node{stack}}
	return turned.Reshaped(whole)
}

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
	if !v.keepsLast(m) { // a turned weight has no codes of its own
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

// keepsLast reports that no step of an expression touches the last axis, along which
// codes are packed.
func (v *inverter) keepsLast(m *declare.TensorExpr) bool {
	if m.Op != op.Load && m.Op != declare.Each {
		shape, err := v.shapeOf(m.In[0])
		if err != nil || !m.KeepsLast(len(shape)) {
			return false
		}
	}
	for _, x := range m.In {
		if !v.keepsLast(x) {
			return false
		}
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
