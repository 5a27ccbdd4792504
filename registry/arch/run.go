package arch

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"wreg/registry/expr"
	"wreg/registry/tensor"
)

// run is an architecture applied to a config and, where there is one, a
// checkpoint. Its statements leave items (the tensors of the mlx layout) and
// rules about names.
type run struct {
	ctx      context.Context
	arch     *Arch
	config   object
	src      Source // nil: nothing is known about a checkpoint
	items    []*item
	drops    byRoot[nameRule]
	keeps    byRoot[nameRule]
	quants   byRoot[nameRule]
	reads    byRoot[*codec]
	ignored  []ignored
	renames  byRoot[renaming]        // by what they are renamed to
	hfNames  byRoot[renaming]        // by what the hf layout calls them
	declared map[string]tensor.Shape // shapes of hf tensors that source statements give
	words    map[string]bool         // paths declared as u32: packed words are what they are

	loaderCast tensor.DType // awq: the loader casts every float to the scales' dtype

	lastAxis int64 // what the item being made declares for its last axis, 0: nothing

	names     int64 // spent, as steps are
	steps     int64
	looked    int64 // the steps at which the context was last looked at
	over      error // of steps: see work
	depth     int
	nested    int
	pending   error
	towardsHF bool // unconverted(…) is true

	asked   bool // a statement asked for the checkpoint: the items depend on it
	braces  map[string]*expr.Node
	cut     map[string][]piece
	rules   map[*statement]string
	matched map[string]bool
}

// ignored is the ending of tensors that only describe how another one is stored.
type ignored struct {
	suffix string
	codec  *codec
}

// renaming says that the tensors under to may be stored under from.
type renaming struct{ from, to string }

// moved gives a path under a its name under b.
func moved(path, a, b string) (string, bool) {
	if rest, ok := strings.CutPrefix(path, a); ok && strings.HasPrefix(rest, ".") {
		return b + rest, true
	}
	return "", false
}

func (a *Arch) run(ctx context.Context, c *Config, src Source) (*run, error) {
	return a.apply(ctx, c, src, false)
}

// apply runs the statements. With towardsHF the checkpoint is in the mlx layout and
// the makings wanted are those of a checkpoint not converted yet.
func (a *Arch) apply(ctx context.Context, c *Config, src Source, towardsHF bool) (*run, error) {
	if known := c.known(a.file); known != nil {
		r := *known
		r.ctx, r.src, r.matched, r.towardsHF = ctx, src, map[string]bool{}, towardsHF
		return &r, nil
	}
	r := &run{ctx: ctx, arch: a, config: c.root, src: src, towardsHF: towardsHF, braces: map[string]*expr.Node{}, cut: map[string][]piece{}, rules: map[*statement]string{},
		matched: map[string]bool{}, declared: map[string]tensor.Shape{}, words: map[string]bool{}}
	if err := r.loader(); err != nil {
		return nil, err
	}
	err := a.shown(r.statements(&scope{run: r, config: c.root}, a.file.Body))
	if err == nil && !r.asked && r.names < maxKept {
		c.keep(a.file, r)
	}
	return r, err
}

// shown adds the line that a fault of this file is on. What a rule refuses needs
// none: its sentence is for people who never saw the file.
func (a *Arch) shown(err error) error {
	var e *Error
	if errors.As(err, &e) && !e.Refused && e.File == a.File && e.Line > 0 {
		if lines := strings.Split(a.file.text, "\n"); e.Line <= len(lines) {
			e.Text = lines[e.Line-1]
		}
	}
	return err
}

// remember keeps the deepest reason why a name has no value.
func (r *run) remember(err error) {
	if r.pending == nil {
		r.pending = err
	}
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
			n := renaming{from: s.root + st.Rename.From, to: s.root + st.Rename.To}
			if err := r.spendName(&expr.Node{Pos: st.Pos}, 1, len(n.from)+len(n.to)); err != nil {
				return err
			}
			r.renames.add(n.to, n)
			r.hfNames.add(n.from, n)
		}
	}
	for _, st := range list {
		if err := r.work(statementSteps); err != nil {
			return err
		}
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

func (r *run) source(s *scope, st *statement) error {
	d := st.Source
	names, err := s.alternatives(d.Name)
	if err != nil {
		return err
	}
	for _, v := range names {
		path := v.in.rooted(v.name)
		if err := r.spendName(&expr.Node{Pos: st.Pos}, 1, len(path)); err != nil {
			return err
		}
		if r.declared[path], err = v.in.sizes(d.Shape); err == nil {
			_, err = r.declared[path].Numel()
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
