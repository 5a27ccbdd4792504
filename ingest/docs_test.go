package ingest

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDocs: docs/formats.md has every rule that the code can report, and the table
// of lint rules word for word.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("../docs/formats.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	for _, r := range LintRules {
		if row := fmt.Sprintf("| `%s` | %s | %s |\n", r.ID, r.Reader, r.Does); !strings.Contains(page, row) {
			t.Errorf("docs/formats.md lacks the row\n%s", row)
		}
	}
	known := map[string]bool{}
	for _, r := range FindingRules {
		known[r.ID] = true
		if row := fmt.Sprintf("| `%s` | %s |\n", r.ID, r.Means); !strings.Contains(page, row) {
			t.Errorf("docs/formats.md lacks the row\n%s", row)
		}
	}
	for file, policy := range policies {
		if rule := policy.finding; rule != "" && !strings.Contains(page, "`"+rule+"`") {
			t.Errorf("docs/formats.md does not say how %s is read", file)
		}
	}
	rule := regexp.MustCompile(`\b(?:note|add|find|finding)\("([a-z][a-z0-9]*(?:-[a-z0-9]+)*)"`)
	found := 0
	err = filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		src, err := os.ReadFile(path)
		for _, m := range rule.FindAllStringSubmatch(string(src), -1) {
			found++
			if !known[m[1]] {
				t.Errorf("FindingRules does not explain the finding %s of %s", m[1], path)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if found < 20 {
		t.Errorf("only %d findings in the code: the pattern no longer matches", found)
	}
}
