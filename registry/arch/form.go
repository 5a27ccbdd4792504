package arch

import (
	"fmt"
	"slices"
	"strings"

	"wreg/registry/expr"
	"wreg/registry/tensor"
)

// form is what a making gives for a checkpoint: the logical tensor and the stored
// tensors it consists of, one for a plain tensor, weight, scales and maybe biases
// for a packed one.
type form struct {
	shape tensor.Shape // logical
	dtype tensor.DType // of the numbers; Invalid for packed
	parts []part
	bits  int // of packed elements; 0: plain
	group int
}

type part struct {
	suffix string // "" when plain, else "weight", "scales", "biases"
	dtype  tensor.DType
	shape  tensor.Shape
	node   *Node // nil when only checking
}

// trouble is why a making does not work on a checkpoint.
type trouble struct {
	absent []string // stored tensors that are not there
	wrong  []Gap
	total  int // how many it looked for
}

func (t *trouble) empty() bool { return len(t.absent) == 0 && len(t.wrong) == 0 }

func wrongAt(path string, have *tensor.Info, want tensor.Shape, format string, args ...any) *trouble {
	return &trouble{wrong: []Gap{{Status: Changed, Want: Want{Path: path, Shape: want}, Have: have, Reason: fmt.Sprintf(format, args...)}}, total: 1}
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

// forward holds a making against the checkpoint; with build it makes the Nodes
// too.
func (r *run) forward(m *making, build bool) (form, *trouble) {
	switch m.op {
	case opLoad:
		return r.load(m.path, m.at, build)
	case opEach:
		return r.forwardEach(m, build)
	}
	ins := make([]form, len(m.in))
	var all trouble
	for i, x := range m.in {
		f, t := r.forward(x, build)
		if t != nil {
			all.absent = append(all.absent, t.absent...)
			all.wrong = append(all.wrong, t.wrong...)
			all.total += t.total
			continue
		}
		all.total += len(f.parts)
		ins[i] = f
	}
	if !all.empty() {
		return form{}, &all
	}
	f, err := m.apply(ins, build)
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
		return form{}, t
	}
	return f, nil
}

// forwardEach stacks; every element must have the first one's shape and dtype.
func (r *run) forwardEach(m *making, build bool) (form, *trouble) {
	var ins []form
	var all trouble
	if first, ok := r.ranged(m); ok && !build {
		f := plain(first, false)
		f.shape = append(tensor.Shape{m.to - m.from}, f.shape...)
		f.parts[0].shape = f.shape
		return f, nil
	}
	for i := m.from; i < m.to; i++ {
		path := m.each(i)
		f, t := r.load(path, m.at, build)
		all.total++
		if t != nil {
			all.absent = append(all.absent, t.absent...)
			all.wrong = append(all.wrong, t.wrong...)
			continue
		}
		if len(ins) > 0 && (f.bits != ins[0].bits || f.dtype != ins[0].dtype || !f.shape.Equal(ins[0].shape)) {
			g := Gap{Status: Changed, Want: Want{Path: path, Shape: ins[0].shape, DType: ins[0].dtype},
				Reason: fmt.Sprintf("%v %v, but the others are %v %v: a stack has one shape and one dtype", f.dtype, f.shape, ins[0].dtype, ins[0].shape)}
			if have, ok := r.stored(path); ok {
				g.Path, g.Have = have.Path, &have
			}
			all.wrong = append(all.wrong, g)
			continue
		}
		if len(ins) == 0 || build {
			ins = append(ins, f)
		}
	}
	if !all.empty() {
		return form{}, &all
	}
	if len(ins) == 0 {
		return form{}, wrongAt(m.prefix+"0"+m.suffix, nil, nil, "a stack of none")
	}
	out := ins[0]
	n := m.to - m.from
	out.shape = append(tensor.Shape{n}, out.shape...)
	out.parts = slices.Clone(out.parts)
	for k := range out.parts {
		p := &out.parts[k]
		p.shape = append(tensor.Shape{n}, p.shape...)
		if build {
			p.node = &Node{Op: OpStack, DType: p.dtype, Shape: p.shape, In: make([]*Node, len(ins))}
			for i := range ins {
				p.node.In[i] = ins[i].parts[k].node
			}
		}
	}
	return out, nil
}

// ranged asks a Source that can answer for all elements at once; only plain floats
// are told so, anything else needs a look at each.
func (r *run) ranged(m *making) (first tensor.Info, ok bool) {
	src, can := r.src.(Ranged)
	if !can || m.op != opEach || m.to <= m.from {
		return first, false
	}
	first, ok = src.Each(m.prefix, m.suffix, m.from, m.to)
	return first, ok && first.DType.Float() && first.DType != tensor.F8E4M3
}

// load finds one tensor as stored, through the codec it is stored with.
func (r *run) load(path string, at *expr.Node, build bool) (form, *trouble) {
	i, ok := r.stored(path)
	if ok && len(r.reads.list) == 0 && i.DType.Float() && i.DType != tensor.F8E4M3 {
		return plain(i, build), nil
	}
	return r.decode(path, i, ok, build)
}

func plain(i tensor.Info, build bool) form {
	f := form{shape: i.Shape, dtype: i.DType, parts: make([]part, 1)}
	f.parts[0] = part{dtype: i.DType, shape: i.Shape}
	if build {
		f.parts[0].node = loadNode(i)
	}
	return f
}

func loadNode(i tensor.Info) *Node {
	return &Node{Op: OpLoad, Path: i.Path, DType: i.DType, Shape: i.Shape}
}

// apply runs one operation on forms, part by part. A packed tensor's last axis is
// packed: operations on it are refused.
func (m *making) apply(ins []form, build bool) (form, error) {
	first := ins[0]
	for k, in := range ins[1:] {
		if len(in.parts) != len(first.parts) || in.bits != first.bits {
			return form{}, fmt.Errorf("%v: input %d is packed otherwise than the first", m.op, k+1)
		}
	}
	if first.bits > 0 && m.packsAxis(len(first.shape)) {
		return form{}, fmt.Errorf("%v along the packed axis of a %d-bit tensor: give an unquantized checkpoint", m.op, first.bits)
	}
	out := form{bits: first.bits, group: first.group, parts: make([]part, len(first.parts))}
	for k := range first.parts {
		column := make([]part, len(ins))
		for i := range ins {
			column[i] = ins[i].parts[k]
		}
		p, err := m.step(column, build)
		if err != nil {
			return form{}, err
		}
		p.suffix = first.parts[k].suffix
		out.parts[k] = p
	}
	out.shape, out.dtype = out.parts[0].shape, out.parts[0].dtype
	if out.bits > 0 {
		logical, err := m.step(logicalParts(ins), false)
		if err != nil {
			return form{}, err
		}
		out.shape, out.dtype = logical.shape, tensor.Invalid
	}
	return out, nil
}

func logicalParts(ins []form) []part {
	parts := make([]part, len(ins))
	for i, f := range ins {
		parts[i] = part{shape: f.shape, dtype: tensor.U8}
	}
	return parts
}

// packsAxis reports that the operation is not one that leaves the last of rank
// axes alone.
func (m *making) packsAxis(rank int) bool {
	switch m.op {
	case OpStack:
		return false
	case OpConcat:
		return m.axis >= rank-1
	case OpSlice:
		return len(m.cuts) == rank && !m.cuts[rank-1].whole()
	case OpPermute:
		return len(m.perm) != rank || m.perm[rank-1] != rank-1
	case opFlatten:
		return m.axis+m.count >= rank
	case opUnflatten, opSqueeze:
		return m.axis >= rank-1
	}
	return true
}
