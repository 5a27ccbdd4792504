package query

import "slices"

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
	columns     []column
}{
	{Find, "the tensors that are there",
		[]column{colPath, colDType, colShape, colBytes}},
	{Missing, "those that should be there and are not",
		[]column{colPath, colStatus, colExpectedShape, colReason, colRemedy}},
	{Extra, "those that are there and should not be",
		[]column{colPath, colStatus, colDType, colShape, colReason, colRemedy}},
	{Changed, "those that are there with another shape, dtype or other bytes",
		[]column{colPath, colStatus, colExpectedShape, colShape, colExpectedDType, colDType, colReason, colRemedy}},
	{Gaps, "missing, extra and changed",
		[]column{colPath, colStatus, colExpectedShape, colShape, colReason, colRemedy}},
}

func verbNames() (names []string) {
	for _, v := range verbs {
		names = append(names, v.name)
	}
	return names
}

// outputs are the columns of the answer where none are selected: the verb's own and
// what the query itself mentions, so that where nans > 0 shows the count.
func (q *parsed) outputs(models int) (outputs []output) {
	var list []column
	for _, v := range verbs {
		if v.name == q.verb {
			list = slices.Clone(v.columns)
		}
	}
	if models > 1 {
		list = slices.Insert(list, 0, colModel)
	}
	var mentioned columnSet
	q.where.columns(&mentioned)
	for _, o := range q.order {
		o.value.columns(&mentioned)
	}
	for c := range mentioned.all() {
		if !slices.Contains(list, c) && !columns[c].implied {
			list = append(list, c)
		}
	}
	for _, c := range list {
		outputs = append(outputs, columnOutput(c))
	}
	return outputs
}

// over is the query's spec for an answer over some models.
func (q *parsed) over(models int) *spec {
	s := q.spec
	if s.outputs == nil {
		s.outputs = q.outputs(models)
	}
	return &s
}
