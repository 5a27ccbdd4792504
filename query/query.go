// Package query answers questions about the tensors of a registry: what is there
// (find), what should be there and is missing (missing), what should not be there
// (extra), what differs from what it should be (changed), and all three (gaps).
//
//	missing mlp.switch_mlp.* where layer<64
//	find * group by hash select hash, count(), min(path) having count() > 1
//
// Most users need [Parse], [Query.Run] and [Result.Fold]; a shell needs [Complete],
// and [Query.Explain] shows how a query was understood.
//
// A query passes through four packages. [wreg/query/lang] parses it and resolves
// names and types. [wreg/query/rows] selects tensors, or takes the gaps that
// [wreg/query/gaps] found, and filters, groups, sorts and limits them.
// [wreg/query/fold] shortens the answer for people. This package only connects
// them: it depends on all four, and none of them depends on it.
//
// Invariants:
//   - A pattern matches at any segment boundary and must reach the end of the path.
//   - A comparison with an absent value is false, so not (nans > 0) is true where
//     no statistics were recorded.
//   - A question about gaps without anything to compare with is an error, never an
//     empty answer.
//   - A Result owns its values and may outlive the Snapshot.
package query

import (
	"fmt"
	"slices"
	"strings"

	"wreg/registry/arch"
	"wreg/registry/tensor"

	"wreg/query/fold"
	"wreg/query/lang"
)

// Query is a parsed question. It may be run many times, also concurrently.
type Query struct{ *lang.Query }

// Options of Run. The zero value works where the registry holds one model.
type Options struct {
	Model string     // the model asked about where the query has no in
	Arch  *arch.Arch // used instead of the one that config.json's model_type names
}

// Parse reads a query. Errors are *expr.SyntaxError: line, caret, and what was
// expected or is nearest.
func Parse(text string) (*Query, error) {
	p, err := lang.Parse(text)
	if err != nil {
		return nil, err
	}
	return &Query{p}, nil
}

// StatusText says what gaps of a status are, "" for what is none.
func StatusText(status string) string { return lang.StatusText(status) }

// Result is an answer: rows of values under named columns. A value is nil
// (absent), bool, int64, float64, string, tensor.Hash or tensor.Shape; dtypes are
// strings in lower case.
type Result struct {
	Query   string
	Model   string // the revision asked about; several are joined by ", "
	Against string // what gaps were measured against: "spec hunyuan", "layers", a revision; "" for find
	Layout  string // the layout that gaps are listed in; "" for find
	Notes   []string
	Unlike  int  // weights quantized on one side only, whose values nothing compared
	Unknown int  // tensors that may have changed, those among them: without rows, this is no proof that nothing did
	Doubted bool // something was compared by less than its content, as Notes say
	Columns []string
	Rows    [][]any
}

// Nothing says what an answer without rows comes to, and no more than was asked.
func (q *Query) Nothing(r *Result) string {
	what, ok := map[string]string{"missing": "nothing%s is missing", "extra": "nothing%s is extra", "changed": "nothing%s is changed", "gaps": "no gaps%s"}[q.Verb]
	if !ok || q.Grouping || q.Having != nil || q.Limit == 0 {
		return "no rows"
	}
	some := ""
	if q.Where != nil || slices.ContainsFunc(q.Patterns, func(p *tensor.Pattern) bool { return strings.Trim(p.String(), "*") != "" }) {
		some = " that matches"
		if q.Verb == "gaps" {
			some = " that match"
		}
	}
	text := fmt.Sprintf(what, some)
	if !strings.Contains(r.Model, ", ") {
		text += " in " + r.Model
	}
	switch {
	case q.Against == "" || q.Against == lang.AgainstSpec:
	case q.Against == lang.AgainstLayers:
		text += ", compared with most layers"
	default:
		text += ", compared with " + r.Against
	}
	if r.Unlike > 0 || r.Doubted {
		text += " as far as they can be"
	}
	return text
}

// Fold puts rows that differ in nothing but the numbers or one word of their path
// on one line, for people: see fold.Rows.
func (r *Result) Fold() *Result {
	folded := *r
	folded.Columns, folded.Rows = fold.Rows(r.Columns, r.Rows)
	return &folded
}
