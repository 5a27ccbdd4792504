package query

import (
	"slices"

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

// functionNames are the aggregates and all of them.
func functionNames() []string {
	names := slices.Clone(aggregateNames)
	for _, f := range functions {
		names = append(names, f.name)
	}
	return names
}

func (r *resolver) call(e *expr.Node) (*node, error) {
	if slices.Contains(aggregateNames, e.Text) {
		return r.aggregate(e)
	}
	for _, f := range functions {
		if f.name != e.Text {
			continue
		}
		if len(e.Args) != 1 {
			return nil, r.fail(e.Pos, "%s takes 1 argument(s), not %d", f.name, len(e.Args))
		}
		args, err := r.all(e.Args, f.param)
		if err != nil {
			return nil, err
		}
		n := &node{op: opCall, kind: f.result, function: f.name, args: args}
		if f.result == expr.NullKind {
			n.kind = args[0].kind
		}
		if f.name == "present" {
			n.op = opPresent
		}
		return n, nil
	}
	return nil, r.fail(e.Pos, "unknown function %q%s", e.Text, didYouMean(e.Text, functionNames()))
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
		if (a.name == "sum" || a.name == "avg") && !n.kind.Number() {
			return nil, r.fail(e.Args[0].Pos, "%s of %s: it is %s, want a number", a.name, n.text, inWords(n.kind))
		}
		a.argument = n
	}
	k := slices.IndexFunc(r.aggregates, func(b *aggregate) bool { return a.text == b.text })
	if k < 0 {
		k, r.aggregates = len(r.aggregates), append(r.aggregates, a)
	}
	return &node{op: opSlot, slot: len(r.keys) + k, kind: r.aggregates[k].kind(), text: a.text}, nil
}
