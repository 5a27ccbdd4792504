package declare

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"wreg/registry/arch/lang"
	"wreg/registry/expr"
	"wreg/registry/tensor"
)

// Apply runs an architecture's statements for a config. cp answers what they ask about
// a checkpoint; nil: there is none. With towardsHF the checkpoint is in the mlx layout
// and the expressions wanted are those of a checkpoint that was not converted.
func Apply(ctx context.Context, a *lang.Arch, c *Config, cp Checkpoint, towardsHF bool) (*Declared, error) {
	if known, ok := c.kept.Load(a); ok {
		d := *known.(*Declared)
		d.start(ctx, cp, towardsHF)
		return &d, nil
	}
	d := &Declared{Arch: a, config: c.root, braces: map[string]*expr.Node{}, cut: map[string][]piece{}, rules: map[*lang.Statement]string{},
		Shapes: map[string]tensor.Shape{}, Words: map[string]bool{}}
	d.start(ctx, cp, towardsHF)
	if err := d.loader(); err != nil {
		return nil, err
	}
	err := shown(a, d.statements(&scope{run: d, config: c.root}, a.Body))
	if err == nil {
		err = d.common()
	}
	if err == nil && !d.asked && d.names < maxKept {
		kept := *d
		kept.checkpoint, kept.ctx, kept.Budget.what = nil, nil, nil
		c.kept.Store(a, &kept)
	}
	return d, err
}

// start makes the declarations those of one question.
func (r *Declared) start(ctx context.Context, cp Checkpoint, towardsHF bool) {
	r.checkpoint, r.TowardsHF, r.matched = cp, towardsHF, map[string]bool{}
	r.Budget.start(ctx, r.what)
}

// what says what an exhausted budget was spent on.
func (r *Declared) what() string {
	rules := len(r.Drops.List) + len(r.Keeps.List) + len(r.Quants.List) + len(r.Reads.List)
	return fmt.Sprintf("%s, with %d tensors, %d rules about names and %d renamings so far,", r.Arch.File, len(r.Outputs), rules, len(r.Renamings.List))
}

// shown adds the line that a fault of this file is on. What a rule refuses needs
// none: its sentence is for people who never saw the file.
func shown(a *lang.Arch, err error) error {
	if e, ok := errors.AsType[*Error](err); ok && !e.Refused && e.File == a.File && e.Line > 0 {
		if lines := strings.Split(a.Text(), "\n"); e.Line <= len(lines) {
			e.Text = lines[e.Line-1]
		}
	}
	return err
}

// spendAt counts names, at the place of an expression; spendNameAt some of a length.
func (r *Declared) spendAt(n *expr.Node, names int64) error { return fault(n, r.Spend(names)) }

func (r *Declared) spendNameAt(n *expr.Node, count int64, length int) error {
	return fault(n, r.SpendName(count, length))
}

// remember keeps the deepest reason why a name has no value.
func (r *Declared) remember(err error) {
	if r.pending == nil {
		r.pending = err
	}
}

// ruleAt names a statement, once: it goes with every tensor it declares.
func (r *Declared) ruleAt(s *lang.Statement) string {
	if rule, ok := r.rules[s]; ok {
		return rule
	}
	rule := fmt.Sprintf("%s:%d", s.Pos.Filename, s.Pos.Line)
	r.rules[s] = rule
	return rule
}

func placed(s *lang.Statement, err error) error { return fault(&expr.Node{Pos: s.Pos}, err) }

// statements runs a body. Its renamings hold for all of it, also for a let above
// them that asks for a tensor.
func (r *Declared) statements(s *scope, list []*lang.Statement) error {
	for _, st := range list {
		if st.Rename != nil {
			n := Renaming{From: s.root + st.Rename.From, To: s.root + st.Rename.To}
			if err := r.spendNameAt(&expr.Node{Pos: st.Pos}, 1, len(n.From)+len(n.To)); err != nil {
				return err
			}
			r.Renamings.AddUnder(n.To, n)
			r.HFNames.AddUnder(n.From, n)
		}
	}
	for _, st := range list {
		if err := r.Work(statementSteps); err != nil {
			return err
		}
		if st.Let != nil { // what it is defined by may have the same name outside: a config key above all
			in := s.child()
			in.bind(st.Let.Name, &binding{node: st.Let.Value.Tree, in: s})
			s = in
			continue
		}
		if err := placed(st, r.statement(s, st)); err != nil {
			return err
		}
	}
	return nil
}

func (r *Declared) statement(s *scope, st *lang.Statement) error {
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
	case st.Under != nil:
		path, err := s.expand(st.Under.Path)
		if err != nil {
			return err
		}
		in := s.child()
		in.made += path + "."
		return r.statements(in, st.Under.Body.Statements)
	case st.When != nil:
		return r.when(s, st.When)
	case st.Use != nil:
		return r.use(s, st.Use)
	case st.With != nil:
		found, _ := dig(s.config, st.With.Key)
		inner, ok := found.(object)
		if !ok {
			return fmt.Errorf("config.json has no object %s", st.With.Key)
		}
		in := s.child()
		in.config = inner
		return r.statements(in, st.With.Body.Statements)
	case st.Source != nil:
		return r.source(s, st)
	case st.Rule != nil:
		return r.rule(s, st)
	case st.Read != nil:
		return r.read(s, st)
	case st.Refuse != nil:
		refused, err := s.truth(st.Refuse.When)
		if err != nil || !refused {
			return err
		}
		because, err := lang.Unquoted(st.Refuse.Because)
		if err != nil {
			return err
		}
		return &Error{File: st.Pos.Filename, Line: st.Pos.Line, Column: st.Pos.Column, Message: because, Refused: true}
	}
	return nil // a block is found when it is used
}

// under gives a scope whose paths are relative to a prefix.
func (s *scope) under(path string) (*scope, error) {
	full, err := s.absolute(path)
	if err != nil {
		return nil, err
	}
	in := s.child()
	in.prefix = full + "."
	return in, nil
}

func (r *Declared) when(s *scope, w *lang.When) error {
	for ; w != nil; w = w.ElseWhen {
		ok, err := s.truth(w.If)
		switch {
		case err != nil:
			return err
		case ok:
			return r.statements(s.child(), w.Then.Statements)
		case w.Else != nil:
			return r.statements(s.child(), w.Else.Statements)
		}
	}
	return nil
}

func (r *Declared) loop(s *scope, l *lang.Loop) error {
	values, err := s.values(l.In.Tree)
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

func (r *Declared) source(s *scope, st *lang.Statement) error {
	d := st.Source
	names, err := s.alternatives(d.Name)
	if err != nil {
		return err
	}
	for _, v := range names {
		path := v.in.rooted(v.name)
		if err := r.spendNameAt(&expr.Node{Pos: st.Pos}, 1, len(path)); err != nil {
			return err
		}
		if r.Shapes[path], err = v.in.sizes(d.Shape); err == nil {
			_, err = r.Shapes[path].Numel()
		}
		if err != nil {
			return fmt.Errorf("source %s: %w", path, err)
		}
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

// use expands a block, or the whole of another architecture with the prefix and
// the config of this place.
func (r *Declared) use(s *scope, u *lang.Use) error {
	if r.depth++; r.depth > maxDepth {
		return fmt.Errorf("use %s: blocks nest more than %d deep", u.Name, maxDepth)
	}
	defer func() { r.depth-- }()
	name, err := s.expand(u.Name)
	if err != nil {
		return err
	}
	b, err := r.Arch.Block(name)
	if err != nil {
		return err
	}
	if err := r.Work(int64(len(r.Arch.Body))); err != nil { // the file was searched
		return err
	}
	in := s.child()
	if b == nil {
		a, err := lang.Used(name)
		if err != nil {
			return err
		}
		if u.Args != nil {
			return fmt.Errorf("use %s: an architecture takes no arguments; bind names with let", u.Name)
		}
		in.root = s.prefix
		return r.statements(in, a.Body)
	}
	if err := in.pass(b, u, s); err != nil {
		return err
	}
	return r.statements(in, b.Body.Statements)
}

// pass binds a block's parameters: by place, then by name, then by default.
func (s *scope) pass(b *lang.Block, u *lang.Use, caller *scope) error {
	given := map[string]bool{}
	if u.Args != nil {
		for i, a := range u.Args.Args {
			if err := s.run.Work(int64(len(b.Params))); err != nil {
				return err
			}
			name, value := "", a.Tree
			if value.Op == "=" && value.Args[0].Op == expr.OpName {
				name, value = value.Args[0].Text, value.Args[1]
			} else if i < len(b.Params) {
				name = b.Params[i].Name
			}
			if given[name] || !slices.ContainsFunc(b.Params, func(p *lang.Param) bool { return p.Name == name }) {
				return fault(a.Tree, fmt.Errorf("block %s has no parameter for %v", b.Name, a.Tree))
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
			return fmt.Errorf("use %s: parameter %s is missing", b.Name, p.Name)
		}
		s.bind(p.Name, &binding{node: p.Default.Tree, in: s})
	}
	return nil
}
