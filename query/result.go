package query

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"

	"wreg/registry/tensor"
)

// Result is an answer: rows of values under named columns. A value is nil
// (absent), bool, int64, float64, string, tensor.Hash or tensor.Shape; dtypes are
// strings in lower case.
type Result struct {
	Query   string
	Verb    string
	Model   string // the revision asked about; several are joined by ", "
	Against string // what gaps were measured against: "spec hunyuan", "layers", a revision; "" for find
	Layout  string // the layout that gaps are listed in; "" for find
	Notes   []string
	Columns []string
	Rows    [][]any
}

// Findings reports that the answer lists gaps.
func (r *Result) Findings() bool { return r.Verb != Find && len(r.Rows) > 0 }

// column is the place of a column, -1 when the answer has none of that name.
func (r *Result) column(name string) int {
	for i, c := range r.Columns {
		if c == name {
			return i
		}
	}
	return -1
}

// MarshalJSON writes {"query","model","against","layout","columns","rows","count"}
// and "notes" when there are any. Hashes are "sha256:<hex>", shapes lists, absent
// values null; so are NaN and infinities, which JSON has no numbers for.
func (r *Result) MarshalJSON() ([]byte, error) {
	text := &bytes.Buffer{}
	plain := json.NewEncoder(text)
	plain.SetEscapeHTML(false) // where layer < 8 stays readable
	encode := func(v any) ([]byte, error) {
		text.Reset()
		err := plain.Encode(v)
		return bytes.Clone(bytes.TrimSuffix(text.Bytes(), []byte("\n"))), err
	}
	rows := make([]json.RawMessage, len(r.Rows))
	names := make([][]byte, len(r.Columns))
	for i, c := range r.Columns {
		name, err := encode(c)
		if err != nil {
			return nil, err
		}
		names[i] = name
	}
	for i, row := range r.Rows {
		object := []byte{'{'}
		for k, v := range row {
			if k > 0 {
				object = append(object, ',')
			}
			object = append(append(object, names[k]...), ':')
			value, err := encode(JSONValue(v))
			if err != nil {
				return nil, err
			}
			object = append(object, value...)
		}
		rows[i] = append(object, '}')
	}
	return encode(struct {
		Query   string            `json:"query"`
		Model   *string           `json:"model"`
		Against *string           `json:"against"`
		Layout  *string           `json:"layout"`
		Notes   []string          `json:"notes,omitempty"`
		Columns []string          `json:"columns"`
		Rows    []json.RawMessage `json:"rows"`
		Count   int               `json:"count"`
	}{r.Query, orNull(r.Model), orNull(r.Against), orNull(r.Layout), r.Notes, r.Columns, rows, len(rows)})
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// JSONValue is a row's value as JSON has it.
func JSONValue(v any) any {
	switch v := v.(type) {
	case tensor.Hash:
		return v.String()
	case tensor.Shape:
		if v == nil {
			return []int64{}
		}
		return []int64(v)
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil
		}
	case string:
		return strings.ToValidUTF8(v, "\uFFFD")
	}
	return v
}
