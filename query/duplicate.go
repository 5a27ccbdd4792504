package query

import (
	"context"

	"wreg/registry"
	"wreg/registry/expr"
	"wreg/registry/tensor"
)

// byDuplicates reports a query that the registry's content index answers without
// reading a single tensor: find * group by hash … having count() > 1.
func (q *spec) byDuplicates(patterns []*tensor.Pattern) bool {
	if !q.grouping || q.where != nil || len(q.keys) != 1 || q.keys[0].op != opColumn || q.keys[0].column != colHash {
		return false
	}
	for _, p := range patterns {
		if !p.MatchTemplate("a").All() || !p.MatchTemplate("a.b").All() { // * or **
			return false
		}
	}
	for _, a := range q.sums {
		if a.argument != nil && !a.lazy() {
			return false
		}
	}
	for _, c := range q.having.conjuncts() {
		if q.wantsTwo(c) {
			return true
		}
	}
	return false
}

// wantsTwo reports a condition that no group of one tensor meets.
func (q *spec) wantsTwo(c *node) bool {
	if len(c.args) != 2 || c.args[0].op != opSlot || c.args[1].op != opConst {
		return false
	}
	k := c.args[0].slot - len(q.keys)
	n, isInt := c.args[1].value.Int()
	if k < 0 || q.sums[k].argument != nil || !isInt || c.args[1].kind != expr.IntKind {
		return false
	}
	switch c.op {
	case opGreater:
		return n >= 1
	case opGreaterEqual, opEqual:
		return n >= 2
	case opNotEqual:
		return n == 1
	}
	return false
}

// findDuplicates is find for such a query.
func (out *sink) findDuplicates(ctx context.Context, s *registry.Snapshot, models []*registry.Revision) error {
	g, n := out.groups, 0
	for rows, err := range s.Duplicates(models) {
		if err != nil {
			return err
		}
		if n++; n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		id := len(g.rows)
		g.rows = append(g.rows, int64(len(rows)))
		g.values[0].appendHash(rows[0].Hash())
		for k, a := range g.aggregates {
			if a.argument == nil {
				continue
			}
			st := &g.states[k]
			st.at = grow(st.at, id+1)
			best := 0
			for i := 1; i < len(rows); i++ {
				if (rows[i].Path() < rows[best].Path()) == (a.name == "min") {
					best = i
				}
			}
			st.at[id] = place{&part{block: rows[best].Block}, int32(rows[best].Row)}
		}
	}
	return nil
}
