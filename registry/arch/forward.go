package arch

import (
	"fmt"
	"slices"
	"strings"

	"wreg/registry/arch/declare"
	"wreg/registry/arch/op"
	"wreg/registry/method"
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
	return first, ok && first.DType.Floating()
}

// load finds one stored tensor, through the form it is stored in.
func (r *match) load(path string) (Operand, *Shortfall) {
	i, ok := r.stored(path)
	if ok && len(r.Reads.List) == 0 && i.DType.Floating() {
		return plain(i), nil
	}
	return r.decode(path, i, ok)
}

// foreign is a weight that is stored in a form that no rule reads.
type foreign struct {
	path string // of the weight, as the expression calls it
	method.Stored
	why  string       // what a rule that reads the form says; "": there is none
	have *tensor.Info // and of which tensor; nil: of the codes
}

// storedBy finds the method that left the weight of a path.
func (r *match) storedBy(path string) (s method.Stored, ok bool) {
	if r.src == nil || r.TowardsHF {
		return s, false
	}
	if f := r.methods(); f.Any() && r.Work(1) == nil {
		s, ok = f.Of(path, r.stored)
	}
	return s, ok
}

// claimed is what config.json alone says of a weight: codes under its name, or, where
// nothing is, in its module, are left by the method that it names.
func (r *match) claimed(path string) (s method.Stored, ok bool) {
	module, isWeight := strings.CutSuffix(path, ".weight")
	if r.src == nil || r.TowardsHF || !isWeight || r.quantMethod() == "" {
		return s, false
	}
	codes, there := r.stored(path)
	switch {
	case there && codes.Coded() && !codes.DType.Float():
		return method.Claimed(r.quantMethod(), codes.Path, codes), true
	case there:
		return s, false
	case r.coded == nil:
		r.coded = map[string]string{}
		r.src.All(func(i tensor.Info) bool {
			if dot := strings.LastIndexByte(i.Path, '.'); dot >= 0 && i.Coded() {
				r.coded[i.Path[:dot]] = i.Path
			}
			return r.Work(1) == nil
		})
	}
	for _, module := range []string{module, strings.TrimSuffix(r.hfName(path), ".weight")} {
		if codes, ok := r.src.Lookup(r.coded[module]); ok {
			return method.Claimed(r.quantMethod(), module+".weight", codes), true
		}
	}
	return s, false
}

// methods finds what methods of quantization leave, once.
func (r *match) methods() *method.Finder {
	if r.finder == nil {
		r.finder = method.In(func(yield func(string) bool) {
			d, _ := r.src.(decoded)
			if src, ok := d.Source.(Templated); ok {
				src.Templates(yield)
				return
			}
			r.src.All(func(i tensor.Info) bool { return yield(i.Path) })
		})
	}
	return r.finder
}

// elsewhere looks for what a path lacks, or should be, in the forms of methods that no
// rule reads. A form all of which a rule knows is the rule's to judge.
func (r *match) elsewhere(path string, by *declare.Read, t *Shortfall) *Shortfall {
	s, ok := r.storedBy(path)
	if !ok && by == nil {
		s, ok = r.claimed(path)
	}
	if !ok {
		return t
	}
	out := foreign{path: path, Stored: s}
	if by != nil && t != nil && !slices.ContainsFunc(s.Marks, func(i tensor.Info) bool { return !r.reads(by, path, i.Path) }) {
		if len(t.wrong) == 0 {
			return t
		}
		out.why, out.have = t.wrong[0].Reason, t.wrong[0].Have
	}
	return &Shortfall{foreign: []foreign{out}, total: 1}
}

// wronglyRead takes out of what is wrong with a way what is so because its inputs are
// stored in forms that were taken for others.
func (r *match) wronglyRead(it *declare.Output, m *declare.TensorExpr, t *Shortfall) *Shortfall {
	if r.src == nil || !r.methods().Any() {
		return t
	}
	out, told := *t, r.inputShapes(m, it.Shape)
	known := map[string]bool{it.Path: true, "": true}
	for _, f := range t.foreign {
		known[f.path], known[f.Weight], known[f.Codes.Path] = true, true, true
	}
	m.Loads(func(path string) {
		s, ok := r.storedBy(path)
		if !ok || known[path] && path != it.Path {
			return
		}
		why := ""
		if f, failed := r.load(path); failed == nil && f.Shape.Equal(told[path]) && (f.bits > 0 || f.DType.Float()) {
			k := slices.IndexFunc(t.wrong, func(g Gap) bool { return g.Path == path })
			if k < 0 {
				return // read as it should be
			}
			why = t.wrong[k].Reason // but not what is then done to it
		}
		known[path], known[s.Weight], known[s.Codes.Path] = true, true, true
		out.foreign = append(out.foreign, foreign{path: path, Stored: s, why: why})
	})
	if len(out.foreign) > 0 {
		out.wrong = slices.DeleteFunc(slices.Clone(t.wrong), func(g Gap) bool { return known[g.Path] })
	}
	return &out
}

// reads reports that a statement knows a stored tensor beside path.
func (r *match) reads(by *declare.Read, path, stored string) bool {
	if slices.ContainsFunc(r.Ignored, func(g declare.Ignored) bool { return g.Read == by && strings.HasSuffix(stored, g.Suffix) }) {
		return true
	}
	for role := range by.Parts {
		if i, ok := r.role(by, path, role); ok && i.Path == stored {
			return true
		}
	}
	return false
}

// unread finds what changes the values of a weight and is not known to the statement
// that reads it.
func (r *match) unread(path string, by *declare.Read) *Shortfall {
	if r.src == nil || r.TowardsHF {
		return nil
	}
	name := r.methods().Unread(path, r.stored, func(name string) bool { return r.reads(by, path, name) })
	if name == "" {
		return nil
	}
	s, ok := r.storedBy(path)
	if !ok {
		return nil
	}
	return &Shortfall{foreign: []foreign{{path: path, Stored: s, why: "with " + name + ", which the rule for it does not read"}}, total: 1}
}

// foreignGap is what is said of a weight in a form that no rule reads.
func (r *match) foreignGap(f *foreign, it *declare.Output, shape tensor.Shape) Gap {
	if !op.Complete(shape) {
		shape = nil
	}
	r.foreign[f.Weight] = true
	if f.IsClaim() { // what else its module has is not known by name
		r.foreign[strings.TrimSuffix(f.Weight, "weight")] = true
	}
	said := r.quantMethod()
	name, detail := f.Name(said), ""
	if shape != nil {
		detail = f.Detail(shape, r.stored)
	}
	g := Gap{Status: Changed, Method: name, Want: Want{Path: f.Weight, Shape: shape, Optional: it.Optional, Rule: it.Rule}, Have: &f.Codes}
	if f.have != nil {
		g.Have = f.have
	}
	if f.why == "" {
		g.Reason = fmt.Sprintf("%v %v, expected floats", f.Codes.DType, f.Codes.Shape)
		if shape != nil && !shape.Equal(f.Codes.Shape) {
			g.Reason += fmt.Sprintf(" %v", shape)
		}
		g.Reason += ": "
	}
	g.Reason += "stored by " + name
	if detail != "" {
		g.Reason += " (" + detail + ")"
	}
	g.Remedy = "export the checkpoint that it was quantized from, or dequantize it first"
	switch {
	case f.why != "":
		g.Reason += ": " + f.why
	case said == "" && f.Mine("awq") && f.Codes.DType == tensor.I32:
		g.Reason += ", which config.json does not say"
		g.Remedy = "put back the quantization_config that its config.json had, or " + g.Remedy
	default:
		g.Reason += ", which wreg does not read for " + r.Arch.Name
	}
	return g
}

// quantMethod is what config.json, anywhere, calls the method that quantized it.
func (r *match) quantMethod() string {
	if r.said == nil {
		said := r.methodSaid()
		r.said = &said
	}
	return *r.said
}

func (r *match) methodSaid() string {
	for _, at := range []string{"", "text_config.", "language_config.", "llm_config."} {
		for _, key := range []string{"quantization_config", "quantization", "compression_config"} {
			for _, name := range []string{"quant_method", "quantization.quant_method", "quant_algo"} {
				if v, ok := r.Key(at + key + "." + name); ok {
					if said, ok := v.Text(); ok && said != "" {
						return said
					}
				}
			}
		}
	}
	return ""
}
