package lang

import (
	"os"
	"strings"
	"testing"
)

// The README shows the parser's own grammar.
func TestReadme(t *testing.T) {
	data, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	grammar := parser.String()
	for word := range Clauses {
		grammar = strings.ReplaceAll(grammar, `"`+strings.ToUpper(word)+`"`, `"`+word+`"`)
	}
	want := "<!-- grammar -->\n```\n" + strings.TrimSpace(grammar) + "\n```\n<!-- /grammar -->"
	if !strings.Contains(string(data), want) {
		t.Errorf("the grammar in README.md is not current; it is\n%s", want)
	}
}
