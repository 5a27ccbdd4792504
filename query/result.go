package query

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

// column is the place of a column, -1 when the answer has none of that name.
func (r *Result) column(name string) int {
	for i, c := range r.Columns {
		if c == name {
			return i
		}
	}
	return -1
}
