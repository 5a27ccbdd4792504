package declare

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"wreg/registry/arch/lang"
	"wreg/registry/arch/op"
	"wreg/registry/expr"
	"wreg/registry/tensor"
)

// Error is a fault found while an architecture is applied to a config: an absent key, a
// refused combination.
type Error struct {
	File    string
	Line    int
	Column  int
	Message string
	Refused bool   // by a refuse statement
	Config  bool   // a value of config.json is what is wrong, not the file
	Text    string // the line it is on, for a caret; may be empty
}

func (e *Error) Error() string { return strings.Join(e.Lines(), "\n") }

// Lines are the lines of Error; a line break within one is a name's.
func (e *Error) Lines() []string {
	lines := (&expr.SyntaxError{File: e.File, Line: e.Line, Column: e.Column, Text: e.Text, Message: e.Message}).Lines()
	if e.Config {
		lines[0] = fmt.Sprintf("config.json: %s (%s:%d:%d)", e.Message, e.File, e.Line, e.Column)
	}
	return lines
}

// wrong is fault for what an expression made of the values of config.json. What it calls by
// other names is told by those of the keys.
func (s *scope) wrong(n *expr.Node, err error) error {
	err = fault(n, err)
	if e, ok := errors.AsType[*Error](err); ok && !e.Config && asks(n) {
		e.Config = true
		var keys []string
		words := strings.FieldsFunc(e.Message, func(r rune) bool { return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) })
		s.keys(n, map[*binding]bool{}, func(key string) {
			v, there := s.config.get(key)
			if text := fmt.Sprintf("%s is %.40s", key, v); there && !slices.Contains(keys, text) && !slices.Contains(words, key) {
				keys = append(keys, text)
			}
		})
		if left := len(keys) - shownKeys; left > 0 {
			keys = append(keys[:shownKeys], fmt.Sprintf("and %d more", left))
		}
		if keys != nil {
			e.Message += "; " + strings.Join(keys, ", ")
		}
	}
	return err
}

const shownKeys = 4 // of config.json, of which a value was made

// keys are those of config.json that an expression is made of, by its own names or by those
// of bindings.
func (s *scope) keys(n *expr.Node, seen map[*binding]bool, found func(key string)) {
	if n == nil {
		return
	}
	if n.Op == expr.OpName {
		b := s.binding(n.Text)
		switch {
		case b == nil:
			found(n.Text)
		case b.node != nil && !seen[b]:
			seen[b] = true
			b.in.keys(b.node, seen, found)
		}
	}
	for _, a := range n.Args {
		s.keys(a, seen, found)
	}
}

// asks reports whether a value that has a name is in an expression.
func asks(n *expr.Node) bool {
	return n != nil && (n.Op == expr.OpName || slices.ContainsFunc(n.Args, asks))
}

// fault places an error of an expression; nil stays nil.
func fault(n *expr.Node, err error) error {
	if _, ok := errors.AsType[*Error](err); ok || err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	pos, message, config := n.Pos, err.Error(), false
	if e, ok := errors.AsType[*expr.EvalError](err); ok {
		if e.Pos.Line > 0 {
			pos = e.Pos
		}
		if e.Undefined() {
			message, config = e.Name+" is missing", true
		}
	}
	if len(message) > maxMessage { // a value in it may be a list of a million
		message = strings.ToValidUTF8(message[:maxMessage], "") + "…"
	}
	return &Error{File: pos.Filename, Line: pos.Line, Column: pos.Column, Message: message, Config: config}
}

const maxMessage = 1000 // bytes

// scope says what names mean at a statement, and what paths are relative to. Blocks see
// the names of the place where they are used.
type scope struct {
	run    *Declared
	parent *scope
	names  []named
	prefix string // of relative paths, with its final dot: "model.layers.3."
	made   string // before the paths of what is made alone, with its final dot: "language_model."
	root   string // of paths that begin with /
	config object
}

// named is a binding under its name; a scope has few, so they are searched in turn.
type named struct {
	name string
	*binding
}

// binding is a let, a parameter or a loop variable; it is evaluated when first
// asked for, where it was written.
type binding struct {
	node  *expr.Node
	in    *scope
	value expr.Value
	err   error // in state 3
	state byte  // 0: not evaluated, 1: being evaluated, 2: evaluated, 3: it has no value
}

func (s *scope) child() *scope {
	c := *s
	c.parent, c.names = s, nil
	return &c
}

func (s *scope) bind(name string, b *binding) {
	s.names = append(s.names, named{name, b})
}

func (s *scope) set(name string, v expr.Value) { s.bind(name, &binding{value: v, state: 2}) }

func (s *scope) binding(name string) *binding {
	for at := s; at != nil; at = at.parent {
		s.run.steps++
		for i := len(at.names) - 1; i >= 0; i-- {
			if at.names[i].name == name {
				return at.names[i].binding
			}
		}
	}
	return nil
}

// Lookup is expr.Env: bound names first, then keys of config.json.
func (s *scope) Lookup(name string) (expr.Value, bool) {
	if err := s.run.Work(1); err != nil {
		s.run.remember(err)
		return expr.Null, false
	}
	if b := s.binding(name); b != nil {
		switch b.state {
		case 3:
			s.run.remember(b.err)
			return expr.Null, false
		case 1:
			s.run.remember(fmt.Errorf("%s is defined by itself", name))
			return expr.Null, false
		case 0:
			b.state = 1
			v, err := expr.Eval(b.node, b.in)
			if err != nil {
				b.state, b.err = 3, b.in.wrong(b.node, err)
				s.run.remember(b.err)
				return expr.Null, false
			}
			b.value, b.state = v, 2
		}
		return b.value, true
	}
	return s.config.get(name)
}

// Spend is expr.Meter.
func (s *scope) Spend(steps int64) error { return s.run.Work(steps) }

// Call is expr.Caller: what may be asked about the checkpoint and the config.
func (s *scope) Call(n *expr.Node) (v expr.Value, mine bool, err error) {
	switch n.Text {
	case "present", "shape", "dtype":
		v, err = s.ofTensor(n)
	case "get":
		v, err = s.get(n)
	case "unconverted": // a test of the whole checkpoint; without one it is as hf has it
		if len(n.Args) != 1 {
			return v, true, fmt.Errorf("unconverted takes one condition")
		}
		s.run.asked = true
		if s.run.TowardsHF || s.run.checkpoint == nil {
			return expr.Bool(true), true, nil
		}
		v, err = expr.Eval(n.Args[0], s)
		v = expr.Bool(v.Truth())
	case "default": // unlike ??, an explicit null stays null
		if len(n.Args) != 2 || n.Args[0].Op != expr.OpName {
			return v, true, fmt.Errorf("default takes a key and a value")
		}
		known := false
		if v, known = s.Lookup(n.Args[0].Text); !known {
			v, err = expr.Eval(n.Args[1], s)
		}
	default:
		return v, false, nil
	}
	return v, true, err
}

// ofTensor is present, shape and dtype. Of an absent tensor the latter two are unknown,
// so that ?? can say what to assume; present is simply false.
func (s *scope) ofTensor(n *expr.Node) (expr.Value, error) {
	if len(n.Args) != 1 {
		return expr.Null, fmt.Errorf("%s takes one tensor", n.Text)
	}
	if arg := n.Args[0]; n.Text == "present" && arg.Op == expr.OpConst {
		text, _ := arg.Value.Text()
		found, err := s.anyMatch(text)
		return expr.Bool(found), err
	}
	path, err := s.path(n.Args[0])
	if err != nil {
		return expr.Null, err
	}
	s.run.asked = true
	found, ok := op.Array{}, false
	if s.run.checkpoint != nil {
		if found, ok = s.run.checkpoint.Load(s.run, path); !ok && s.made != "" {
			found, ok = s.run.checkpoint.Load(s.run, s.made+path)
		}
	}
	switch {
	case n.Text == "present":
		return expr.Bool(ok), nil
	case !ok:
		return expr.Bool(false), &expr.EvalError{Message: "the tensor is missing; say with ?? what to assume then", Name: n.Text}
	case n.Text == "dtype":
		return expr.String(found.DType.String()), nil
	}
	dims := make([]expr.Value, len(found.Shape))
	for i, d := range found.Shape {
		dims[i] = expr.Int(d)
	}
	return expr.List(dims...), nil
}

// get is get(key, index…, key = value…, key…): a value inside lists of objects, null
// when any step is absent. A condition takes the first object of a list for which
// it holds; names in braces in its text are put in.
func (s *scope) get(n *expr.Node) (expr.Value, error) {
	if len(n.Args) == 0 {
		return expr.Null, fmt.Errorf("get takes a key, and what to look for in it")
	}
	var at any = s.config
	for i, a := range n.Args {
		if a.Op == "=" && a.Args[0].Op == expr.OpName && i > 0 {
			want, err := expr.Eval(a.Args[1], s)
			if err != nil {
				return expr.Null, err
			}
			if text, ok := want.Text(); ok {
				if text, err = s.expand(text); err != nil {
					return expr.Null, err
				}
				want = expr.String(text)
			}
			if at, err = s.first(at, a.Args[0].Text, want); at == nil || err != nil {
				return expr.Null, err
			}
			continue
		}
		part := a.Text
		if a.Op != expr.OpName || i > 0 && s.binding(a.Text) != nil {
			v, err := expr.Eval(a, s)
			if err != nil {
				return expr.Null, err
			}
			part = v.String()
			if text, ok := v.Text(); ok {
				part = text
			}
		}
		var ok bool
		if at, ok = dig(at, part); !ok {
			return expr.Null, nil
		}
	}
	if v, ok := at.(expr.Value); ok {
		return v, nil
	}
	return expr.Bool(true), nil // an object or a list of them is not a value, but it is there
}

// first is the first object of a list whose key has a value, nil when none has.
func (s *scope) first(list any, key string, want expr.Value) (any, error) {
	items, _ := list.([]any)
	text := want.String()
	for _, item := range items {
		if o, ok := item.(object); ok {
			v, ok := o[key].(expr.Value)
			if err := s.run.Work(8 + v.Weight()); err != nil {
				return nil, err
			}
			if ok && v.String() == text {
				return o, nil
			}
		}
	}
	return nil, nil
}

// eval computes a scalar.
func (s *scope) eval(n *expr.Node) (expr.Value, error) {
	s.run.pending = nil
	v, err := expr.Eval(n, s)
	if err != nil {
		if e, ok := errors.AsType[*expr.EvalError](err); ok && s.run.pending != nil && e.Name != "" {
			return v, fault(n, s.run.pending)
		} else if ok && e.Name == "" && e.Err == nil {
			return v, s.wrong(n, err)
		}
		return v, fault(n, err)
	}
	return v, nil
}

// integer computes a size: a whole number.
func (s *scope) integer(n *expr.Node) (int64, error) {
	v, err := s.eval(n)
	if err != nil {
		return 0, err
	}
	i, ok := v.Int()
	if !ok {
		return 0, s.wrong(n, fmt.Errorf("%v is %v, not a whole number", n, v))
	}
	return i, nil
}

// sizes computes a shape.
func (s *scope) sizes(nodes []*lang.Formula) (tensor.Shape, error) {
	if len(nodes) > tensor.MaxRank {
		return nil, fault(nodes[0].Tree, fmt.Errorf("%d dimensions: at most %d are allowed", len(nodes), tensor.MaxRank))
	}
	shape := make(tensor.Shape, len(nodes))
	for i, f := range nodes {
		d, err := s.integer(f.Tree)
		if err != nil {
			return nil, err
		}
		if d < 0 {
			return nil, s.wrong(f.Tree, fmt.Errorf("%v is %d: a dimension is never negative", f.Tree, d))
		}
		shape[i] = d
	}
	return shape, nil
}

// truth computes a condition; no condition is true.
func (s *scope) truth(f *lang.Formula) (bool, error) {
	if f == nil {
		return true, nil
	}
	v, err := s.eval(f.Tree)
	return v.Truth(), err
}

// anyMatch reports that the checkpoint has a tensor that a pattern matches.
func (s *scope) anyMatch(text string) (bool, error) {
	r := s.run
	r.asked = true
	for _, before := range slices.Compact([]string{"", s.made}) {
		whole, err := s.pattern(before, text)
		if err != nil || r.checkpoint == nil {
			return false, err
		}
		found, known := r.matched[whole]
		if !known {
			p, err := tensor.ParsePattern(whole)
			if err != nil {
				return false, err
			}
			found = r.checkpoint.Any(r, p)
			r.matched[whole] = found
		}
		if found || r.over != nil {
			return found, r.over
		}
	}
	return false, nil
}
