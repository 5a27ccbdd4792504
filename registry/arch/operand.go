package arch

import (
	"fmt"
	"slices"
	"strings"

	"wreg/registry/arch/op"
	"wreg/registry/tensor"
)

// Operand is what a tensor expression gives for a checkpoint: the logical tensor and
// the stored tensors it consists of, one for a plain tensor, weight, scales and maybe
// biases for a packed one.
type Operand struct {
	op.Array // logical; its DType is Invalid for packed
	parts    []part
	bits     int // of packed elements; 0: plain
	group    int
}

// part is one tensor of an operand.
type part struct {
	suffix string // "" when plain, else "weight", "scales", "biases"
	op.Array
	stored string          // its path, where it is a stored tensor as it lies
	node   func() *op.Node // makes the tree, when it is wanted
}

// Shortfall is why an expression does not work on a checkpoint.
type Shortfall struct {
	absent []string // stored tensors that are not there
	wrong  []Gap
	total  int // how many it looked for
}

func (t *Shortfall) empty() bool { return len(t.absent) == 0 && len(t.wrong) == 0 }

// add collects what another input lacks.
func (t *Shortfall) add(other *Shortfall) {
	t.absent = append(t.absent, other.absent...)
	t.wrong = append(t.wrong, other.wrong...)
}

func wrongAt(path string, have *tensor.Info, want tensor.Shape, format string, args ...any) *Shortfall {
	return &Shortfall{wrong: []Gap{{Status: Changed, Want: Want{Path: path, Shape: want}, Have: have, Reason: fmt.Sprintf(format, args...)}}, total: 1}
}

// stored finds a tensor under its own path, or where a renaming says it is.
func (r *run) stored(path string) (tensor.Info, bool) {
	if r.src == nil {
		return tensor.Info{}, false
	}
	if i, ok := r.src.Lookup(path); ok {
		return i, true
	}
	for _, k := range r.renames.near(path) {
		n := r.renames.list[k]
		if hf, ok := moved(path, n.to, n.from); ok && r.work(1) == nil {
			if i, ok := r.src.Lookup(hf); ok {
				return i, true
			}
		}
	}
	return tensor.Info{}, false
}

// hfName is where the hf layout holds a path: the first renaming that fits and that
// the checkpoint follows. One that is more special and stands before it counts even
// if nothing is there under its name: that is what is missing. A checkpoint that
// follows no renaming has the mlx layout's names.
func (r *run) hfName(path string) string {
	var best *renaming
	followed := false
	for _, k := range r.renames.near(path) {
		n := &r.renames.list[k]
		if followed || len(path) == len(n.to) || r.work(1) != nil {
			continue
		}
		known := r.src == nil || r.towardsHF || r.follows(*n)
		if best == nil || known && len(n.to) >= len(best.to) || len(n.to) > len(best.to) {
			best, followed = n, known
		}
	}
	if best == nil {
		return path
	}
	if !followed {
		if _, ok := r.src.Lookup(path); ok || !r.followsAny() {
			return path
		}
	}
	return best.from + path[len(best.to):]
}

// follows reports that a checkpoint has tensors under a renaming's from, and
// remembers it.
func (r *run) follows(n renaming) bool {
	if known, ok := r.matched[n.from]; ok {
		return known
	}
	found := false
	r.src.All(func(i tensor.Info) bool {
		found = strings.HasPrefix(i.Path, n.from+".")
		return !found && r.work(1) == nil
	})
	r.matched[n.from] = found
	return found
}

func (r *run) followsAny() bool {
	const any = "" // no renaming is from there
	known, ok := r.matched[any]
	if !ok {
		known = slices.ContainsFunc(r.renames.list, r.follows)
		r.matched[any] = known
	}
	return known
}

// anyMatch reports that the checkpoint has a tensor that a pattern matches.
func (r *run) anyMatch(s *scope, text string) (bool, error) {
	r.asked = true
	text, err := s.pattern(text)
	if err != nil || r.src == nil {
		return false, err
	}
	if known, ok := r.matched[text]; ok {
		return known, nil
	}
	p, err := tensor.ParsePattern(text)
	if err != nil {
		return false, err
	}
	found := false
	r.src.All(func(i tensor.Info) bool {
		found = p.Match(i.Path)
		return !found && r.work(matchSteps(p, i.Path)) == nil
	})
	r.matched[text] = found
	return found, r.over
}

// forward matches an expression with the checkpoint.
func (r *run) forward(m *TensorExpr) (Operand, *Shortfall) {
	switch m.Op {
	case op.Load:
		return r.load(m.Path)
	case each:
		return r.forwardEach(m)
	}
	ins := make([]Operand, len(m.in))
	var all Shortfall
	for i, x := range m.in {
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
		m.loads(func(path string) {
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
func (r *run) forwardEach(m *TensorExpr) (Operand, *Shortfall) {
	if first, ok := r.ranged(m); ok {
		return r.stacked(m, plain(first)), nil
	}
	var one Operand
	var all Shortfall
	for i := m.from; i < m.to; i++ {
		path := m.each(i)
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
		return Operand{}, wrongAt(m.prefix+"0"+m.suffix, nil, nil, "a stack of none")
	}
	return r.stacked(m, one), nil
}

// stacked is the stack of all elements, which are as one of them is.
func (r *run) stacked(m *TensorExpr, one Operand) Operand {
	longer := func(s tensor.Shape) tensor.Shape { return append(tensor.Shape{m.to - m.from}, s...) }
	out := one
	out.Shape = longer(one.Shape)
	out.parts = make([]part, len(one.parts))
	for k, p := range one.parts {
		a := op.Array{DType: p.DType, Shape: longer(p.Shape)}
		out.parts[k] = part{suffix: p.suffix, Array: a, node: func() *op.Node {
			n := &op.Node{Step: op.Step{Op: op.Stack}, DType: a.DType, Shape: a.Shape, In: make([]*op.Node, 0, m.to-m.from)}
			for i := m.from; i < m.to; i++ {
				f, _ := r.load(m.each(i)) // as one was
				n.In = append(n.In, f.parts[k].node())
			}
			return n
		}}
	}
	return out
}

// ranged asks a Source that can answer for all elements at once; only plain floats
// are told so, anything else needs a look at each.
func (r *run) ranged(m *TensorExpr) (first tensor.Info, ok bool) {
	src, can := r.src.(Ranged)
	if !can || m.Op != each || m.to <= m.from {
		return first, false
	}
	first, ok = src.Each(m.prefix, m.suffix, m.from, m.to)
	return first, ok && first.DType.Float() && first.DType != tensor.F8E4M3
}

// load finds one tensor as stored, through the codec it is stored with.
func (r *run) load(path string) (Operand, *Shortfall) {
	i, ok := r.stored(path)
	if ok && len(r.reads.list) == 0 && i.DType.Float() && i.DType != tensor.F8E4M3 {
		return plain(i), nil
	}
	return r.decode(path, i, ok)
}

func plain(i tensor.Info) Operand {
	return Operand{Array: op.Array{DType: i.DType, Shape: i.Shape}, parts: []part{storedPart("", i)}}
}

func storedPart(suffix string, i tensor.Info) part {
	return part{suffix: suffix, Array: op.Array{DType: i.DType, Shape: i.Shape}, stored: i.Path, node: func() *op.Node { return op.Stored(i) }}
}

// made is what a step makes of parts, which must suit it.
func made(suffix string, s op.Step, in ...part) (part, error) {
	arrays := make([]op.Array, len(in))
	for i, p := range in {
		arrays[i] = p.Array
	}
	out, err := s.Result(arrays...)
	switch {
	case err != nil:
		return part{}, err
	case s.Idle(arrays[0], out):
		p := in[0]
		p.suffix = suffix
		return p, nil
	}
	return part{suffix: suffix, Array: out, node: func() *op.Node {
		nodes := make([]*op.Node, len(in))
		for i, p := range in {
			nodes[i] = p.node()
		}
		n, err := s.Node(nodes...)
		if err != nil {
			panic(err) // Result said it works
		}
		return n
	}}, nil
}

// apply runs one operation on operands, part by part. A packed tensor's last axis is
// packed: operations on it are refused.
func apply(s *op.Step, ins []Operand) (Operand, error) {
	first := ins[0]
	for k, in := range ins[1:] {
		if len(in.parts) != len(first.parts) || in.bits != first.bits {
			return Operand{}, fmt.Errorf("%v: input %d is packed otherwise than the first", s.Op, k+1)
		}
	}
	if first.bits > 0 && !s.KeepsLast(len(first.Shape)) {
		return Operand{}, fmt.Errorf("%v along the packed axis of a %d-bit tensor: give an unquantized checkpoint", s.Op, first.bits)
	}
	out := Operand{bits: first.bits, group: first.group, parts: make([]part, len(first.parts))}
	for k := range first.parts {
		column := make([]part, len(ins))
		for i := range ins {
			column[i] = ins[i].parts[k]
		}
		var err error
		if out.parts[k], err = made(first.parts[k].suffix, *s, column...); err != nil {
			return Operand{}, err
		}
	}
	if out.bits == 0 {
		out.Array = out.parts[0].Array
		return out, nil
	}
	logical := make([]op.Array, len(ins))
	for i, f := range ins {
		logical[i] = op.Array{Shape: f.Shape, DType: tensor.U8}
	}
	all, err := s.Result(logical...)
	out.Shape = all.Shape
	return out, err
}
