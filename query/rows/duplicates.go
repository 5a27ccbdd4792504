package rows

import (
	"context"
	"slices"

	"wreg/registry"
	"wreg/registry/expr"
	"wreg/registry/tensor"
)

// byDuplicates reports a query that the registry's content index answers without
// reading a single tensor: find * group by hash … having count() > 1.
func (q *Spec) byDuplicates(patterns []*tensor.Pattern) bool {
	if !q.Grouping || q.Where != nil || len(q.Keys) != 1 || q.Keys[0].Op != OpColumn || q.Keys[0].Column != Hash {
		return false
	}
	for _, p := range patterns {
		if !p.MatchTemplate("a").All() || !p.MatchTemplate("a.b").All() { // * or **
			return false
		}
	}
	for _, a := range q.Sums {
		if a.Argument != nil && !a.lazy() {
			return false
		}
	}
	return slices.ContainsFunc(q.Having.conjuncts(), q.wantsTwo)
}

// wantsTwo reports a condition that no group of one tensor meets.
func (q *Spec) wantsTwo(c *Node) bool {
	if len(c.Args) != 2 || c.Args[0].Op != OpSlot || c.Args[1].Op != OpConst {
		return false
	}
	k := c.Args[0].Slot - len(q.Keys)
	n, isInt := c.Args[1].Value.Int()
	if k < 0 || q.Sums[k].Argument != nil || !isInt || c.Args[1].Kind != expr.IntKind {
		return false
	}
	switch c.Op {
	case OpGreater:
		return n >= 1
	case OpGreaterEqual, OpEqual:
		return n >= 2
	case OpNotEqual:
		return n == 1
	}
	return false
}

// findDuplicates is find for such a query.
func (out *Sink) findDuplicates(ctx context.Context, s *registry.Snapshot, models []*registry.Revision) error {
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
			if a.Argument == nil {
				continue
			}
			st := &g.states[k]
			st.at = grow(st.at, id+1)
			best := 0
			for i := 1; i < len(rows); i++ {
				if (rows[i].Path() < rows[best].Path()) == (a.Name == "min") {
					best = i
				}
			}
			st.at[id] = place{&part{block: rows[best].Block}, int32(rows[best].Row)}
		}
	}
	return nil
}
