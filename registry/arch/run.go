package arch

import (
	"fmt"
	"slices"
	"strings"

	"wreg/registry/expr"
	"wreg/registry/tensor"
)

// Limits of one application of an architecture to a config: a config from
// anywhere may ask for 10^18 layers.
const (
	maxSteps = 1 << 19 // loop rounds and names; the largest models take half as many
	maxDepth = 32      // blocks in blocks
	maxKept  = 1 << 17 // items that a Config remembers
)

// run is an architecture applied to a config and, where there is one, a
// checkpoint. Its statements leave items (the tensors of the mlx layout) and
// rules about names.
type run struct {
	arch     *Arch
	config   object
	src      Source // nil: nothing is known about a checkpoint
	items    []*item
	drops    []nameRule
	keeps    []nameRule
	quants   []nameRule
	reads    []*codec
	renames  []renaming
	declared map[string]tensor.Shape // shapes of hf tensors that source statements give

	loaderCast tensor.DType // awq: the loader casts every float to the scales' dtype

	lastAxis int64 // what the item being made declares for its last axis, 0: nothing

	steps     int64
	depth     int
	pending   error
	towardsHF bool // unconverted(…) is true

	asked   bool // a statement asked for the checkpoint: the items depend on it
	braces  map[string]*expr.Node
	cut     map[string][]piece
	rules   map[*statement]string
	matched map[string]bool
}

// item is one tensor of the mlx layout.
type item struct {
	path     string
	shape    tensor.Shape
	dtype    tensor.DType
	optional bool
	rule     string
	from     []*making // alternatives, in order; the tensor itself is among them
	own      int       // which of them is the tensor itself, as it is
	listed   int       // how many were written after from

	ownListed bool // the tensor as it is was among those written
}

// nameRule is a drop, keep or quant.
type nameRule struct {
	pattern *tensor.Pattern
	because string
	rule    string
	no      bool // quant: the consumer's predicate says no
	never   bool // quant: the module cannot be quantized
	bits    int
	group   int
}

// renaming says that the tensors under to may be stored under from.
type renaming struct{ from, to string }

func (a *Arch) run(c *Config, src Source) (*run, error) { return a.apply(c, src, false) }

// apply runs the statements. With towardsHF the checkpoint is in the mlx layout and
// the makings wanted are those of a checkpoint not converted yet.
func (a *Arch) apply(c *Config, src Source, towardsHF bool) (*run, error) {
	if known := c.known(a.file); known != nil {
		r := *known
		r.src, r.matched, r.towardsHF = src, map[string]bool{}, towardsHF
		return &r, nil
	}
	r := &run{arch: a, config: c.root, src: src, towardsHF: towardsHF, braces: map[string]*expr.Node{}, cut: map[string][]piece{}, rules: map[*statement]string{},
		matched: map[string]bool{}, declared: map[string]tensor.Shape{}}
	if err := r.loader(); err != nil {
		return nil, err
	}
	err := r.statements(&scope{run: r, config: c.root}, a.file.Body)
	if err == nil && !r.asked && r.steps < maxKept {
		c.keep(a.file, r)
	}
	return r, err
}

// remember keeps the deepest reason why a name has no value.
func (r *run) remember(err error) {
	if r.pending == nil {
		r.pending = err
	}
}

func (r *run) spend(n *expr.Node, steps int64) error {
	if r.steps += steps; r.steps > maxSteps {
		return fault(n, fmt.Errorf("the config asks for more than %d names", maxSteps))
	}
	return nil
}

// ruleAt names a statement, once: it goes with every tensor it declares.
func (r *run) ruleAt(s *statement) string {
	if rule, ok := r.rules[s]; ok {
		return rule
	}
	rule := fmt.Sprintf("%s:%d", s.Pos.Filename, s.Pos.Line)
	r.rules[s] = rule
	return rule
}

func placed(s *statement, err error) error {
	if err == nil {
		return nil
	}
	return fault(&expr.Node{Pos: s.Pos}, err)
}

// statements runs a body. Its renamings hold for all of it, also for a let above
// them that asks for a tensor.
func (r *run) statements(s *scope, list []*statement) error {
	for _, st := range list {
		if st.Rename != nil {
			r.renames = append(r.renames, renaming{from: s.root + st.Rename.From + ".", to: s.root + st.Rename.To + "."})
		}
	}
	for _, st := range list {
		if st.Let != nil { // what it is defined by may have the same name outside: a config key above all
			in := s.child()
			in.bind(st.Let.Name, &binding{node: st.Let.Value.tree, in: s})
			s = in
			continue
		}
		if err := placed(st, r.statement(s, st)); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) statement(s *scope, st *statement) error {
	switch {
	case st.Tensor != nil:
		return r.tensor(s, st)
	case st.For != nil:
		return r.loop(s, st.For)
	case st.At != nil:
		if ok, err := s.truth(st.At.When); err != nil || !ok {
			return err
		}
		in, err := s.under(st.At.Path)
		if err != nil {
			return err
		}
		return r.statements(in, st.At.Body.Statements)
	case st.When != nil:
		return r.when(s, st.When)
	case st.Use != nil:
		return r.use(s, st.Use)
	case st.With != nil:
		found, _ := s.config.find(st.With.Key)
		inner, ok := found.(object)
		if !ok {
			return fmt.Errorf("config.json has no object %s", st.With.Key)
		}
		in := s.child()
		in.config = inner
		return r.statements(in, st.With.Body.Statements)
	case st.Source != nil:
		return r.source(s, st.Source)
	case st.Rule != nil:
		return r.rule(s, st)
	case st.Read != nil:
		return r.read(s, st)
	case st.Refuse != nil:
		refused, err := s.truth(st.Refuse.When)
		if err != nil || !refused {
			return err
		}
		because, err := unquoted(st.Refuse.Because)
		if err != nil {
			return err
		}
		return &Error{File: st.Pos.Filename, Line: st.Pos.Line, Column: st.Pos.Column, Message: because, Refused: true}
	}
	return nil // a block is found when it is used
}

// under gives a scope whose paths are relative to a prefix.
func (s *scope) under(path string) (*scope, error) {
	full, err := s.absolute(path, &expr.Node{})
	if err != nil {
		return nil, err
	}
	in := s.child()
	in.prefix = full + "."
	return in, nil
}

func (r *run) when(s *scope, w *when) error {
	for {
		ok, err := s.truth(w.If)
		if err != nil {
			return err
		}
		if ok {
			return r.statements(s.child(), w.Then.Statements)
		}
		switch {
		case w.Else == nil:
			return nil
		case w.Else.Body != nil:
			return r.statements(s.child(), w.Else.Body.Statements)
		}
		w = w.Else.When
	}
}

func (r *run) loop(s *scope, l *loop) error {
	values, err := s.values(l.In.tree)
	if err != nil {
		return err
	}
	for _, v := range values {
		in := s.child()
		in.set(l.Var, v)
		if l.When != nil {
			if ok, err := in.truth(l.When); err != nil {
				return err
			} else if !ok {
				continue
			}
		}
		if l.At != "" {
			if in, err = in.under(l.At); err != nil {
				return err
			}
		}
		if err := r.statements(in, l.Body.Statements); err != nil {
			return err
		}
	}
	return nil
}

// use expands a block, or the whole of another architecture with the prefix and
// the config of this place.
func (r *run) use(s *scope, u *use) error {
	if r.depth++; r.depth > maxDepth {
		return fmt.Errorf("use %s: blocks stand in blocks more than %d deep", u.Name, maxDepth)
	}
	defer func() { r.depth-- }()
	b, err := r.arch.block(u.Name)
	if err != nil {
		return err
	}
	in := s.child()
	if b == nil {
		a, err := ByName(u.Name)
		if err != nil {
			return fmt.Errorf("use %s: there is neither a block nor an architecture of this name", u.Name)
		}
		if u.Args != nil {
			return fmt.Errorf("use %s: an architecture takes no arguments; bind names with let", u.Name)
		}
		in.root = s.prefix
		return r.statements(in, a.file.Body)
	}
	if err := in.pass(b, u, s); err != nil {
		return err
	}
	return r.statements(in, b.Body.Statements)
}

// pass binds a block's parameters: by place, then by name, then by default.
func (s *scope) pass(b *block, u *use, caller *scope) error {
	given := map[string]bool{}
	if u.Args != nil {
		for i, a := range u.Args.Args {
			name, value := "", a.tree
			if value.Op == "=" && value.Args[0].Op == expr.OpName {
				name, value = value.Args[0].Text, value.Args[1]
			} else if i < len(b.Params) {
				name = b.Params[i].Name
			}
			known := false
			for _, p := range b.Params {
				known = known || p.Name == name
			}
			if !known || given[name] {
				return fault(a.tree, fmt.Errorf("block %s has no further parameter for %v", b.Name, a.tree))
			}
			given[name] = true
			s.bind(name, &binding{node: value, in: caller})
		}
	}
	for _, p := range b.Params {
		if given[p.Name] {
			continue
		}
		if p.Default == nil {
			return fmt.Errorf("use %s: its parameter %s is not given", b.Name, p.Name)
		}
		s.bind(p.Name, &binding{node: p.Default.tree, in: s})
	}
	return nil
}

// block finds a block in the architecture's own file, then among the embedded.
func (a *Arch) block(name string) (*block, error) {
	for _, s := range a.file.Body {
		if s.Block != nil && s.Block.Name == name {
			return s.Block, nil
		}
	}
	return lib().block(name)
}

func (r *run) source(s *scope, d *source) error {
	names, err := s.alternatives(d.Name)
	if err != nil {
		return err
	}
	for _, v := range names {
		shape, err := v.in.sizes(d.Shape)
		if err != nil {
			return err
		}
		r.declared[v.in.rooted(v.name)] = shape
	}
	return nil
}

// rooted makes an expanded name a path.
func (s *scope) rooted(name string) string {
	if rest, ok := strings.CutPrefix(name, "/"); ok {
		return s.root + rest
	}
	return s.prefix + name
}

func (r *run) rule(s *scope, st *statement) error {
	d := st.Rule
	for _, text := range d.Patterns {
		text, err := s.pattern(text)
		if err != nil {
			return err
		}
		p, err := tensor.ParsePattern(text)
		if err != nil {
			return err
		}
		n := nameRule{pattern: p, rule: r.ruleAt(st), no: d.Word == "quant" && d.No == "no", never: d.No == "never", bits: d.Bits, group: d.Group}
		switch d.Word {
		case "drop":
			if n.because, err = unquoted(d.Because); err != nil || n.because == "" {
				return fmt.Errorf(`drop %s: say why: drop … because "…"`, text)
			}
			r.drops = append(r.drops, n)
		case "keep":
			r.keeps = append(r.keeps, n)
		case "quant":
			if !n.no && !n.never && n.bits == 0 {
				return fmt.Errorf("quant %s: say how: 8/64 (bits and group size), no, or never", text)
			}
			r.quants = append(r.quants, n)
		}
	}
	return nil
}

func unquoted(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	n, err := expr.Parse(text)
	if err != nil {
		return "", err
	}
	t, _ := n.Value.Text()
	return t, nil
}

func (r *run) tensor(s *scope, st *statement) error {
	d := st.Tensor
	dtype := tensor.Invalid
	if d.DType != "" {
		var ok bool
		if dtype, ok = tensor.ParseDType(d.DType); !ok {
			return fmt.Errorf("tensor %s: there is no dtype %s", d.Name, d.DType)
		}
	}
	names, err := s.alternatives(d.Name)
	if err != nil {
		return err
	}
	for _, v := range names {
		if err := r.spend(&expr.Node{Pos: st.Pos}, 1); err != nil {
			return err
		}
		it := &item{path: v.in.rooted(v.name), dtype: dtype, optional: d.Optional, rule: r.ruleAt(st)}
		if it.shape, err = v.in.sizes(d.Shape); err != nil {
			return err
		}
		if _, err := it.shape.Numel(); err != nil {
			return fmt.Errorf("tensor %s: %w", it.path, err)
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
	itself := &making{op: opLoad, path: it.path}
	it.listed = len(from)
	for _, f := range from {
		m, err := s.making(f.tree)
		if err != nil {
			return err
		}
		if m.mentions(it.path) {
			it.own = -1
		}
		if m.op == opLoad && m.path == it.path {
			it.ownListed = true
			itself = nil
		}
		it.from = append(it.from, m)
	}
	switch {
	case it.ownListed:
		it.own = slices.IndexFunc(it.from, func(m *making) bool { return m.op == opLoad && m.path == it.path })
		return nil
	case it.own < 0:
		it.own = len(it.from)
		it.from = append(it.from, itself)
	default:
		it.from = append([]*making{itself}, it.from...)
	}
	return nil
}
