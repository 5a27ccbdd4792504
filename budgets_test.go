package wreg_test

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// budgetRow is a row of the table of budgets: a constant by its package, its value.
var budgetRow = regexp.MustCompile("(?m)^\\| `([a-z0-9/]+)\\.([A-Za-z0-9]+)` \\| ([0-9]+) \\|")

// TestBudgets holds the table of budgets against the constants it names.
func TestBudgets(t *testing.T) {
	page, err := os.ReadFile("docs/formats.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## Budgets\n")
	section, _, _ = strings.Cut(section, "\n## ")
	rows := budgetRow.FindAllStringSubmatch(section, -1)
	if lines := strings.Count(section, "\n| `"); len(rows) == 0 || len(rows) != lines {
		t.Fatalf("%d of %d rows are a constant, its value in digits and what it bounds", len(rows), lines)
	}
	for _, row := range rows {
		if got, err := constantOf(row[1], row[2]); err != nil || got != row[3] {
			t.Errorf("%s.%s is %s (%v), the page says %s", row[1], row[2], got, err, row[3])
		}
	}
}

// constantOf finds a constant of a package and gives its value in digits.
func constantOf(dir, name string) (string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return "", err
	}
	for _, path := range files {
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return "", err
		}
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.CONST {
				continue
			}
			for _, s := range g.Specs {
				v := s.(*ast.ValueSpec)
				for i, id := range v.Names {
					if id.Name != name || i >= len(v.Values) {
						continue
					}
					value, err := types.Eval(fset, nil, token.NoPos, types.ExprString(v.Values[i]))
					if err != nil || value.Value == nil {
						return "", fmt.Errorf("%s: %w", fset.Position(id.Pos()), err)
					}
					return constant.ToInt(value.Value).ExactString(), nil
				}
			}
		}
	}
	return "", fmt.Errorf("%s declares no such constant", dir)
}
