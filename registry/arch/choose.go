package arch

import (
	"fmt"
	"slices"
	"strings"

	"wreg/registry/arch/declare"
	"wreg/registry/arch/op"
	"wreg/registry/tensor"
)

// outcome says which way of making an output works, or what each lacks.
type outcome struct {
	chosen int // index into item.from; -1: none works
	Operand
	nodes      []*op.Node   // of its parts; nil until they are wanted
	shortfalls []*Shortfall // one per way, when none works
}

// choose tries the ways of making an output in order; the first whose inputs are all
// there and give the declared shape wins.
func (r *match) choose(it *declare.Output) outcome {
	o := outcome{chosen: -1}
	defer func() { r.making = making{} }()
	for k, m := range it.From {
		r.making = making{Output: it, way: m}
		f, t := r.forward(m)
		if t == nil {
			t = r.check(it, m, f)
		}
		if t != nil && len(t.wrong) > 0 {
			t = r.wronglyRead(it, m, t)
		}
		if t == nil {
			o.chosen, o.Operand = k, f
			return o
		}
		o.shortfalls = append(o.shortfalls, t)
	}
	return o
}

// check compares what an expression gives with what is declared.
func (r *match) check(it *declare.Output, m *declare.TensorExpr, f Operand) *Shortfall {
	wrong := ""
	switch {
	case !f.Shape.Equal(it.Shape):
		wrong = fmt.Sprintf("shape %v, expected %v", f.Shape, it.Shape)
	case f.bits > 0 && r.raw(it):
		g := Gap{Status: Changed, Want: wantOf(it), Reason: fmt.Sprintf("stored in %d bits, and the consumer reads it as floats only", f.bits)}
		return &Shortfall{wrong: []Gap{g}, total: 1}
	case f.bits > 0:
		return nil
	case it.DType == tensor.Invalid && !f.DType.Floating():
		wrong = fmt.Sprintf("dtype %v, expected floats", f.DType)
	case it.DType != tensor.Invalid && f.DType != it.DType:
		wrong = fmt.Sprintf("dtype %v, expected %v", f.DType, it.DType)
	default:
		return nil
	}
	if m.Op == op.Load {
		have, _ := r.stored(m.Path)
		g := Gap{Status: Changed, Want: Want{Path: have.Path, Shape: it.Shape, DType: it.DType, Rule: it.Rule}, Have: &have, Reason: wrong}
		return &Shortfall{wrong: []Gap{g}, total: 1}
	}
	t := &Shortfall{total: 1}
	told := r.inputShapes(m, it.Shape)
	m.Loads(func(path string) {
		have, ok := r.stored(path)
		if !ok {
			return
		}
		if want := told[path]; !op.Complete(want) || !want.Equal(have.Shape) {
			g := Gap{Status: Changed, Want: Want{Path: have.Path, Shape: want, Rule: it.Rule}, Have: &have, Reason: fmt.Sprintf("shape %v, expected %v", have.Shape, want)}
			if !op.Complete(want) {
				g.Shape, g.Reason = nil, fmt.Sprintf("%s made of it has %s", it.Path, wrong)
			}
			t.wrong = append(t.wrong, g)
		}
	})
	if len(t.wrong) == 0 {
		t.wrong = []Gap{{Status: Changed, Want: wantOf(it), Reason: "what its inputs make has " + wrong}}
	}
	return t
}

func wantOf(it *declare.Output) Want {
	return Want{Path: it.Path, Shape: it.Shape, DType: it.DType, Optional: it.Optional, Rule: it.Rule}
}

// inputShapes infers the shapes of the paths that an expression reads from that of
// its result.
func (r *match) inputShapes(m *declare.TensorExpr, shape tensor.Shape) map[string]tensor.Shape {
	shapes := map[string]tensor.Shape{}
	m.Inputs(shape, func(path string, s tensor.Shape) {
		if d, ok := r.Shapes[path]; ok {
			s = d
		}
		shapes[path], _ = op.Merge(shapes[path], s)
	})
	return shapes
}

// doubled finds a tensor that is stored as mlx names it while everything that hf makes
// it from is stored, too: one of the two copies would be lost.
func (r *match) doubled(it *declare.Output, o *outcome, mlx map[string]bool) *Gap {
	if o.chosen != it.Own || o.chosen < 0 || len(it.From) == 1 {
		return nil
	}
	for k, m := range it.From {
		first := ""
		if k == it.Own || !r.complete(m, mlx, &first) || first == "" {
			continue
		}
		have, _ := r.stored(first)
		return &Gap{Status: Extra, Want: Want{Path: have.Path}, Have: &have, Reason: fmt.Sprintf("a second copy: %s is there already, in another form", it.Path)}
	}
	return nil
}

// complete reports that every input of an expression is there and none is itself a
// tensor of the mlx layout; first becomes one of them.
func (r *match) complete(m *declare.TensorExpr, mlx map[string]bool, first *string) bool {
	one := func(path string) bool {
		if _, ok := r.stored(path); !ok || mlx[path] {
			return false
		}
		*first = path
		return true
	}
	switch m.Op {
	case op.Load:
		return one(m.Path)
	case declare.Each:
		for i := m.From; i < m.Until; i++ {
			if !one(m.Element(i)) {
				return false
			}
		}
	}
	return !slices.ContainsFunc(m.In, func(x *declare.TensorExpr) bool { return !r.complete(x, mlx, first) })
}

func anyPresent(all []*Shortfall) bool {
	return slices.ContainsFunc(all, func(t *Shortfall) bool { return len(t.absent) < t.total || len(t.wrong) > 0 })
}

// raw reports that a rule calls the weight's module one that cannot be quantized.
func (r *match) raw(it *declare.Output) bool {
	module, isWeight := strings.CutSuffix(it.Path, ".weight")
	never := false
	if isWeight {
		r.Quants.Matching(&r.Budget, module, func(_ int, n declare.NameRule) bool {
			never = n.Never
			return never
		})
	}
	return never
}
