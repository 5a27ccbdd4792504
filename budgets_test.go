package wreg_test

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// budgetRow is a row of the table of budgets: a constant by its package, its value.
var budgetRow = regexp.MustCompile("(?m)^\\| `([a-z0-9/]+)\\.([A-Za-z0-9]+)` \\| ([0-9]+) \\|")

// bounded are the packages that read what others wrote: each of their constants that is called
// a maximum is a row of the table. Those of the registry's file are in docs/registry-format.md.
var bounded = []string{"ingest", "registry/arch", "registry/expr", "registry/pyjson", "registry/tensor", "query/lang", "export/receipt", "export/staging"}

// noBudget are constants that are called a maximum and bound nothing that is read.
var noBudget = map[string]string{
	"ingest/sums.maxElement":           "the size of the largest element",
	"ingest/safetensors.maxFaults":     "how many faults are listed; all are counted",
	"ingest/folder.MaxShown":           "how many snapshots an error lists",
	"ingest/torch/pickle.maxProtocol":  "the newest version of the format",
	"registry/arch/lang.maxNearest":    "how many names an error suggests",
	"registry/arch/declare.maxMessage": "bytes of an error",
	"registry/tensor.maxNumber":        "the largest number that is taken out of a path",
	"registry/tensor.maxCompared":      "bytes of a name for which others are suggested",
	"registry/tensor.maxTails":         "endings that are compared to suggest one",
	"registry/tensor.maxPrefixes":      "prefixes that are compared to suggest one",
}

// TestBudgets holds the table of budgets against the constants it names, and finds those that it does not.
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
	stated := map[string]bool{}
	for _, row := range rows {
		stated[row[1]+"."+row[2]] = true
		if got, err := constantOf(row[1], row[2]); err != nil || got != row[3] {
			t.Errorf("%s.%s is %s (%v), the page says %s", row[1], row[2], got, err, row[3])
		}
	}
	declared := map[string]bool{}
	for _, top := range bounded {
		err := filepath.WalkDir(top, func(dir string, d fs.DirEntry, err error) error {
			if err != nil || !d.IsDir() || d.Name() == "testdata" || d.Name() == "ingesttest" {
				return err
			}
			dir = filepath.ToSlash(dir)
			return constants(dir, func(name string, value ast.Expr, at token.Position) error {
				if _, other := value.(*ast.SelectorExpr); other || !maximum.MatchString(name) {
					return nil // of another package: stated there
				}
				name = dir + "." + name
				declared[name] = true
				if stated[name] == (noBudget[name] != "") {
					t.Errorf("%s: %s has a row in the budgets of docs/formats.md, or a reason here not to", at, name)
				}
				return nil
			})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for name := range noBudget {
		if !declared[name] {
			t.Errorf("%s is not declared any more", name)
		}
	}
}

// maximum is how a budget is called.
var maximum = regexp.MustCompile(`^[mM]ax[A-Z]`)

// constantOf finds a constant of a package and gives its value in digits.
func constantOf(dir, name string) (digits string, err error) {
	err = constants(dir, func(n string, v ast.Expr, at token.Position) error {
		if n != name {
			return nil
		}
		value, err := types.Eval(token.NewFileSet(), nil, token.NoPos, types.ExprString(v))
		if err != nil || value.Value == nil {
			return fmt.Errorf("%s: %w", at, err)
		}
		digits = constant.ToInt(value.Value).ExactString()
		return nil
	})
	if digits == "" && err == nil {
		err = fmt.Errorf("%s declares no such constant", dir)
	}
	return digits, err
}

// constants visits the constants that a package declares, those of its tests left out.
func constants(dir string, visit func(name string, value ast.Expr, at token.Position) error) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.CONST {
				continue
			}
			for _, s := range g.Specs {
				v := s.(*ast.ValueSpec)
				for i, id := range v.Names {
					if i >= len(v.Values) {
						continue
					}
					if err := visit(id.Name, v.Values[i], fset.Position(id.Pos())); err != nil {
						return err
					}
				}
			}
		}
	}
	return err
}
