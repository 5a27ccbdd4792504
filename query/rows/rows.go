package rows

import (
	"cmp"
	"slices"
)

// Spec is what a query does with the rows that its patterns select.
type Spec struct {
	Where    *Node
	Grouping bool
	Keys     []*Node
	Sums     []*Aggregate
	Outputs  []Output
	Having   *Node
	Order    []Ordering
	Limit    int // -1: none
}

// Output is one column of the answer.
type Output struct {
	Name  string
	Value *Node
}

type Ordering struct {
	Value      *Node
	Descending bool
}

func OutputOf(c Column) Output {
	return Output{c.String(), &Node{Op: OpColumn, Column: c, Kind: columns[c].kind, Text: c.String()}}
}

// Conditions are the parts of where, those that cost least first.
func (s *Spec) Conditions() []*Node {
	parts := s.Where.conjuncts()
	cost := func(n *Node) int {
		var set ColumnSet
		n.Columns(&set)
		dear := 0
		for c := range set.All() {
			if columns[c].costly {
				dear++
			}
		}
		return dear
	}
	slices.SortStableFunc(parts, func(a, b *Node) int { return cmp.Compare(cost(a), cost(b)) })
	return parts
}
