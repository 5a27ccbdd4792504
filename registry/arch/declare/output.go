package declare

import (
	"fmt"
	"slices"

	"wreg/registry/arch/lang"
	"wreg/registry/arch/op"
	"wreg/registry/expr"
	"wreg/registry/tensor"
)

// tensor takes a tensor statement.
func (r *Declared) tensor(s *scope, st *lang.Statement) error {
	d := st.Tensor
	dtype, err := d.Type()
	if err != nil {
		return err
	}
	names, err := s.alternatives(d.Name)
	if err != nil {
		return err
	}
	for _, v := range names {
		stored := v.in.rooted(v.name)
		it := &Output{Path: v.in.made + stored, DType: dtype, Optional: d.Optional, Rule: r.ruleAt(st)}
		if err := r.spendNameAt(&expr.Node{Pos: st.Pos}, 1, len(it.Path)); err != nil {
			return err
		}
		if it.Shape, err = v.in.sizes(d.Shape); err != nil {
			return err
		}
		if _, err := it.Shape.Numel(); err != nil {
			return fmt.Errorf("tensor %s: %w", it.Path, err)
		}
		if dtype == tensor.U32 {
			r.Words[it.Path] = true
		}
		if err := r.ways(v.in, it, stored, d.From); err != nil {
			return err
		}
		r.Outputs = append(r.Outputs, it)
	}
	return nil
}

// ways lists the ways to make a tensor. The tensor itself comes first, so that
// an mlx checkpoint is accepted as it is; where the ways written name it, they
// know better, and it comes last. Where what is made has longer names, the name without
// what was put before it is one more way: the only one written, or the last.
func (r *Declared) ways(s *scope, it *Output, stored string, from []*lang.Formula) error {
	itself := &TensorExpr{Step: op.Step{Op: op.Load, Path: it.Path}}
	it.Listed = len(from)
	for _, f := range from {
		m, err := s.tensorExpr(f.Tree)
		if err != nil {
			return err
		}
		if m.mentions(it.Path) {
			it.Own = -1
		}
		if m.Op == op.Load && m.Path == it.Path {
			it.OwnListed = true
			itself = nil
		}
		it.From = append(it.From, m)
	}
	if stored != it.Path {
		it.From = append(it.From, &TensorExpr{Step: op.Step{Op: op.Load, Path: stored}})
		it.Listed++
	}
	switch {
	case it.OwnListed:
		it.Own = slices.IndexFunc(it.From, func(m *TensorExpr) bool { return m.Op == op.Load && m.Path == it.Path })
		return nil
	case it.Own < 0:
		it.Own = len(it.From)
		it.From = append(it.From, itself)
	default:
		it.From = append([]*TensorExpr{itself}, it.From...)
	}
	return nil
}
