package query

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/alecthomas/participle/v2/lexer"

	"wreg/registry/expr"
	"wreg/registry/tensor"
)

// operand compiles one side of a comparison. A plain word beside a column of text
// is that text: dtype = bf16.
func (r *resolver) operand(e, other *expr.Node) (*node, error) {
	if e.Op == expr.OpName && other.Op == expr.OpName {
		_, column := columnNamed(strings.ToLower(e.Text))
		if c, ok := columnNamed(strings.ToLower(other.Text)); ok && !column && columns[c].kind == expr.StringKind {
			return constant(expr.String(e.Text)), nil
		}
	}
	return r.compile(e)
}

func (r *resolver) comparison(e *expr.Node) (*node, error) {
	o := map[string]op{"=": opEqual, "!=": opNotEqual, "<": opLess, "<=": opLessEqual, ">": opGreater, ">=": opGreaterEqual}[e.Op]
	left, err := r.operand(e.Args[0], e.Args[1])
	if err != nil {
		return nil, err
	}
	right, err := r.operand(e.Args[1], e.Args[0])
	if err != nil {
		return nil, err
	}
	if left.kind == expr.NullKind || right.kind == expr.NullKind { // = null
		if o != opEqual && o != opNotEqual {
			return nil, r.fail(e.Pos, "null is neither above nor below anything: write = null or != null")
		}
		if left.kind == expr.NullKind {
			left = right
		}
		n := &node{op: opPresent, kind: expr.BoolKind, args: []*node{left}}
		if o == opEqual {
			n = &node{op: opNot, kind: expr.BoolKind, args: []*node{n}, text: left.text + " = null"}
		}
		return n, nil
	}
	if err := r.sameKind(e.Pos, left, right); err != nil {
		return nil, err
	}
	return &node{op: o, kind: expr.BoolKind, args: []*node{left, right}}, nil
}

// sameKind checks that two operands compare, reading text as a hash or a dtype
// where the other one is that.
func (r *resolver) sameKind(at lexer.Position, a, b *node) error {
	for _, pair := range [2][2]*node{{a, b}, {b, a}} {
		of, value := pair[0], pair[1]
		text, isText := value.value.Text()
		if value.op != opConst || !isText {
			continue
		}
		switch {
		case of.kind == expr.HashKind:
			h, err := tensor.ParseHash(text)
			if err != nil {
				return r.fail(at, "%v", err)
			}
			value.value, value.kind = expr.Hash(h), expr.HashKind
		case of.op == opColumn && columns[of.column].dtype:
			d, ok := tensor.ParseDType(text)
			if !ok {
				return r.fail(at, "unknown dtype %q%s", text, didYouMean(strings.ToLower(text), dtypeNames()))
			}
			value.value = expr.String(d.String())
		}
	}
	if a.kind != b.kind && !(a.kind.Number() && b.kind.Number()) {
		return r.fail(at, "%s is %s, %s is %s: they do not compare", a.text, inWords(a.kind), describe(b), inWords(b.kind))
	}
	return nil
}

func describe(n *node) string {
	if n.op == opConst && n.text == "" {
		return fmt.Sprint(n.value.Any())
	}
	return n.text
}

func dtypeNames() (names []string) {
	for d := tensor.DType(0); d < 255; d++ {
		if d.Valid() {
			names = append(names, d.String())
		}
	}
	return names
}

// membership is x in (a, b) and x in 0..7, both ends included.
func (r *resolver) membership(e *expr.Node) (*node, error) {
	left, right := e.Args[0], e.Args[1]
	if right.Op != expr.OpRange && right.Op != expr.OpList {
		right = &expr.Node{Op: expr.OpList, Args: []*expr.Node{right}, Pos: right.Pos} // (a) is a
	}
	x, err := r.compile(left)
	if err != nil {
		return nil, err
	}
	n := &node{op: opIn, kind: expr.BoolKind, args: []*node{x}}
	if right.Op == expr.OpRange {
		n.op = opBetween
	}
	for _, item := range right.Args {
		v, err := r.operand(item, left)
		if err == nil {
			err = r.sameKind(item.Pos, x, v)
		}
		if err != nil {
			return nil, err
		}
		n.args = append(n.args, v)
	}
	if e.Op == "not in" { // of a value: an absent one is neither in nor not in
		there := &node{op: opPresent, kind: expr.BoolKind, args: []*node{x}, text: x.text}
		not := &node{op: opNot, kind: expr.BoolKind, args: []*node{n}, text: e.String()}
		return &node{op: opAnd, kind: expr.BoolKind, args: []*node{there, not}}, nil
	}
	return n, nil
}

// match is text ~ glob, with the rules of patterns, and text ~ /regexp/.
func (r *resolver) match(e *expr.Node) (*node, error) {
	x, err := r.compile(e.Args[0])
	if err != nil {
		return nil, err
	}
	if x.kind != expr.StringKind && x.kind != expr.NullKind {
		return nil, r.fail(e.Pos, "%s is %s; ~ wants text on its left", x.text, inWords(x.kind))
	}
	n := &node{op: opGlob, kind: expr.BoolKind, args: []*node{x}}
	right := e.Args[1]
	glob := right.Text
	switch text, isText := right.Value.Text(); {
	case right.Op == expr.OpRegex:
		n.op = opRegexp
		if n.regexp, err = regexp.Compile(right.Text); err != nil {
			return nil, r.fail(right.Pos, "%s", strings.TrimPrefix(err.Error(), "error parsing "))
		}
		return n, nil
	case isText:
		glob = text
	case right.Op != expr.OpGlob:
		return nil, r.fail(right.Pos, "~ wants a pattern or /a regular expression/ on its right")
	}
	if n.glob, err = tensor.ParsePattern(glob); err != nil {
		return nil, r.fail(right.Pos, "%v", err)
	}
	if x.op == opColumn && !columns[x.column].dotted { // plain text: * crosses dots
		n.op = opRegexp
		if n.regexp, err = plainGlob(glob); err != nil {
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
