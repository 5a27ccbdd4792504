package query

import (
	"slices"

	"wreg/registry/expr"
)

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
