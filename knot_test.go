package wreg_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What one must hold in the head at once: the files of a package, and those of its
// files that all need each other, its knot.
const (
	maxFiles = 14
	maxKnot  = 8
)

// larger lists the packages that are larger than that. Numbers only fall; a package
// that no longer needs its row loses it.
var larger = map[string]struct {
	files, knot int // 0: as for everyone
	why         string
}{}

// walled are the rooms whose packages are measured; devices and commands are flat.
var walled = []string{"export", "query", "registry", "ingest"}

type goPackage struct {
	ImportPath, Dir, Export string
	GoFiles                 []string
}

func TestPackagesHaveInnerWalls(t *testing.T) {
	exports := map[string]string{}
	var ours []goPackage
	for _, p := range goList(t) {
		exports[p.ImportPath] = p.Export
		dir, own := strings.CutPrefix(p.ImportPath, "wreg/")
		if own && slices.ContainsFunc(walled, func(room string) bool { return below(dir, room) }) {
			ours = append(ours, p)
		}
	}
	if len(ours) < 10 {
		t.Fatalf("only %d packages seen", len(ours))
	}
	fset := token.NewFileSet()
	imp := importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) {
		if exports[path] == "" {
			return nil, errors.New("go list gave no export data")
		}
		return os.Open(exports[path])
	})
	seen := map[string]bool{}
	for _, p := range ours {
		name := strings.TrimPrefix(p.ImportPath, "wreg/")
		seen[name] = true
		files, knot := maxFiles, maxKnot
		if row := larger[name]; row.why != "" {
			files, knot = max(files, row.files), max(knot, row.knot)
		}
		if n := len(p.GoFiles); n > files {
			t.Errorf("%s has %d files, at most %d are allowed: give what stands by itself a package", name, n, files)
		} else if n < files && files > maxFiles {
			t.Errorf("%s has %d files now: lower the %d in larger", name, n, files)
		}
		tied := knotOf(t, p, fset, imp)
		if n := len(tied); n > knot {
			t.Errorf("%s: %d files need each other, at most %d are allowed: %s", name, n, knot, strings.Join(tied, " "))
		} else if n < knot && knot > maxKnot {
			t.Errorf("%s: its knot is %d files now: lower the %d in larger", name, n, knot)
		}
	}
	for name, row := range larger {
		if !seen[name] || row.files <= maxFiles && row.knot <= maxKnot {
			t.Errorf("larger has a row for %s that it does not need", name)
		}
	}
}

func goList(t *testing.T) (packages []goPackage) {
	t.Helper()
	args := []string{"list", "-export", "-deps", "-json=ImportPath,Dir,Export,GoFiles"}
	for _, room := range walled {
		args = append(args, "./"+room+"/...")
	}
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "GOOS=linux") // the numbers are of one system's files
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(out))
	for {
		var p goPackage
		if err := d.Decode(&p); err == io.EOF {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}

// knotOf is the largest set of a package's files each of which needs all others,
// directly or not. A file needs another when it names what that one declares:
// functions, types, methods and fields.
func knotOf(t *testing.T, p goPackage, fset *token.FileSet, imp types.Importer) []string {
	t.Helper()
	var files []*ast.File
	for _, name := range p.GoFiles {
		f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	info := types.Info{Uses: map[*ast.Ident]types.Object{}}
	conf := types.Config{Importer: imp}
	pkg, err := conf.Check(p.ImportPath, fset, files, &info)
	if err != nil {
		t.Fatal(err)
	}
	needs := map[string]map[string]bool{}
	for id, obj := range info.Uses {
		if obj.Pkg() != pkg || obj.Parent() != pkg.Scope() && !member(obj) {
			continue
		}
		from, to := fset.Position(id.Pos()).Filename, fset.Position(obj.Pos()).Filename
		if needs[from] == nil {
			needs[from] = map[string]bool{}
		}
		needs[from][to] = true
	}
	largest := strong(needs)
	for i, f := range largest {
		largest[i] = filepath.Base(f)
	}
	slices.Sort(largest)
	return largest
}

// member reports a method or a field.
func member(obj types.Object) bool {
	switch o := obj.(type) {
	case *types.Func:
		return true
	case *types.Var:
		return o.IsField()
	}
	return false
}

// strong finds the largest strongly connected component (Tarjan).
func strong(needs map[string]map[string]bool) (largest []string) {
	index, low, open := map[string]int{}, map[string]int{}, map[string]bool{}
	var stack []string
	var visit func(string)
	visit = func(v string) {
		stack = append(stack, v)
		index[v], low[v], open[v] = len(index)+1, len(index)+1, true
		for w := range needs[v] {
			if index[w] == 0 {
				visit(w)
				low[v] = min(low[v], low[w])
			} else if open[w] {
				low[v] = min(low[v], index[w])
			}
		}
		if low[v] != index[v] {
			return
		}
		at := slices.Index(stack, v)
		component := slices.Clone(stack[at:])
		stack = stack[:at]
		for _, w := range component {
			open[w] = false
		}
		if len(component) > len(largest) {
			largest = component
		}
	}
	for v := range needs {
		if index[v] == 0 {
			visit(v)
		}
	}
	return largest
}

func TestStrong(t *testing.T) {
	needs := map[string]map[string]bool{
		"a": {"b": true}, "b": {"c": true, "a": true}, "c": {"d": true}, "d": {"e": true}, "e": {"f": true, "c": true}, "f": {}, "g": {"g": true},
	}
	got := strong(needs)
	slices.Sort(got)
	if !slices.Equal(got, []string{"c", "d", "e"}) {
		t.Errorf("the largest is %v, want c d e", got)
	}
}
