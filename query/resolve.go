package query

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/participle/v2/lexer"

	"wreg/registry/expr"
	"wreg/registry/tensor"
)

// resolver compiles expressions: it finds the columns and functions that names
// mean, checks types, and turns aggregates into slots of the groups.
type resolver struct {
	text       string // of the query, for errors
	gaps       bool   // the verb lists gaps, which have columns of their own
	grouped    bool   // names mean the groups' keys and aggregates
	keys       []*node
	keyTexts   []string
	aggregates []*aggregate
}

func (r *resolver) fail(at lexer.Position, format string, args ...any) error {
	return expr.ErrorAt(r.text, at, format, args...)
}

// expression compiles what the grammar read.
func (r *resolver) expression(e *expr.Expr) (*node, error) {
	tree, err := treeOf(e, r.text)
	if err != nil {
		return nil, err
	}
	return r.compile(tree)
}

// maxParts bounds the operators, names and values of one expression.
const maxParts = 4096

// treeOf resolves an expression's precedence and checks its size.
func treeOf(e *expr.Expr, text string) (*expr.Node, error) {
	tree, err := e.Tree(text)
	if err != nil {
		return nil, err
	}
	open := []*expr.Node{tree}
	for n := 0; len(open) > 0; n++ {
		if n == maxParts {
			return nil, expr.ErrorAt(text, e.Pos, "the expression has more than %d parts", maxParts)
		}
		last := open[len(open)-1]
		open = open[:len(open)-1]
		if last != nil {
			open = append(open, last.Args...)
		}
	}
	return tree, nil
}

// condition compiles an expression that must be true or false.
func (r *resolver) condition(e *expr.Expr, clause string) (*node, error) {
	n, err := r.expression(e)
	if err == nil && n.kind != kindBool {
		err = r.fail(e.Pos, "%s wants a condition, %s is %v", clause, n.text, n.kind)
	}
	return n, err
}

func (r *resolver) compile(e *expr.Node) (*node, error) {
	if r.grouped {
		if k := slices.Index(r.keyTexts, e.String()); k >= 0 {
			return &node{op: opSlot, slot: k, kind: r.keys[k].kind, text: r.keys[k].text}, nil
		}
	}
	n, err := r.form(e)
	if err == nil && n.text == "" {
		n.text = strings.TrimSuffix(strings.TrimPrefix(e.String(), "("), ")")
	}
	return n, err
}

func (r *resolver) form(e *expr.Node) (*node, error) {
	switch e.Op {
	case expr.OpConst:
		return constant(fromExpr(e.Value)), nil
	case expr.OpName:
		return r.name(e)
	case "and", "or":
		return r.logic(e)
	case expr.OpNot:
		args, err := r.all(e.Args, kindBool)
		return &node{op: opNot, kind: kindBool, args: args}, err
	case expr.OpNeg:
		args, err := r.all(e.Args, kindFloat)
		if err != nil {
			return nil, err
		}
		return &node{op: opNeg, kind: args[0].kind, args: args}, nil
	case "=", "!=", "<", "<=", ">", ">=":
		return r.comparison(e)
	case "in", "not in":
		return r.membership(e)
	case "~":
		return r.match(e)
	case "+", "-", "*", "/", "//", "%":
		return r.arithmetic(e)
	case "??":
		args, err := r.all(e.Args, kindNull)
		if err != nil {
			return nil, err
		}
		return &node{op: opElse, kind: wider(args[0].kind, args[1].kind), args: args}, nil
	case expr.OpIf:
		args, err := r.all(e.Args, kindNull)
		if err != nil {
			return nil, err
		}
		return &node{op: opIf, kind: wider(args[1].kind, args[2].kind), args: args}, nil
	case expr.OpIndex:
		return r.index(e)
	case expr.OpCall:
		return r.call(e)
	case expr.OpList:
		return r.shape(e)
	}
	return nil, r.fail(e.Pos, "%s does not stand here: it is no value", e)
}

// all compiles the arguments and checks that each is of the kind wanted; kindFloat
// stands for any number, kindNull for anything.
func (r *resolver) all(in []*expr.Node, want kind) ([]*node, error) {
	out := make([]*node, len(in))
	for i, e := range in {
		n, err := r.compile(e)
		if err != nil {
			return nil, err
		}
		if want != kindNull && n.kind != kindNull && n.kind != want && !(want.number() && n.kind.number()) {
			return nil, r.fail(e.Pos, "%s is %v, want %v", n.text, n.kind, want)
		}
		out[i] = n
	}
	return out, nil
}

func wider(a, b kind) kind {
	if a == kindNull || a == kindInt && b == kindFloat {
		return b
	}
	return a
}

func (r *resolver) name(e *expr.Node) (*node, error) {
	c, ok := columnNamed(strings.ToLower(e.Text))
	switch {
	case !ok:
		return nil, r.fail(e.Pos, "unknown column %q%s", e.Text, didYouMean(e.Text, r.columnNames()))
	case columns[c].gap && !r.gaps:
		return nil, r.fail(e.Pos, "%s is a column of gaps: it goes with missing, extra, changed and gaps, not with find", c)
	case r.grouped:
		return nil, r.fail(e.Pos, "%s is neither a group's key nor in an aggregate: add it to group by, or write min(%s)", c, c)
	}
	return &node{op: opColumn, column: c, kind: columns[c].kind, text: c.String()}, nil
}

// columnNames are the names that the query's verb knows.
func (r *resolver) columnNames() (names []string) {
	for _, c := range columns {
		if !c.gap || r.gaps {
			names = append(names, c.name)
		}
	}
	return names
}

// logic flattens a and b and c into one node, however long the chain.
func (r *resolver) logic(e *expr.Node) (*node, error) {
	var chain []*expr.Node
	for ; ; e = e.Args[0] {
		chain = append(chain, e.Args[1])
		if e.Args[0].Op != e.Op {
			chain = append(chain, e.Args[0])
			break
		}
	}
	slices.Reverse(chain)
	args, err := r.all(chain, kindBool)
	o := opAnd
	if e.Op == "or" {
		o = opOr
	}
	return &node{op: o, kind: kindBool, args: args, text: "…"}, err
}

// operand compiles one side of a comparison. A plain word beside a column of text
// is that text: dtype = bf16.
func (r *resolver) operand(e, other *expr.Node) (*node, error) {
	if e.Op == expr.OpName && other.Op == expr.OpName {
		_, column := columnNamed(strings.ToLower(e.Text))
		if c, ok := columnNamed(strings.ToLower(other.Text)); ok && !column && columns[c].kind == kindText {
			return constant(e.Text), nil
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
	if left.kind == kindNull || right.kind == kindNull { // = null
		if o != opEqual && o != opNotEqual {
			return nil, r.fail(e.Pos, "null is neither above nor below anything: write = null or != null")
		}
		if left.kind == kindNull {
			left = right
		}
		n := &node{op: opCall, kind: kindBool, function: functionNamed("present"), args: []*node{left}}
		if o == opEqual {
			n = &node{op: opNot, kind: kindBool, args: []*node{n}, text: left.text + " = null"}
		}
		return n, nil
	}
	if err := r.sameKind(e.Pos, left, right); err != nil {
		return nil, err
	}
	return &node{op: o, kind: kindBool, args: []*node{left, right}}, nil
}

// sameKind checks that two operands compare, reading text as a hash or a dtype
// where the other one is that.
func (r *resolver) sameKind(at lexer.Position, a, b *node) error {
	for _, pair := range [2][2]*node{{a, b}, {b, a}} {
		of, value := pair[0], pair[1]
		text, isText := value.value.(string)
		if value.op != opConst || !isText {
			continue
		}
		switch {
		case of.kind == kindHash:
			h, err := tensor.ParseHash(text)
			if err != nil {
				return r.fail(at, "%v", err)
			}
			value.value, value.kind = h, kindHash
		case of.op == opColumn && (of.column == colDType || of.column == colExpectedDType):
			d, ok := tensor.ParseDType(text)
			if !ok {
				return r.fail(at, "unknown dtype %q%s", text, didYouMean(strings.ToLower(text), dtypeNames()))
			}
			value.value = d.String()
		}
	}
	if a.kind != b.kind && !(a.kind.number() && b.kind.number()) {
		return r.fail(at, "%s is %v, %s is %v: they do not compare", a.text, a.kind, describe(b), b.kind)
	}
	return nil
}

func describe(n *node) string {
	if n.op == opConst && n.text == "" {
		return fmt.Sprint(n.value)
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
	n := &node{op: opIn, kind: kindBool, args: []*node{x}}
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
		there := &node{op: opCall, kind: kindBool, function: functionNamed("present"), args: []*node{x}, text: x.text}
		not := &node{op: opNot, kind: kindBool, args: []*node{n}, text: e.String()}
		return &node{op: opAnd, kind: kindBool, args: []*node{there, not}}, nil
	}
	return n, nil
}

// match is text ~ glob, with the rules of patterns, and text ~ /regexp/.
func (r *resolver) match(e *expr.Node) (*node, error) {
	x, err := r.compile(e.Args[0])
	if err != nil {
		return nil, err
	}
	if x.kind != kindText && x.kind != kindNull {
		return nil, r.fail(e.Pos, "%s is %v; ~ wants text on its left", x.text, x.kind)
	}
	n := &node{op: opGlob, kind: kindBool, args: []*node{x}}
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
	if x.op == opColumn && x.column != colPath && x.column != colTemplate { // plain text: * crosses dots
		n.op, n.regexp = opRegexp, plainGlob(glob)
	}
	return n, nil
}

// plainGlob matches text that is no path: model-0*.safetensors.
func plainGlob(glob string) *regexp.Regexp {
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
	re, err := regexp.Compile(b.String() + ")$")
	if err != nil { // the pattern parsed, so only its size can be too much
		return regexp.MustCompile(regexp.QuoteMeta(glob))
	}
	return re
}

func (r *resolver) arithmetic(e *expr.Node) (*node, error) {
	args, err := r.all(e.Args, kindFloat)
	if err != nil {
		return nil, err
	}
	n := &node{kind: wider(args[0].kind, args[1].kind), args: args}
	n.op = map[string]op{"+": opAdd, "-": opSub, "*": opMul, "/": opDiv, "//": opFloor, "%": opMod}[e.Op]
	if n.op == opDiv {
		n.kind = kindFloat
	}
	return n, nil
}

// index is shape[0]; a negative index counts from the end.
func (r *resolver) index(e *expr.Node) (*node, error) {
	if len(e.Args) != 2 || e.Args[1].Op == expr.OpSlice {
		return nil, r.fail(e.Pos, "want one index, as in shape[0]")
	}
	args, err := r.all(e.Args, kindNull)
	if err != nil {
		return nil, err
	}
	if args[0].kind != kindShape || args[1].kind != kindInt {
		return nil, r.fail(e.Pos, "want a shape and an integer, as in shape[0]")
	}
	return &node{op: opIndex, kind: kindInt, args: args}, nil
}

// shape is a literal [4, 96, 64].
func (r *resolver) shape(e *expr.Node) (*node, error) {
	s := make(tensor.Shape, len(e.Args))
	for i, a := range e.Args {
		d, ok := a.Value.Int()
		if a.Op != expr.OpConst || !ok {
			return nil, r.fail(a.Pos, "a shape holds integers, as in [4, 96, 64]")
		}
		s[i] = d
	}
	return constant(s), nil
}

func (r *resolver) call(e *expr.Node) (*node, error) {
	if slices.Contains(aggregateNames, e.Text) {
		return r.aggregate(e)
	}
	f := functionNamed(e.Text)
	if f == nil {
		names := slices.Clone(aggregateNames)
		for _, f := range functions {
			names = append(names, f.name)
		}
		return nil, r.fail(e.Pos, "unknown function %q%s", e.Text, didYouMean(e.Text, names))
	}
	if len(e.Args) != len(f.params) {
		return nil, r.fail(e.Pos, "%s takes %d argument(s), not %d", f.name, len(f.params), len(e.Args))
	}
	n := &node{op: opCall, kind: f.result, function: f}
	for i, want := range f.params {
		args, err := r.all(e.Args[i:i+1], want)
		if err != nil {
			return nil, err
		}
		n.args = append(n.args, args[0])
	}
	if n.kind == kindNull {
		n.kind = n.args[0].kind
	}
	return n, nil
}

// aggregate gives the slot where a group keeps the aggregate's value.
func (r *resolver) aggregate(e *expr.Node) (*node, error) {
	if !r.grouped {
		return nil, r.fail(e.Pos, "%s() is computed over rows: it goes into select, having or order by", e.Text)
	}
	a := &aggregate{name: e.Text, text: e.String()}
	switch {
	case len(e.Args) > 1, len(e.Args) == 0 && a.name != "count":
		return nil, r.fail(e.Pos, "%s takes one argument, not %d", e.Text, len(e.Args))
	case len(e.Args) == 1:
		inner := &resolver{text: r.text, gaps: r.gaps}
		n, err := inner.compile(e.Args[0])
		if err != nil {
			return nil, err
		}
		if (a.name == "sum" || a.name == "avg") && !n.kind.number() {
			return nil, r.fail(e.Args[0].Pos, "%s of %s: it is %v, want a number", a.name, n.text, n.kind)
		}
		a.argument = n
	}
	k := slices.IndexFunc(r.aggregates, func(b *aggregate) bool { return a.text == b.text })
	if k < 0 {
		k, r.aggregates = len(r.aggregates), append(r.aggregates, a)
	}
	return &node{op: opSlot, slot: len(r.keys) + k, kind: r.aggregates[k].kind(), text: a.text}, nil
}

func fromExpr(v expr.Value) any {
	switch v.Kind() {
	case expr.BoolKind:
		return v.Truth()
	case expr.IntKind:
		i, _ := v.Int()
		return i
	case expr.FloatKind:
		f, _ := v.Float()
		return f
	case expr.StringKind:
		s, _ := v.Text()
		return s
	}
	return nil
}
