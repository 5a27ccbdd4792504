package lang

import (
	"slices"

	"wreg/query/rows"
)

// The verbs.
const (
	Find    = "find"
	Missing = "missing"
	Extra   = "extra"
	Changed = "changed"
	Gaps    = "gaps"
)

// verbs is the one table of verbs, each with the columns of its answer.
var verbs = []struct {
	name, about string
	columns     []rows.Column
}{
	{Find, "the tensors that are there",
		[]rows.Column{rows.Path, rows.DType, rows.Shape, rows.Bytes}},
	{Missing, "those that should be there and are not",
		[]rows.Column{rows.Path, rows.Status, rows.ExpectedShape, rows.Reason, rows.Remedy}},
	{Extra, "those that are there and should not be",
		[]rows.Column{rows.Path, rows.Status, rows.DType, rows.Shape, rows.Reason, rows.Remedy}},
	{Changed, "those that are there with another shape, dtype or other bytes",
		[]rows.Column{rows.Path, rows.Status, rows.ExpectedShape, rows.Shape, rows.ExpectedDType, rows.DType, rows.Reason, rows.Remedy}},
	{Gaps, "missing, extra and changed",
		[]rows.Column{rows.Path, rows.Status, rows.ExpectedShape, rows.Shape, rows.Reason, rows.Remedy}},
}

// VerbNames lists the verbs.
func VerbNames() (names []string) {
	for _, v := range verbs {
		names = append(names, v.name)
	}
	return names
}

// outputs are the columns of the answer where none are selected: the verb's own and
// what the query itself mentions, so that where nans > 0 shows the count.
func (q *Query) outputs(models int) (outputs []rows.Output) {
	var list []rows.Column
	for _, v := range verbs {
		if v.name == q.Verb {
			list = slices.Clone(v.columns)
		}
	}
	if models > 1 {
		list = slices.Insert(list, 0, rows.Model)
	}
	var mentioned rows.ColumnSet
	q.Where.Columns(&mentioned)
	for _, o := range q.Order {
		o.Value.Columns(&mentioned)
	}
	for c := range mentioned.All() {
		if !slices.Contains(list, c) && !c.Implied() {
			list = append(list, c)
		}
	}
	for _, c := range list {
		outputs = append(outputs, rows.OutputOf(c))
	}
	return outputs
}

// Over is the query's spec for an answer over some models.
func (q *Query) Over(models int) *rows.Spec {
	s := q.Spec
	if s.Outputs == nil {
		s.Outputs = q.outputs(models)
	}
	return &s
}
