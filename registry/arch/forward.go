package arch

import (
	"fmt"

	"wreg/registry/arch/declare"
	"wreg/registry/arch/op"
	"wreg/registry/tensor"
)

// forward evaluates an expression on the checkpoint, in shapes and dtypes.
func (r *match) forward(m *declare.TensorExpr) (Operand, *Shortfall) {
	switch m.Op {
	case op.Load:
		return r.load(m.Path)
	case declare.Each:
		return r.forwardEach(m)
	}
	ins := make([]Operand, len(m.In))
	var all Shortfall
	for i, x := range m.In {
		f, t := r.forward(x)
		if t != nil {
			all.add(t)
			all.total += t.total
			continue
		}
		all.total += len(f.parts)
		ins[i] = f
	}
	if !all.empty() {
		return Operand{}, &all
	}
	f, err := apply(&m.Step, ins)
	if err != nil {
		t := wrongAt("", nil, nil, "%v", err)
		m.Loads(func(path string) {
			if t.wrong[0].Path == "" {
				t.wrong[0].Path = path
				if i, ok := r.stored(path); ok {
					t.wrong[0].Have = &i
				}
			}
		})
		return Operand{}, t
	}
	return f, nil
}

// forwardEach stacks; every element must have the first one's shape and dtype.
func (r *match) forwardEach(m *declare.TensorExpr) (Operand, *Shortfall) {
	if first, ok := r.ranged(m); ok {
		return r.stacked(m, plain(first)), nil
	}
	var one Operand
	var all Shortfall
	for i := m.From; i < m.Until; i++ {
		path := m.Element(i)
		f, t := r.load(path)
		all.total++
		switch {
		case t != nil:
			all.add(t)
		case one.parts == nil:
			one = f
		case f.bits != one.bits || f.DType != one.DType || !f.Shape.Equal(one.Shape):
			g := Gap{Status: Changed, Want: Want{Path: path, Shape: one.Shape, DType: one.DType},
				Reason: fmt.Sprintf("%v %v, but the others are %v %v: a stack has one shape and one dtype", f.DType, f.Shape, one.DType, one.Shape)}
			if have, ok := r.stored(path); ok {
				g.Path, g.Have = have.Path, &have
			}
			all.wrong = append(all.wrong, g)
		}
	}
	if !all.empty() {
		return Operand{}, &all
	}
	if one.parts == nil {
		return Operand{}, wrongAt(m.Prefix+"0"+m.Suffix, nil, nil, "a stack of no tensors")
	}
	return r.stacked(m, one), nil
}

// stacked is the stack of all elements, which are like one of them.
func (r *match) stacked(m *declare.TensorExpr, one Operand) Operand {
	longer := func(s tensor.Shape) tensor.Shape { return append(tensor.Shape{m.Until - m.From}, s...) }
	out := one
	out.Shape = longer(one.Shape)
	out.parts = make([]part, len(one.parts))
	for k, p := range one.parts {
		a := op.Array{DType: p.DType, Shape: longer(p.Shape)}
		out.parts[k] = part{suffix: p.suffix, Array: a, make: func() *op.Node {
			n := &op.Node{Step: op.Step{Op: op.Stack}, DType: a.DType, Shape: a.Shape, In: make([]*op.Node, 0, m.Until-m.From)}
			for i := m.From; i < m.Until; i++ {
				f, _ := r.load(m.Element(i)) // as one was
				n.In = append(n.In, f.parts[k].node())
			}
			return n
		}}
	}
	return out
}

// ranged asks a Source that can answer for all elements at once; only plain floats
// are answered for that way, anything else needs a look at each.
func (r *match) ranged(m *declare.TensorExpr) (first tensor.Info, ok bool) {
	d, _ := r.src.(decoded)
	src, can := d.Source.(Ranged)
	if !can || m.Op != declare.Each || m.Until <= m.From {
		return first, false
	}
	first, ok = src.Each(m.Prefix, m.Suffix, m.From, m.Until)
	return first, ok && wide(first.DType)
}

// load finds one stored tensor, through the form it is stored in.
func (r *match) load(path string) (Operand, *Shortfall) {
	i, ok := r.stored(path)
	if ok && len(r.Reads.List) == 0 && wide(i.DType) {
		return plain(i), nil
	}
	return r.decode(path, i, ok)
}
