package lang

import (
	"slices"

	"wreg/query/rows"
	"wreg/registry/arch"
)

// Find is the verb that lists tensors; all others list gaps.
const Find = "find"

// verbs is the one table of verbs: the statuses of the gaps that each asks for, and
// the columns of its answer.
var verbs = []struct {
	name, about string
	statuses    []string
	columns     []rows.Column
}{
	{Find, "the tensors that are there", nil,
		[]rows.Column{rows.Path, rows.DType, rows.Shape, rows.Bytes}},
	{"missing", "those that should be there and are not", []string{arch.Missing},
		[]rows.Column{rows.Path, rows.Status, rows.ExpectedShape, rows.Reason, rows.Remedy}},
	{"extra", "those that are there and should not be", []string{arch.Extra},
		[]rows.Column{rows.Path, rows.Status, rows.DType, rows.Shape, rows.Reason, rows.Remedy}},
	{"changed", "those that are there with another shape, dtype or other bytes", []string{arch.Changed},
		[]rows.Column{rows.Path, rows.Status, rows.ExpectedShape, rows.Shape, rows.ExpectedDType, rows.DType, rows.Reason, rows.Remedy}},
	{"gaps", "missing, extra and changed", []string{arch.Missing, arch.Extra, arch.Changed},
		[]rows.Column{rows.Path, rows.Status, rows.ExpectedShape, rows.Shape, rows.Reason, rows.Remedy}},
}

// VerbNames lists the verbs.
func VerbNames() (names []string) {
	for _, v := range verbs {
		names = append(names, v.name)
	}
	return names
}

// StatusText says what gaps of a status are, "" for what is none.
func StatusText(status string) string {
	for _, v := range verbs {
		if len(v.statuses) == 1 && v.statuses[0] == status {
			return v.about
		}
	}
	return ""
}

// Statuses are those of the gaps that the verb asks for; none for find.
func (q *Query) Statuses() []string { return verbs[slices.Index(VerbNames(), q.Verb)].statuses }

// outputs are the columns of the answer where none are selected: the verb's own and
// what the query itself mentions, so that where nans > 0 shows the count.
func (q *Query) outputs(models int) (outputs []rows.Output) {
	list := slices.Clone(verbs[slices.Index(VerbNames(), q.Verb)].columns)
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
