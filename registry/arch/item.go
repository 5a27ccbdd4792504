package arch

import (
	"fmt"
	"slices"

	"wreg/registry/arch/op"
	"wreg/registry/expr"
	"wreg/registry/tensor"
)

// item is one tensor of the mlx layout.
type item struct {
	path     string
	shape    tensor.Shape
	dtype    tensor.DType
	optional bool
	rule     string
	from     []*TensorExpr // alternatives, in order; the tensor itself is among them
	own      int           // which of them is the tensor itself, as it is
	listed   int           // how many were written after from

	ownListed bool // the tensor as it is was among those written
}

func (r *run) tensor(s *scope, st *statement) error {
	d := st.Tensor
	dtype, err := d.dtype()
	if err != nil {
		return err
	}
	names, err := s.alternatives(d.Name)
	if err != nil {
		return err
	}
	for _, v := range names {
		it := &item{path: v.in.rooted(v.name), dtype: dtype, optional: d.Optional, rule: r.ruleAt(st)}
		if err := r.spendName(&expr.Node{Pos: st.Pos}, 1, len(it.path)); err != nil {
			return err
		}
		if it.shape, err = v.in.sizes(d.Shape); err != nil {
			return err
		}
		if _, err := it.shape.Numel(); err != nil {
			return fmt.Errorf("tensor %s: %w", it.path, err)
		}
		if dtype == tensor.U32 {
			r.words[it.path] = true
		}
		if err := r.makings(v.in, it, d.From); err != nil {
			return err
		}
		r.items = append(r.items, it)
	}
	return nil
}

// makings lists the ways to make a tensor. The tensor itself comes first, so that
// an mlx checkpoint is accepted as it is; where the ways written name it, they
// know better, and it comes last.
func (r *run) makings(s *scope, it *item, from []*formula) error {
	itself := &TensorExpr{Step: op.Step{Op: op.Load, Path: it.path}}
	it.listed = len(from)
	for _, f := range from {
		m, err := s.tensorExpr(f.tree)
		if err != nil {
			return err
		}
		if m.mentions(it.path) {
			it.own = -1
		}
		if m.Op == op.Load && m.Path == it.path {
			it.ownListed = true
			itself = nil
		}
		it.from = append(it.from, m)
	}
	switch {
	case it.ownListed:
		it.own = slices.IndexFunc(it.from, func(m *TensorExpr) bool { return m.Op == op.Load && m.Path == it.path })
		return nil
	case it.own < 0:
		it.own = len(it.from)
		it.from = append(it.from, itself)
	default:
		it.from = append([]*TensorExpr{itself}, it.from...)
	}
	return nil
}
