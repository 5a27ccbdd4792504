package query

import (
	"wreg/query/fold"
)

// Result is an answer: rows of values under named columns. A value is nil
// (absent), bool, int64, float64, string, tensor.Hash or tensor.Shape; dtypes are
// strings in lower case.
type Result struct {
	Query   string
	Model   string // the revision asked about; several are joined by ", "
	Against string // what gaps were measured against: "spec hunyuan", "layers", a revision; "" for find
	Layout  string // the layout that gaps are listed in; "" for find
	Notes   []string
	Columns []string
	Rows    [][]any
}

// Fold puts rows that differ in nothing but the numbers or one word of their path
// on one line, for people: see fold.Rows.
func (r *Result) Fold() *Result {
	folded := *r
	folded.Columns, folded.Rows = fold.Rows(r.Columns, r.Rows)
	return &folded
}
