package lang

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/alecthomas/participle/v2/lexer"

	"wreg/query/rows"
	"wreg/registry/expr"
	"wreg/registry/tensor"
)

// operand compiles one side of a comparison. A plain word compared with a column of text
// is that text: dtype = bf16.
func (r *resolver) operand(e, other *expr.Node) (*rows.Node, error) {
	if e.Op == expr.OpName && other.Op == expr.OpName {
		_, column := rows.ColumnNamed(strings.ToLower(e.Text))
		if c, ok := rows.ColumnNamed(strings.ToLower(other.Text)); ok && !column && c.Kind() == expr.StringKind {
			return rows.Constant(expr.String(e.Text)), nil
		}
	}
	return r.compile(e)
}

func (r *resolver) comparison(e *expr.Node) (*rows.Node, error) {
	o := map[string]rows.Op{"=": rows.OpEqual, "!=": rows.OpNotEqual, "<": rows.OpLess, "<=": rows.OpLessEqual, ">": rows.OpGreater, ">=": rows.OpGreaterEqual}[e.Op]
	left, err := r.operand(e.Args[0], e.Args[1])
	if err != nil {
		return nil, err
	}
	right, err := r.operand(e.Args[1], e.Args[0])
	if err != nil {
		return nil, err
	}
	if left.Kind == expr.NullKind || right.Kind == expr.NullKind { // = null
		if o != rows.OpEqual && o != rows.OpNotEqual {
			return nil, r.fail(e.Pos, "null has no order: write = null or != null")
		}
		if left.Kind == expr.NullKind {
			left = right
		}
		n := &rows.Node{Op: rows.OpPresent, Kind: expr.BoolKind, Args: []*rows.Node{left}}
		if o == rows.OpEqual {
			n = &rows.Node{Op: rows.OpNot, Kind: expr.BoolKind, Args: []*rows.Node{n}, Text: left.Text + " = null"}
		}
		return n, nil
	}
	if err := r.sameKind(e.Pos, left, right); err != nil {
		return nil, err
	}
	return &rows.Node{Op: o, Kind: expr.BoolKind, Args: []*rows.Node{left, right}}, nil
}

// sameKind checks that two operands compare, reading text as a hash or a dtype
// where the other one is that.
func (r *resolver) sameKind(at lexer.Position, a, b *rows.Node) error {
	for _, pair := range [2][2]*rows.Node{{a, b}, {b, a}} {
		of, value := pair[0], pair[1]
		text, isText := value.Value.Text()
		if value.Op != rows.OpConst || !isText {
			continue
		}
		switch {
		case of.Kind == expr.HashKind:
			h, err := tensor.ParseHash(text)
			if err != nil {
				return r.fail(at, "%v", err)
			}
			value.Value, value.Kind = expr.Hash(h), expr.HashKind
		case of.Op == rows.OpColumn && of.Column.NamesDType():
			d, ok := tensor.ParseDType(text)
			if called, known := tensor.DTypeCalled(text); !ok && known {
				return r.fail(at, "unknown dtype %q; did you mean %q?", text, called)
			}
			if !ok {
				return r.fail(at, "unknown dtype %q%s", text, didYouMean(strings.ToLower(text), dtypeNames()))
			}
			value.Value = expr.String(d.String())
		}
	}
	if a.Kind != b.Kind && !(a.Kind.Number() && b.Kind.Number()) {
		return r.fail(at, "%s is %s, %s is %s: they do not compare", a.Text, inWords(a.Kind), describe(b), inWords(b.Kind))
	}
	return nil
}

func describe(n *rows.Node) string {
	if n.Op == rows.OpConst && n.Text == "" {
		return fmt.Sprint(n.Value.Any())
	}
	return n.Text
}

func dtypeNames() (names []string) {
	for d := range tensor.DType(255) {
		if d.Valid() {
			names = append(names, d.String())
		}
	}
	return names
}

// membership is x in (a, b) and x in 0..7, both ends included.
func (r *resolver) membership(e *expr.Node) (*rows.Node, error) {
	left, right := e.Args[0], e.Args[1]
	if right.Op != expr.OpRange && right.Op != expr.OpList {
		right = &expr.Node{Op: expr.OpList, Args: []*expr.Node{right}, Pos: right.Pos} // (a) is a
	}
	x, err := r.compile(left)
	if err != nil {
		return nil, err
	}
	n := &rows.Node{Op: rows.OpIn, Kind: expr.BoolKind, Args: []*rows.Node{x}}
	if right.Op == expr.OpRange {
		n.Op = rows.OpBetween
	}
	for _, item := range right.Args {
		v, err := r.operand(item, left)
		if err == nil {
			err = r.sameKind(item.Pos, x, v)
		}
		if err != nil {
			return nil, err
		}
		n.Args = append(n.Args, v)
	}
	if e.Op == "not in" { // of a value: an absent one is neither in nor not in
		there := &rows.Node{Op: rows.OpPresent, Kind: expr.BoolKind, Args: []*rows.Node{x}, Text: x.Text}
		not := &rows.Node{Op: rows.OpNot, Kind: expr.BoolKind, Args: []*rows.Node{n}, Text: e.String()}
		return &rows.Node{Op: rows.OpAnd, Kind: expr.BoolKind, Args: []*rows.Node{there, not}}, nil
	}
	return n, nil
}

// match is text ~ glob, with the rules of patterns, and text ~ /regexp/.
func (r *resolver) match(e *expr.Node) (*rows.Node, error) {
	x, err := r.compile(e.Args[0])
	if err != nil {
		return nil, err
	}
	if x.Kind != expr.StringKind && x.Kind != expr.NullKind {
		return nil, r.fail(e.Pos, "%s is %s; ~ needs text on its left", x.Text, inWords(x.Kind))
	}
	n := &rows.Node{Op: rows.OpGlob, Kind: expr.BoolKind, Args: []*rows.Node{x}}
	right := e.Args[1]
	glob := right.Text
	switch text, isText := right.Value.Text(); {
	case right.Op == expr.OpRegex:
		n.Op = rows.OpRegexp
		if n.Regexp, err = regexp.Compile(right.Text); err != nil {
			return nil, r.fail(right.Pos, "%s", strings.TrimPrefix(err.Error(), "error parsing "))
		}
		return n, nil
	case isText:
		glob = text
	case right.Op != expr.OpGlob:
		return nil, r.fail(right.Pos, "~ needs a pattern or /a regular expression/ on its right")
	}
	if n.Glob, err = tensor.ParsePattern(glob); err != nil {
		return nil, r.fail(right.Pos, "%v", err)
	}
	if x.Op == rows.OpColumn && !x.Column.Dotted() { // plain text: * crosses dots
		n.Op = rows.OpRegexp
		if n.Regexp, err = plainGlob(glob); err != nil {
			return nil, r.fail(right.Pos, "%q cannot be matched with text: %v", glob, err)
		}
	}
	return n, nil
}

// plainGlob matches text that is no path: model-0*.safetensors. It fails when the
// pattern is no UTF-8 or too much for a regular expression.
func plainGlob(glob string) (*regexp.Regexp, error) {
	var b strings.Builder
	b.WriteString("^(?s:")
	depth := 0
	for i := 0; i < len(glob); i++ {
		switch c := glob[i]; {
		case c == '*':
			b.WriteString(".*")
		case c == '?':
			b.WriteByte('.')
		case c == '{':
			depth++
			b.WriteString("(?:")
		case c == '}':
			depth--
			b.WriteByte(')')
		case c == ',' && depth > 0:
			b.WriteByte('|')
		case c == '\\' && i+1 < len(glob):
			i++
			b.WriteString(regexp.QuoteMeta(glob[i : i+1]))
		default:
			b.WriteString(regexp.QuoteMeta(glob[i : i+1]))
		}
	}
	return regexp.Compile(b.String() + ")$")
}
