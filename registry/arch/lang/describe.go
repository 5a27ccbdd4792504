package lang

import (
	"maps"
	"slices"
	"strings"

	"wreg/registry/arch/op"
	"wreg/registry/expr"
)

// Text is the architecture's own file, as it was written.
func (a *Arch) Text() string { return a.text }

// Notes are what the file says people should know about it, and why it refuses
// what it refuses.
func (a *Arch) Notes() []string {
	var notes []string
	walk(a.Body, func(s *Statement) {
		text := s.Note
		if s.Refuse != nil {
			text = s.Refuse.Because
		}
		if said, err := Unquoted(text); err == nil && said != "" {
			notes = append(notes, said)
		}
	})
	return notes
}

// Steps lists the operations that turn the hf layout into the mlx one, those of
// the blocks and architectures it uses included: stack, permute, fp8, ….
func (a *Arch) Steps() ([]string, error) {
	steps := map[string]bool{}
	seen := map[string]bool{}
	var visit func(list []*Statement) error
	visit = func(list []*Statement) error {
		var failed error
		walk(list, func(s *Statement) {
			switch {
			case s.Tensor != nil:
				for _, f := range s.Tensor.From {
					operations(f.Tree, steps)
				}
			case s.Let != nil:
				operations(s.Let.Value.Tree, steps)
			case s.Read != nil:
				steps[s.Read.Codec] = true
			case s.Rename != nil:
				steps["rename"] = true
			case s.Use != nil && !seen[s.Use.Name]:
				seen[s.Use.Name] = true
				if err := a.used(s.Use.Name, visit); err != nil && failed == nil {
					failed = err
				}
			}
		})
		return failed
	}
	if err := visit(a.Body); err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(steps)), nil
}

func (a *Arch) used(name string, visit func([]*Statement) error) error {
	if strings.Contains(name, "{") {
		return nil // which one it is, config.json says
	}
	b, err := a.Block(name)
	if err != nil {
		return err
	}
	if b != nil {
		return visit(b.Body.Statements)
	}
	other, err := ByName(name)
	if err != nil {
		return err
	}
	return visit(other.Body)
}

// operations collects the functions on tensors of an expression.
func operations(n *expr.Node, steps map[string]bool) {
	if n == nil {
		return
	}
	switch n.Op {
	case expr.OpCall:
		if args, _ := op.Function(n.Text); args == op.NoFunction {
			return // a function on numbers
		}
		steps[string(op.Shown(op.Op(n.Text)))] = true
	case expr.OpIndex:
		if slices.ContainsFunc(n.Args[1:], func(a *expr.Node) bool { return a.Op == expr.OpSlice }) {
			steps[string(op.Slice)] = true
		}
	}
	for _, arg := range n.Args {
		operations(arg, steps)
	}
}

// walk visits every statement of a body, blocks of its own included.
func walk(list []*Statement, visit func(*Statement)) {
	for _, s := range list {
		visit(s)
		for _, b := range s.bodies() {
			walk(b.Statements, visit)
		}
	}
}

// bodies are the statements inside a statement.
func (s *Statement) bodies() []*Body {
	switch {
	case s.For != nil:
		return []*Body{s.For.Body}
	case s.At != nil:
		return []*Body{s.At.Body}
	case s.Under != nil:
		return []*Body{s.Under.Body}
	case s.With != nil:
		return []*Body{s.With.Body}
	case s.Block != nil:
		return []*Body{s.Block.Body}
	case s.When != nil:
		var out []*Body
		for w := s.When; w != nil; w = w.ElseWhen {
			if out = append(out, w.Then); w.Else != nil {
				out = append(out, w.Else)
			}
		}
		return out
	}
	return nil
}

// Lines counts the lines of the file that are not empty.
func (a *Arch) Lines() int {
	n := 0
	for line := range strings.SplitSeq(a.text, "\n") {
		if strings.TrimSpace(line) != "" {
			n++
		}
	}
	return n
}
