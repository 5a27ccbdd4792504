package declare

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"wreg/registry/arch/lang"
	"wreg/registry/expr"
	"wreg/registry/tensor"
)

// Limits of names with braces: what one may expand to, and how deep a name may
// stand in a name. More are in budget.go.
const (
	maxAlternatives = 1 << 16
	maxExpansion    = 8
)

// piece is a part of a name: plain text, or what stands in braces.
type piece struct {
	text  string
	group bool
}

// pieces cuts a name at its braces, once for each name.
func (r *Declared) pieces(name string) ([]piece, error) {
	if out, ok := r.cut[name]; ok {
		return out, nil
	}
	out, err := pieces(name)
	if err == nil {
		r.cut[name] = out
	}
	return out, err
}

func pieces(name string) ([]piece, error) {
	var out []piece
	for name != "" {
		open := strings.IndexByte(name, '{')
		if open < 0 {
			return append(out, piece{text: name}), nil
		}
		if open > 0 {
			out = append(out, piece{text: name[:open]})
		}
		end := strings.IndexByte(name, '}')
		if end < open {
			return nil, fmt.Errorf("%s: unclosed brace", name)
		}
		out = append(out, piece{name[open+1 : end], true})
		name = name[end+1:]
	}
	return out, nil
}

// expand puts the values of names in braces into a name: layers.{layer}.w.
// Names with alternatives go through alternatives.
func (s *scope) expand(name string) (string, error) {
	cut := s.run.pieces
	for range maxExpansion {
		if !strings.Contains(name, "{") {
			return name, nil
		}
		parts, err := cut(name)
		if err != nil {
			return "", err
		}
		cut = pieces // what comes out of values is not remembered
		var b strings.Builder
		for _, p := range parts {
			text := p.text
			if p.group {
				if text, err = s.inBraces(p.text); err != nil {
					return "", err
				}
			}
			if b.WriteString(text); b.Len() > maxPath {
				return "", fmt.Errorf("%.80s…: a name of more than %d bytes", b.String(), maxPath)
			}
			if err := s.run.Work(int64(len(text))); err != nil {
				return "", err
			}
		}
		name = b.String()
	}
	return "", fmt.Errorf("%s: names nest more than %d deep", name, maxExpansion)
}

// inBraces gives the text of a scalar expression in braces.
func (s *scope) inBraces(text string) (string, error) {
	var v expr.Value
	if b := s.binding(text); b != nil && b.state == 2 {
		v = b.value
	} else {
		n, err := s.run.formulaOf(text)
		if err != nil {
			return "", err
		}
		if v, err = s.eval(n); err != nil {
			if e, ok := errors.AsType[*Error](err); ok && e.File == "" { // a place within the braces: the statement's says more
				err = errors.New(e.Message)
			}
			return "", fmt.Errorf("{%.80s}: %w", text, err)
		}
	}
	if t, ok := v.Text(); ok {
		return t, nil
	}
	if i, ok := v.Int(); ok {
		return strconv.FormatInt(i, 10), nil
	}
	return "", fmt.Errorf("{%.80s} is %v, not a word or a whole number", text, v)
}

// formulaOf parses the text of a brace group, once.
func (r *Declared) formulaOf(text string) (*expr.Node, error) {
	if n, ok := r.braces[text]; ok {
		return n, nil
	}
	if err := r.Work(parsedSteps * int64(len(text))); err != nil {
		return nil, err
	}
	n, err := expr.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("{%.80s}: %w", text, err)
	}
	r.braces[text] = n
	return n, nil
}

// path gives the root path of a tensor that an expression names.
func (s *scope) path(n *expr.Node) (string, error) {
	if n.Op != expr.OpName {
		return "", fault(n, fmt.Errorf("%v is not a tensor name", n))
	}
	path, err := s.absolute(n.Text)
	return path, fault(n, err)
}

// absolute gives the root path of a name.
func (s *scope) absolute(name string) (string, error) {
	prefix := s.prefix
	if rest, ok := strings.CutPrefix(name, "/"); ok {
		name, prefix = rest, s.root
	}
	name, err := s.expand(name)
	if err != nil {
		return "", err
	}
	if rest, ok := strings.CutPrefix(name, "/"); ok { // a name held in a name may be rooted too
		name, prefix = rest, s.root
	}
	return prefix + name, nil
}

// variant is one way to expand a name with alternatives: the scope binds their
// variables.
type variant struct {
	name string
	in   *scope
}

// alternatives expands {a, b}, {p in a, b}, {p:q in a:x, b:y} and {e in 0..n},
// the leftmost varying slowest, then puts in the values of names.
func (s *scope) alternatives(name string) ([]variant, error) {
	if !strings.Contains(name, "{") {
		return []variant{{name, s}}, nil
	}
	parts, err := s.run.pieces(name)
	if err != nil {
		return nil, err
	}
	out := []variant{{"", s}}
	for _, p := range parts {
		variables, choices, err := s.choices(p)
		if err != nil {
			return nil, err
		}
		if choices == nil { // text or a plain value
			for i := range out {
				text := p.text
				if p.group {
					if text, err = out[i].in.inBraces(p.text); err != nil {
						return nil, err
					}
				}
				out[i].name += text
				if len(out[i].name) > maxPath {
					return nil, fmt.Errorf("%.80s…: a name of more than %d bytes", out[i].name, maxPath)
				}
			}
			continue
		}
		if len(out)*len(choices) > maxAlternatives {
			return nil, fmt.Errorf("%s expands to more than %d names", name, maxAlternatives)
		}
		if err := s.run.SpendName(int64(len(out)*len(choices)), len(out[0].name)); err != nil {
			return nil, err
		}
		next := make([]variant, 0, len(out)*len(choices))
		for _, v := range out {
			for _, c := range choices {
				in := v.in
				if variables != nil {
					in = v.in.child()
					for k, variable := range variables {
						in.set(variable, c[k])
					}
				}
				text, _ := c[0].Text()
				if i, ok := c[0].Int(); ok {
					text = strconv.FormatInt(i, 10)
				}
				next = append(next, variant{v.name + text, in})
			}
		}
		out = next
	}
	for i := range out {
		if out[i].name, err = out[i].in.expand(out[i].name); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// choices reads a brace group that offers alternatives; nil when it does not.
func (s *scope) choices(p piece) (variables []string, choices [][]expr.Value, err error) {
	if !p.group {
		return nil, nil, nil
	}
	text := p.text
	if head, rest, ok := strings.Cut(text, " in "); ok {
		for v := range strings.SplitSeq(head, ":") {
			variables = append(variables, strings.TrimSpace(v))
		}
		text = rest
		if strings.Contains(text, "..") {
			n, err := s.run.formulaOf(text)
			if err != nil {
				return nil, nil, err
			}
			values, err := s.values(n)
			for _, v := range values {
				choices = append(choices, []expr.Value{v})
			}
			return variables, choices, err
		}
	} else if !strings.Contains(text, ",") {
		return nil, nil, nil
	}
	for item := range strings.SplitSeq(text, ",") {
		var choice []expr.Value
		for word := range strings.SplitSeq(item, ":") {
			choice = append(choice, expr.String(strings.TrimSpace(word)))
		}
		if variables != nil && len(choice) != len(variables) {
			return nil, nil, fmt.Errorf("{%.80s}: %q does not give %d words", p.text, item, len(variables))
		}
		choices = append(choices, choice)
	}
	return variables, choices, nil
}

// values lists what a loop runs over: a range without its end, or a list.
func (s *scope) values(n *expr.Node) ([]expr.Value, error) {
	if n.Op != expr.OpRange {
		v, err := s.eval(n)
		if err != nil {
			return nil, err
		}
		items, ok := v.Items()
		if !ok {
			return nil, fault(n, fmt.Errorf("%v is neither a range nor a list", n))
		}
		return items, s.run.spendAt(n, int64(len(items)))
	}
	from, to, err := s.bounds(n)
	if err != nil {
		return nil, err
	}
	out := make([]expr.Value, 0, max(0, to-from))
	for i := from; i < to; i++ {
		out = append(out, expr.Int(i))
	}
	return out, nil
}

// bounds gives a range's ends.
func (s *scope) bounds(n *expr.Node) (from, to int64, err error) {
	if from, err = s.integer(n.Args[0]); err != nil {
		return 0, 0, err
	}
	if to, err = s.integer(n.Args[1]); err != nil {
		return 0, 0, err
	}
	if from < 0 || to < 0 || to-from > maxAlternatives {
		return 0, 0, s.wrong(n, fmt.Errorf("%v is %d..%d: a loop starts at 0 or above and has at most %d rounds", n, from, to, maxAlternatives))
	}
	return from, to, s.run.spendAt(n, max(0, to-from))
}

// pattern makes a pattern of an .arch file one over whole paths: anchored where
// the statement stands, values put in; {layer} that is not bound stays any number. before
// comes before all: what is made may have longer names.
func (s *scope) pattern(before, text string) (string, error) {
	prefix := s.prefix
	if rest, ok := strings.CutPrefix(text, "/"); ok {
		text, prefix = rest, s.root
	}
	parts, err := s.run.pieces(text)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("^" + before + prefix)
	for _, p := range parts {
		if !p.group {
			b.WriteString(p.text)
			continue
		}
		if lo, hi, ok := strings.Cut(p.text, ".."); ok {
			if lo, err = s.bound(lo); err != nil {
				return "", err
			}
			if hi, err = s.bound(hi); err != nil {
				return "", err
			}
			b.WriteString("{" + lo + ".." + hi + "}")
		} else if s.binding(p.text) != nil {
			t, err := s.inBraces(p.text)
			if err != nil {
				return "", err
			}
			b.WriteString(t)
		} else {
			b.WriteString("{" + strings.ReplaceAll(p.text, " ", "") + "}")
		}
	}
	return b.String(), nil
}

// parsePattern is a statement's pattern; one that multiplies out costs as much as many.
func (s *scope) parsePattern(before, text string, st *lang.Statement) (*tensor.Pattern, error) {
	text, err := s.pattern(before, text)
	if err != nil {
		return nil, err
	}
	p, err := tensor.ParsePattern(text)
	if err != nil {
		return nil, err
	}
	return p, s.run.spendAt(&expr.Node{Pos: st.Pos}, 1+int64(p.Ways()-1)*manyWays)
}

func (s *scope) bound(text string) (string, error) {
	if text = strings.TrimSpace(text); text == "" {
		return "", nil
	}
	return s.inBraces(text)
}
