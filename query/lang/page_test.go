package lang

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the grammar in docs/query.md")

// docs/query.md shows the parser's own grammar.
func TestGrammarPage(t *testing.T) {
	const page = "../../docs/query.md"
	data, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	grammar := parser.String()
	for word := range Clauses {
		grammar = strings.ReplaceAll(grammar, `"`+strings.ToUpper(word)+`"`, `"`+word+`"`)
	}
	head, rest, _ := strings.Cut(string(data), "<!-- grammar -->\n")
	_, tail, ok := strings.Cut(rest, "<!-- /grammar -->")
	now := head + "<!-- grammar -->\n```\n" + strings.TrimSpace(grammar) + "\n```\n<!-- /grammar -->" + tail
	switch {
	case !ok:
		t.Fatal(page + ": no section grammar")
	case now == string(data):
	case !*update:
		t.Error("the grammar in docs/query.md is not current; run go test ./query/lang -run GrammarPage -update")
	default:
		if err := os.WriteFile(page, []byte(now), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}
