package lang

import (
	"slices"
	"strings"

	"github.com/alecthomas/participle/v2/lexer"

	"wreg/query/rows"
	"wreg/registry/expr"
	"wreg/registry/tensor"
)

// resolver compiles expressions: it finds the columns and functions that names
// mean, checks types, and turns aggregates into slots of the groups.
type resolver struct {
	text       string // of the query, for errors
	gaps       bool   // the verb lists gaps, which have columns of their own
	grouped    bool   // names mean the groups' keys and aggregates
	keys       []*rows.Node
	keyTexts   []string
	aggregates []*rows.Aggregate
}

func (r *resolver) fail(at lexer.Position, format string, args ...any) error {
	return expr.ErrorAt(r.text, at, format, args...)
}

// expression compiles what the grammar read.
func (r *resolver) expression(e *expr.Expr) (*rows.Node, error) {
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
func (r *resolver) condition(e *expr.Expr, clause string) (*rows.Node, error) {
	n, err := r.expression(e)
	if err == nil && n.Kind != expr.BoolKind {
		err = r.fail(e.Pos, "%s needs a condition, but %s is %s", clause, n.Text, inWords(n.Kind))
	}
	return n, err
}

func (r *resolver) compile(e *expr.Node) (*rows.Node, error) {
	if r.grouped {
		if k := slices.Index(r.keyTexts, e.String()); k >= 0 {
			return &rows.Node{Op: rows.OpSlot, Slot: k, Kind: r.keys[k].Kind, Text: r.keys[k].Text}, nil
		}
	}
	n, err := r.form(e)
	if err == nil && n.Text == "" {
		n.Text = e.String()
		if inner, grouped := strings.CutPrefix(n.Text, "("); grouped {
			n.Text = strings.TrimSuffix(inner, ")")
		}
	}
	return n, err
}

func (r *resolver) form(e *expr.Node) (*rows.Node, error) {
	switch e.Op {
	case expr.OpConst:
		return rows.Constant(e.Value), nil
	case expr.OpName:
		return r.name(e)
	case "and", "or":
		return r.logic(e)
	case expr.OpNot:
		args, err := r.all(e.Args, expr.BoolKind)
		return &rows.Node{Op: rows.OpNot, Kind: expr.BoolKind, Args: args}, err
	case expr.OpNeg:
		args, err := r.all(e.Args, expr.FloatKind)
		if err != nil {
			return nil, err
		}
		return &rows.Node{Op: rows.OpNeg, Kind: args[0].Kind, Args: args}, nil
	case "=", "!=", "<", "<=", ">", ">=":
		return r.comparison(e)
	case "in", "not in":
		return r.membership(e)
	case "~":
		return r.match(e)
	case "+", "-", "*", "/", "//", "%":
		return r.arithmetic(e)
	case "??":
		return r.either(rows.OpElse, e, nil)
	case expr.OpIf:
		condition, err := r.all(e.Args[:1], expr.BoolKind)
		if err != nil {
			return nil, err
		}
		return r.either(rows.OpIf, e, condition)
	case expr.OpIndex:
		return r.index(e)
	case expr.OpCall:
		return r.call(e)
	case expr.OpList:
		return r.shape(e)
	}
	return nil, r.fail(e.Pos, "%s is not a value here", e)
}

// all compiles the arguments and checks that each is of the kind wanted; expr.FloatKind
// stands for any number, expr.NullKind for anything.
func (r *resolver) all(in []*expr.Node, want expr.Kind) ([]*rows.Node, error) {
	out := make([]*rows.Node, len(in))
	for i, e := range in {
		n, err := r.compile(e)
		if err != nil {
			return nil, err
		}
		if want != expr.NullKind && n.Kind != expr.NullKind && n.Kind != want && !(want.Number() && n.Kind.Number()) {
			return nil, r.fail(e.Pos, "%s is %s, want %s", n.Text, inWords(n.Kind), inWords(want))
		}
		out[i] = n
	}
	return out, nil
}

// either is a ?? b and a if c else b: both must be of one kind.
func (r *resolver) either(o rows.Op, e *expr.Node, args []*rows.Node) (*rows.Node, error) {
	values, err := r.all(e.Args[len(args):], expr.NullKind)
	if err != nil {
		return nil, err
	}
	a, b := values[0], values[1]
	if a.Kind != expr.NullKind && b.Kind != expr.NullKind && a.Kind != b.Kind && !(a.Kind.Number() && b.Kind.Number()) {
		return nil, r.fail(e.Pos, "%s is %s, %s is %s: both must be of one kind", a.Text, inWords(a.Kind), b.Text, inWords(b.Kind))
	}
	return &rows.Node{Op: o, Kind: wider(a.Kind, b.Kind), Args: append(args, values...)}, nil
}

func wider(a, b expr.Kind) expr.Kind {
	if a == expr.NullKind || a == expr.IntKind && b == expr.FloatKind {
		return b
	}
	return a
}

func (r *resolver) name(e *expr.Node) (*rows.Node, error) {
	c, ok := rows.ColumnNamed(strings.ToLower(e.Text))
	switch {
	case !ok:
		if say, known := advice(e.Text, columnReflexes); known {
			return nil, r.fail(e.Pos, "unknown column %q: %s", e.Text, say)
		}
		return nil, r.fail(e.Pos, "unknown column %q%s", e.Text, didYouMean(e.Text, rows.ColumnNames(r.gaps)))
	case c.OfGaps() && !r.gaps:
		return nil, r.fail(e.Pos, "%s is a column of missing, extra, changed and gaps; find does not have it", c)
	case r.grouped:
		return nil, r.fail(e.Pos, "%s is neither a group key nor inside an aggregate: add it to group by, or write min(%s)", c, c)
	}
	return &rows.Node{Op: rows.OpColumn, Column: c, Kind: c.Kind(), Text: c.String()}, nil
}

// logic flattens a and b and c into one node, however long the chain.
func (r *resolver) logic(e *expr.Node) (*rows.Node, error) {
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
	o := rows.OpAnd
	if e.Op == "or" {
		o = rows.OpOr
	}
	return &rows.Node{Op: o, Kind: expr.BoolKind, Args: args, Text: "…"}, err
}

func (r *resolver) arithmetic(e *expr.Node) (*rows.Node, error) {
	args, err := r.all(e.Args, expr.FloatKind)
	if err != nil {
		return nil, err
	}
	n := &rows.Node{Kind: wider(args[0].Kind, args[1].Kind), Args: args}
	n.Op = map[string]rows.Op{"+": rows.OpAdd, "-": rows.OpSub, "*": rows.OpMul, "/": rows.OpDiv, "//": rows.OpFloor, "%": rows.OpMod}[e.Op]
	if n.Op == rows.OpDiv {
		n.Kind = expr.FloatKind
	}
	return n, nil
}

// index is shape[0]; a negative index counts from the end.
func (r *resolver) index(e *expr.Node) (*rows.Node, error) {
	if len(e.Args) != 2 || e.Args[1].Op == expr.OpSlice {
		return nil, r.fail(e.Pos, "expected one index, as in shape[0]")
	}
	args, err := r.all(e.Args, expr.NullKind)
	if err != nil {
		return nil, err
	}
	if args[0].Kind != expr.ShapeKind || args[1].Kind != expr.IntKind {
		return nil, r.fail(e.Pos, "expected a shape and an integer, as in shape[0]")
	}
	return &rows.Node{Op: rows.OpIndex, Kind: expr.IntKind, Args: args}, nil
}

// shape is a literal [4, 96, 64].
func (r *resolver) shape(e *expr.Node) (*rows.Node, error) {
	s := make(tensor.Shape, len(e.Args))
	for i, a := range e.Args {
		d, ok := a.Value.Int()
		if a.Op != expr.OpConst || !ok {
			return nil, r.fail(a.Pos, "a shape holds integers, as in [4, 96, 64]")
		}
		s[i] = d
	}
	return rows.Constant(expr.Shape(s)), nil
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

// didYouMean is `; did you mean "layer"?`, or the whole list when nothing is near.
func didYouMean(word string, names []string) string {
	if near := nearestOnly(word, names); near != "" {
		return near
	}
	return "; known are " + strings.Join(names, " ")
}

// nearestOnly is didYouMean without the list.
func nearestOnly(word string, names []string) string {
	near := tensor.Nearest(names, 1, func(name string) int {
		d := tensor.EditDistance(word, name)
		if d > max(2, len(word)/2) || d >= len(word) {
			return -1
		}
		return d
	})
	if len(near) == 0 {
		return ""
	}
	return `; did you mean "` + near[0] + `"?`
}
