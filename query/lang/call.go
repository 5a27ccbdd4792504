package lang

import (
	"slices"

	"wreg/query/rows"
	"wreg/registry/expr"
)

// functions are those of expr that a query can call; of each the one parameter's
// kind, where NullKind stands for any, and the result's, where it stands for the
// argument's own.
var functions = []struct {
	name, about   string
	param, result expr.Kind
}{
	{"abs", "magnitude", expr.FloatKind, expr.NullKind},
	{"floor", "the integer below", expr.FloatKind, expr.IntKind},
	{"ceil", "the integer above", expr.FloatKind, expr.IntKind},
	{"round", "the nearest integer, halves to even", expr.FloatKind, expr.IntKind},
	{"sqrt", "square root", expr.FloatKind, expr.FloatKind},
	{"log2", "logarithm to base 2", expr.FloatKind, expr.FloatKind},
	{"len", "of text in characters, or of a shape", expr.NullKind, expr.IntKind},
	{"lower", "text in lower case", expr.StringKind, expr.StringKind},
	{"upper", "text in capitals", expr.StringKind, expr.StringKind},
	{"present", "whether there is a value", expr.NullKind, expr.BoolKind},
}

// FunctionNames are the aggregates and all of them.
func FunctionNames() []string {
	names := slices.Clone(rows.AggregateNames)
	for _, f := range functions {
		names = append(names, f.name)
	}
	return names
}

func (r *resolver) call(e *expr.Node) (*rows.Node, error) {
	if slices.Contains(rows.AggregateNames, e.Text) {
		return r.aggregate(e)
	}
	for _, f := range functions {
		if f.name != e.Text {
			continue
		}
		if len(e.Args) != 1 {
			return nil, r.fail(e.Pos, "%s takes one argument, not %d", f.name, len(e.Args))
		}
		args, err := r.all(e.Args, f.param)
		if err != nil {
			return nil, err
		}
		n := &rows.Node{Op: rows.OpCall, Kind: f.result, Function: f.name, Args: args}
		if f.result == expr.NullKind {
			n.Kind = args[0].Kind
		}
		if f.name == "present" {
			n.Op = rows.OpPresent
		}
		return n, nil
	}
	if say, known := advice(e.Text, functionReflexes); known {
		return nil, r.fail(e.Pos, "unknown function %q: %s", e.Text, say)
	}
	return nil, r.fail(e.Pos, "unknown function %q%s", e.Text, didYouMean(e.Text, FunctionNames()))
}

// aggregate gives the slot where a group keeps the aggregate's value.
func (r *resolver) aggregate(e *expr.Node) (*rows.Node, error) {
	if !r.grouped {
		return nil, r.fail(e.Pos, "%s() is an aggregate: it belongs in select, having or order by", e.Text)
	}
	a := &rows.Aggregate{Name: e.Text, Text: e.String()}
	switch {
	case len(e.Args) > 1, len(e.Args) == 0 && a.Name != "count":
		return nil, r.fail(e.Pos, "%s takes one argument, not %d", e.Text, len(e.Args))
	case len(e.Args) == 1:
		inner := &resolver{text: r.text, gaps: r.gaps}
		n, err := inner.compile(e.Args[0])
		if err != nil {
			return nil, err
		}
		if (a.Name == "sum" || a.Name == "avg") && !n.Kind.Number() {
			return nil, r.fail(e.Args[0].Pos, "%s of %s: it is %s, want a number", a.Name, n.Text, inWords(n.Kind))
		}
		a.Argument = n
	}
	k := slices.IndexFunc(r.aggregates, func(b *rows.Aggregate) bool { return a.Text == b.Text })
	if k < 0 {
		k, r.aggregates = len(r.aggregates), append(r.aggregates, a)
	}
	return &rows.Node{Op: rows.OpSlot, Slot: len(r.keys) + k, Kind: r.aggregates[k].Kind(), Text: a.Text}, nil
}
