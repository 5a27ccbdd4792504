package measure

import (
	"fmt"
	"slices"

	"wreg/accel"
	"wreg/export/compute"
	"wreg/registry/arch"
	"wreg/registry/arch/op"
	"wreg/registry/tensor"
)

// Unpacked makes a weight of the parts that mlx packs it in: codes, scales and, in affine
// mode, biases.
func Unpacked(packed arch.Packed, parts []*op.Node) (*op.Node, error) {
	if len(parts) < 2 {
		return nil, fmt.Errorf("codes without scales")
	}
	spec, err := compute.Packing(packed, parts[1].DType)
	if err != nil {
		return nil, err
	}
	n := &op.Node{Step: op.Step{Op: op.Dequantize, Axis: spec.Bits, Count: spec.Group}, In: parts, DType: tensor.BF16, Shape: parts[0].Shape.Unpacked(spec.Bits)}
	if spec.Mode == accel.Affine {
		n.DType = parts[1].DType
	}
	return n, nil
}

// Decoded is a tree whose leaves are as recorded, those in ggml's blocks made floats where
// that is known how to.
func (s *Side) Decoded(n *op.Node) *op.Node {
	if n.Op == op.Load {
		t, ok := s.Info(n.Path)
		if !ok || !op.Decodable(t.DType) {
			return n
		}
		load := *n
		load.DType = t.DType
		return &op.Node{Step: op.Step{Op: op.GGML}, In: []*op.Node{&load}, DType: tensor.F32, Shape: n.Shape}
	}
	out := *n
	out.In = make([]*op.Node, len(n.In))
	for i, m := range n.In {
		out.In[i] = s.Decoded(m)
	}
	return &out
}

// Codes reports a tree that makes numbers of codes and their scales.
func Codes(n *op.Node) bool {
	return slices.Contains([]op.Op{op.Dequantize, op.FP8, op.GGML, op.AWQ, op.AWQBias}, n.Op) || slices.ContainsFunc(n.In, Codes)
}

// Comparable says why two trees cannot be compared; nil when Pairs takes them.
func Comparable(a, b *Side, p *Pair) error {
	if err := compute.Check(p.A, a.Info); err != nil {
		return fmt.Errorf("%s: %w", a.Ref, err)
	}
	if err := compute.Check(p.B, b.Info); err != nil {
		return fmt.Errorf("%s: %w", b.Ref, err)
	}
	switch x, y := p.A, p.B; {
	case !x.Shape.Equal(y.Shape):
		return fmt.Errorf("shape is %v, should be %v", y.Shape, x.Shape)
	case x.DType != y.DType && !(numbers(x.DType) && numbers(y.DType)):
		return fmt.Errorf("%v and %v have no numbers to compare", x.DType, y.DType)
	}
	return nil
}
