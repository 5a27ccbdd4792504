package query

import (
	"cmp"
	"slices"
)

// spec is what a query does with the rows that its patterns select.
type spec struct {
	where    *node
	grouping bool
	keys     []*node
	sums     []*aggregate
	outputs  []output
	having   *node
	order    []ordering
	limit    int // -1: none
}

// output is one column of the answer.
type output struct {
	name  string
	value *node
}

type ordering struct {
	value      *node
	descending bool
}

func columnOutput(c column) output {
	return output{c.String(), &node{op: opColumn, column: c, kind: columns[c].kind, text: c.String()}}
}

// conditions are the parts of where, those that cost least first.
func (s *spec) conditions() []*node {
	parts := s.where.conjuncts()
	cost := func(n *node) int {
		var set columnSet
		n.columns(&set)
		dear := 0
		for c := range set.all() {
			if columns[c].costly {
				dear++
			}
		}
		return dear
	}
	slices.SortStableFunc(parts, func(a, b *node) int { return cmp.Compare(cost(a), cost(b)) })
	return parts
}
