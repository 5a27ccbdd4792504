package query

import (
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
	if err == nil && n.kind != expr.BoolKind {
		err = r.fail(e.Pos, "%s wants a condition, %s is %s", clause, n.text, inWords(n.kind))
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
		n.text = e.String()
		if inner, grouped := strings.CutPrefix(n.text, "("); grouped {
			n.text = strings.TrimSuffix(inner, ")")
		}
	}
	return n, err
}

func (r *resolver) form(e *expr.Node) (*node, error) {
	switch e.Op {
	case expr.OpConst:
		return constant(e.Value), nil
	case expr.OpName:
		return r.name(e)
	case "and", "or":
		return r.logic(e)
	case expr.OpNot:
		args, err := r.all(e.Args, expr.BoolKind)
		return &node{op: opNot, kind: expr.BoolKind, args: args}, err
	case expr.OpNeg:
		args, err := r.all(e.Args, expr.FloatKind)
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
		return r.either(opElse, e, nil)
	case expr.OpIf:
		condition, err := r.all(e.Args[:1], expr.BoolKind)
		if err != nil {
			return nil, err
		}
		return r.either(opIf, e, condition)
	case expr.OpIndex:
		return r.index(e)
	case expr.OpCall:
		return r.call(e)
	case expr.OpList:
		return r.shape(e)
	}
	return nil, r.fail(e.Pos, "%s does not stand here: it is no value", e)
}

// all compiles the arguments and checks that each is of the kind wanted; expr.FloatKind
// stands for any number, expr.NullKind for anything.
func (r *resolver) all(in []*expr.Node, want expr.Kind) ([]*node, error) {
	out := make([]*node, len(in))
	for i, e := range in {
		n, err := r.compile(e)
		if err != nil {
			return nil, err
		}
		if want != expr.NullKind && n.kind != expr.NullKind && n.kind != want && !(want.Number() && n.kind.Number()) {
			return nil, r.fail(e.Pos, "%s is %s, want %s", n.text, inWords(n.kind), inWords(want))
		}
		out[i] = n
	}
	return out, nil
}

// either is a ?? b and a if c else b: both must be of one kind.
func (r *resolver) either(o op, e *expr.Node, args []*node) (*node, error) {
	values, err := r.all(e.Args[len(args):], expr.NullKind)
	if err != nil {
		return nil, err
	}
	a, b := values[0], values[1]
	if a.kind != expr.NullKind && b.kind != expr.NullKind && a.kind != b.kind && !(a.kind.Number() && b.kind.Number()) {
		return nil, r.fail(e.Pos, "%s is %s, %s is %s: both must be of one kind", a.text, inWords(a.kind), b.text, inWords(b.kind))
	}
	return &node{op: o, kind: wider(a.kind, b.kind), args: append(args, values...)}, nil
}

func wider(a, b expr.Kind) expr.Kind {
	if a == expr.NullKind || a == expr.IntKind && b == expr.FloatKind {
		return b
	}
	return a
}

func (r *resolver) name(e *expr.Node) (*node, error) {
	c, ok := columnNamed(strings.ToLower(e.Text))
	switch {
	case !ok:
		return nil, r.fail(e.Pos, "unknown column %q%s", e.Text, didYouMean(e.Text, columnNames(r.gaps)))
	case c.ofGaps() && !r.gaps:
		return nil, r.fail(e.Pos, "%s is a column of gaps: it goes with missing, extra, changed and gaps, not with find", c)
	case r.grouped:
		return nil, r.fail(e.Pos, "%s is neither a group's key nor in an aggregate: add it to group by, or write min(%s)", c, c)
	}
	return &node{op: opColumn, column: c, kind: columns[c].kind, text: c.String()}, nil
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
	args, err := r.all(chain, expr.BoolKind)
	o := opAnd
	if e.Op == "or" {
		o = opOr
	}
	return &node{op: o, kind: expr.BoolKind, args: args, text: "…"}, err
}

func (r *resolver) arithmetic(e *expr.Node) (*node, error) {
	args, err := r.all(e.Args, expr.FloatKind)
	if err != nil {
		return nil, err
	}
	n := &node{kind: wider(args[0].kind, args[1].kind), args: args}
	n.op = map[string]op{"+": opAdd, "-": opSub, "*": opMul, "/": opDiv, "//": opFloor, "%": opMod}[e.Op]
	if n.op == opDiv {
		n.kind = expr.FloatKind
	}
	return n, nil
}

// index is shape[0]; a negative index counts from the end.
func (r *resolver) index(e *expr.Node) (*node, error) {
	if len(e.Args) != 2 || e.Args[1].Op == expr.OpSlice {
		return nil, r.fail(e.Pos, "want one index, as in shape[0]")
	}
	args, err := r.all(e.Args, expr.NullKind)
	if err != nil {
		return nil, err
	}
	if args[0].kind != expr.ShapeKind || args[1].kind != expr.IntKind {
		return nil, r.fail(e.Pos, "want a shape and an integer, as in shape[0]")
	}
	return &node{op: opIndex, kind: expr.IntKind, args: args}, nil
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
	return constant(expr.Shape(s)), nil
}

// inWords is what a kind is called in errors.
func inWords(k expr.Kind) string {
	switch {
	case k == expr.NullKind:
		return "nothing"
	case k == expr.BoolKind:
		return "a condition"
	case k.Number():
		return "a number"
	case k == expr.StringKind:
		return "text"
	}
	return k.String()
}
