// Package rows computes the answer of a query: it selects the tensors of a registry,
// block by block, or takes gaps, and filters, groups, sorts and limits them as a
// [Spec] says.
//
// Most users need [NewSink], [Sink.Find] or [Sink.Gaps], and [Sink.Finish]. Columns
// are one table (columns.go): each row says how the column is loaded from a block,
// when a block has one value for it, and what it is for a gap. To add a column, add a
// constant and a row there; nothing else changes.
//
// The registry stores a revision as blocks, one for each template of paths: a grid of
// numbers (layers, experts) and a column for each property, often constant. A part is
// the selection of one block's rows (part.go). While conditions only read the numbers
// of the grid, it stays a product of ranges and no row is looked at. Expressions
// ([Node]) are evaluated on vectors (eval.go, vector.go).
//
// Three shortcuts were measured and are kept for their speed: blocks that look the
// same to a grouping are grouped once and counted (repeat.go), duplicates are answered
// from the registry's content index (duplicates.go), and what a condition leaves of an
// axis is remembered (part.filter).
//
// Invariants:
//   - Every shortcut gives the answer of the long way; shortcut_test.go in package
//     query compares them.
//   - An absent value makes a comparison false and sorts last.
//   - A query that depends on hashes or statistics says so when they were not
//     recorded: it fails if no tensor has them, else a note counts those without.
//   - Nothing in a block is trusted: codes outside their table read as zero values.
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

// Ordering is one key of order by.
type Ordering struct {
	Value      *Node
	Descending bool
}

// OutputOf is the output of a column under its own name.
func OutputOf(c Column) Output {
	return Output{c.String(), &Node{Op: OpColumn, Column: c, Kind: columns[c].kind, Text: c.String()}}
}

// Conditions are the parts of where, those that cost least first.
func (s *Spec) Conditions() []*Node {
	parts := s.Where.conjuncts()
	cost := func(n *Node) int {
		var set ColumnSet
		n.Columns(&set)
		costly := 0
		for c := range set.All() {
			if columns[c].costly {
				costly++
			}
		}
		return costly
	}
	slices.SortStableFunc(parts, func(a, b *Node) int { return cmp.Compare(cost(a), cost(b)) })
	return parts
}
