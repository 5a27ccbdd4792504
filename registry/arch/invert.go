package arch

import (
	"context"
	"fmt"
	"slices"

	"wreg/registry/arch/declare"
	"wreg/registry/arch/op"
	"wreg/registry/tensor"
)

// Invert takes a checkpoint in the mlx layout back to the hf layout: the targets are hf
// tensors, each made of mlx ones. Gaps are what mlx lacks and what cannot be restored:
// a step that rounds (adding to a norm, folding a multiplier in, decoding fp8) cannot
// be undone, and its gap says so.
func (a *Arch) Invert(ctx context.Context, c *Config, src Source) (*Resolution, error) {
	r, err := a.match(ctx, c, src, true)
	if err != nil {
		return nil, err
	}
	res := &Resolution{Arch: a, Layout: a.Layout, Why: "every tensor is taken back to the hf layout"}
	wants, err := r.eachHF(nil, nil)
	if err != nil {
		return nil, err
	}
	shapes := make(map[string]tensor.Shape, len(wants))
	for _, w := range wants {
		shapes[w.Path] = w.Shape
	}
	inv := inverter{match: r, shapes: shapes, pieces: map[string][]piecewise{}, reasons: map[string]string{}, used: map[string]bool{}, packers: map[string]packer{}}
	for _, it := range r.Outputs {
		if err := r.Round(); err != nil {
			return nil, err
		}
		inv.output(it, res)
	}
	for _, w := range wants {
		if err := r.Round(); err != nil {
			return nil, err
		}
		if p, ok := inv.packers[w.Path]; ok {
			targets, err := inv.packedTargets(w, p)
			if err != nil {
				res.Gaps = append(res.Gaps, Gap{Status: Missing, Want: w, Reason: err.Error()})
			}
			for _, t := range targets {
				inv.use(t.Make)
			}
			res.Targets = append(res.Targets, targets...)
			continue
		}
		t := Target{Want: w, Keep: r.keeps(w.Path)}
		node, err := inv.join(w.Path)
		reason := inv.reasons[w.Path]
		switch {
		case reason != "":
		case err != nil:
			reason = err.Error()
		default:
			t.Make = node
			inv.use(node)
		}
		if reason != "" && !w.Optional {
			res.Gaps = append(res.Gaps, Gap{Status: Missing, Want: w, Reason: reason})
		}
		if reason == "" || !w.Optional {
			res.Targets = append(res.Targets, t)
		}
	}
	src.All(func(i tensor.Info) bool {
		if !inv.used[i.Path] {
			res.Unused = append(res.Unused, i.Path)
		}
		return true
	})
	res.Gaps = r.strays(res.Gaps, res.Unused, inv.used, nil)
	return res, r.Over()
}

// use marks every stored tensor that a tree reads.
func (v *inverter) use(n *op.Node) { n.Sources(func(path string) { v.used[path] = true }) }

type inverter struct {
	*match
	shapes  map[string]tensor.Shape // of hf tensors
	pieces  map[string][]piecewise  // what is known of an hf tensor
	reasons map[string]string       // why one cannot be given back
	used    map[string]bool

	part    string            // which part of a packed tensor is followed: a mark and its suffix
	packers map[string]packer // hf tensors that go back packed
}

// piecewise is an hf tensor, or a piece that one cut takes from what below made of it.
type piecewise struct {
	node  *op.Node
	cut   *declare.TensorExpr   // nil: whole
	below []*declare.TensorExpr // the steps between the hf tensor and the cut, first step first
	shape tensor.Shape
}

// output follows one mlx tensor back to the hf tensors it was made of.
func (v *inverter) output(it *declare.Output, res *Resolution) {
	m := v.hfWay(it)
	stored, ok := v.src.Lookup(it.Path)
	reason := ""
	switch {
	case !ok && it.Optional:
		m.Loads(func(p string) { v.reasons[v.hfName(p)] = "not in the checkpoint" })
		return
	case !ok:
		reason = fmt.Sprintf("%s is missing", it.Path)
		res.Gaps = append(res.Gaps, Gap{Status: Missing, Want: wantOf(it), Reason: "not in the checkpoint"})
	case stored.DType == tensor.U32 && it.DType != tensor.U32:
		if v.packedBack(it, m, stored) {
			return
		}
		reason = fmt.Sprintf("%s is quantized: dequantize it first", it.Path)
		v.account(it.Path, v.used)
	case !stored.Shape.Equal(it.Shape):
		reason = fmt.Sprintf("%s has shape %v, expected %v", it.Path, stored.Shape, it.Shape)
		res.Gaps = append(res.Gaps, Gap{Status: Changed, Want: wantOf(it), Have: &stored, Reason: reason})
		v.used[it.Path] = true
	}
	if reason == "" {
		if err := v.back(m, op.Stored(stored)); err != nil {
			reason = fmt.Sprintf("not invertible: %v", err)
			v.used[it.Path] = true
		}
	}
	if reason != "" {
		m.Loads(func(p string) { v.reasons[v.hfName(p)] = reason })
	}
}

// back undoes an expression, outermost step first.
func (v *inverter) back(m *declare.TensorExpr, node *op.Node) error {
	switch m.Op {
	case op.Load:
		v.add(m.Path, piecewise{node: node, shape: node.Shape})
		return nil
	case declare.Each:
		for i := m.From; i < m.Until; i++ {
			v.add(m.Element(i), piecewise{node: element(node, i-m.From), shape: op.Tail(node.Shape)})
		}
		return nil
	case op.Stack:
		for i, x := range m.In {
			if err := v.back(x, element(node, int64(i))); err != nil {
				return err
			}
		}
		return nil
	case op.Slice:
		return v.below(m.In[0], &piecewise{node: node, cut: m})
	case op.Concat:
		at := int64(0)
		for _, x := range m.In {
			s, err := v.shapeOf(x)
			if err != nil {
				return err
			}
			if m.Axis >= len(s) || m.Axis >= len(node.Shape) || s[m.Axis] > node.Shape[m.Axis]-at {
				return fmt.Errorf("%v does not fit into %v along axis %d", s, node.Shape, m.Axis)
			}
			end := at + s[m.Axis]
			if err := v.back(x, node.Sliced(m.Axis, at, end)); err != nil {
				return err
			}
			at = end
		}
		return nil
	}
	if len(m.In) != 1 {
		return fmt.Errorf("%s of several inputs cannot be undone", m.Op)
	}
	in, err := v.shapeOf(m.In[0])
	if err != nil {
		return err
	}
	undone, err := m.Undo(node, in)
	if err != nil {
		return err
	}
	return v.back(m.In[0], undone)
}

// below collects the steps under a cut down to the hf tensor.
func (v *inverter) below(m *declare.TensorExpr, p *piecewise) error {
	if m.Op == op.Load {
		slices.Reverse(p.below)
		shape, err := v.shapeOf(m)
		p.shape = shape
		v.add(m.Path, *p)
		return err
	}
	if len(m.In) != 1 || m.Op == op.Slice {
		return fmt.Errorf("a slice of %s cannot be undone", m.Op)
	}
	p.below = append(p.below, m)
	return v.below(m.In[0], p)
}

func (v *inverter) add(path string, p piecewise) {
	name := v.hfName(path) + v.part
	v.pieces[name] = append(v.pieces[name], p)
}

// shapeOf computes the shape of an expression from the shapes of hf tensors.
func (v *inverter) shapeOf(m *declare.TensorExpr) (tensor.Shape, error) {
	if err := v.Work(8); err != nil {
		return nil, err
	}
	switch m.Op {
	case op.Load:
		s := v.shapes[v.hfName(m.Path)+v.part]
		if s == nil {
			return nil, fmt.Errorf("the shape of %s is unknown", m.Path)
		}
		return s, nil
	case declare.Each:
		first, err := v.shapeOf(&declare.TensorExpr{Step: op.Step{Op: op.Load, Path: m.Element(m.From)}})
		return append(tensor.Shape{m.Until - m.From}, first...), err
	}
	in := make([]op.Array, len(m.In))
	for i, x := range m.In {
		s, err := v.shapeOf(x)
		if err != nil {
			return nil, err
		}
		in[i] = op.Array{Shape: s, DType: tensor.F32}
	}
	out, err := m.Result(in...)
	return out.Shape, err
}

// element is one of a stack.
func element(stack *op.Node, i int64) *op.Node {
	return stack.Sliced(0, i, i+1).Reshaped(op.Tail(stack.Shape))
}
