package lang

import (
	"strings"
	"testing"

	"wreg/query/rows"
	"wreg/registry/expr"
	"wreg/registry/tensor"
)

// Whatever the language has is told in words, and each example is a query.
func TestEveryWordHasText(t *testing.T) {
	all := map[string][]Word{"verb": VerbWords(), "clause": ClauseWords(), "column": ColumnWords(true), "function": FunctionWords(), "operator": OperatorWords}
	for kind, words := range all {
		seen := map[string]bool{}
		for _, w := range words {
			if w.Name == "" || w.Usage == "" || w.About == "" || strings.HasSuffix(w.About, ".") || seen[w.Name] {
				t.Errorf("%s %q: usage %q, about %q, seen before: %v", kind, w.Name, w.Usage, w.About, seen[w.Name])
			}
			seen[w.Name] = true
			if _, err := Parse(w.Example); err != nil {
				t.Errorf("%s %s: %v", kind, w.Name, err)
			}
		}
	}
	for kind, want := range map[string][]string{"verb": VerbNames(), "clause": clauseNames(), "column": rows.ColumnNames(true), "function": FunctionNames()} {
		if len(all[kind]) != len(want) {
			t.Errorf("%d %ss of %d are told of", len(all[kind]), kind, len(want))
		}
	}
	for _, w := range PatternWords {
		if _, err := tensor.ParsePattern(w.Example); err != nil || w.About == "" || w.Usage == "" {
			t.Errorf("pattern %s: %v, about %q", w.Name, err, w.About)
		}
	}
	for _, words := range [][]Word{AgainstWords, LayoutWords, KeywordWords} {
		for _, w := range words {
			if w.About == "" {
				t.Errorf("%s has no text", w.Name)
			}
		}
	}
}

// No operator of the grammar is left out of the reference.
func TestEveryOperatorIsTold(t *testing.T) {
	told := map[string]bool{"not in": true}
	for _, w := range OperatorWords {
		for part := range strings.FieldsFuncSeq(w.Usage, func(r rune) bool { return strings.ContainsRune(" ,ABC…()", r) }) {
			told[part] = true
		}
	}
	for _, op := range expr.Operators() {
		if !told[op] && op != "==" && op != "|" {
			t.Errorf("operator %s is told nowhere: %v", op, told)
		}
	}
}
