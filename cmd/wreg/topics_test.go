package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"wreg/query"
	"wreg/registry/tensor"
	"wreg/synth"
)

// Whatever a page of help lists has a text, and no line is wider than its terminal but a
// query, which is copied whole.
func TestTopics(t *testing.T) {
	for _, topic := range topics {
		for _, s := range topic.sections() {
			if len(s.rows) == 0 {
				t.Errorf("%s: %s is empty", topic.name, s.title)
			}
			seen := map[string]bool{}
			for _, r := range s.rows {
				if len(r) != len(s.heads) || slices.Contains(r, "") || seen[r[0]] {
					t.Errorf("%s: %s: row %q", topic.name, s.title, r)
				}
				seen[r[0]] = true
			}
		}
		for _, width := range []int{40, 80, 100} {
			var b strings.Builder
			if err := topic.print(&b, width); err != nil {
				t.Fatal(err)
			}
			for line := range strings.SplitSeq(b.String(), "\n") {
				if columnsOf(line) > width && !strings.HasPrefix(line, topicIndent+topicIndent) || strings.TrimRight(line, " ") != line {
					t.Errorf("%s: %q at %d columns", topic.name, line, width)
				}
			}
		}
	}
	for name, want := range map[string]int{"columns": len(query.Language().Columns) + len(query.Language().GapColumns) + len(tensor.TrustAbout),
		"functions": len(query.Language().Functions), "formats": len(formats), "environment": len(environment)} {
		topic, ok := topicNamed(name)
		n := 0
		for _, s := range topic.sections() {
			n += len(s.rows)
		}
		if !ok || n != want {
			t.Errorf("%s: %d rows, want %d", name, n, want)
		}
	}
}

// Every recipe runs as it is printed, but for MODEL.
func TestCookbook(t *testing.T) {
	golden, err := synth.Golden(filepath.Join(goldens, "hunyuan.json"))
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	t.Setenv("WREG_REGISTRY", "r.db")
	if err := golden.Write("hunyuan", synth.Options{}); err != nil {
		t.Fatal(err)
	}
	wreg := func(args ...string) {
		var out strings.Builder
		if got := run(t.Context(), args, strings.NewReader(""), io.Discard, &out); got != exitFine {
			t.Errorf("%q: exit status %d: %s", args, got, out.String())
		}
	}
	wreg("ingest", "hunyuan")
	for _, r := range query.Cookbook {
		wreg("query", strings.ReplaceAll(r.Query, "MODEL", "hunyuan"))
		if !strings.HasSuffix(r.Question, "?") {
			t.Errorf("no question: %s", r.Question)
		}
	}
}

// reads are the functions that read a variable without naming it.
var reads = map[string][]string{"UserHomeDir": {"HOME"}, "MkdirTemp": {"TMPDIR"}, "TempDir": {"TMPDIR"}, "LoadDefaultConfig": {
	"AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_EC2_METADATA_DISABLED",
}}

// The table of variables has those that the source reads, and no others.
func TestEnvironmentIsWhatTheSourceReads(t *testing.T) {
	told := map[string]bool{}
	for _, v := range environment {
		told[v.name] = true
	}
	found := map[string]bool{}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := d.Name(); d.IsDir() && path != "../.." && (name[0] == '.' || name == "testdata" || strings.HasSuffix(name, "test")) {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		for name := range variablesIn(t, path) {
			found[name] = true
			if !told[name] {
				t.Errorf("%s reads %s, which wreg help environment does not list", path, name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range told {
		if !found[name] {
			t.Errorf("wreg help environment lists %s, which nothing reads", name)
		}
	}
}

// variablesIn are the variables that a file reads: what Getenv and LookupEnv are called
// with, a literal or a constant of the package.
func variablesIn(t *testing.T, path string) map[string]bool {
	names := map[string]bool{}
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Error(err)
		return names
	}
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		called := ""
		switch f := call.Fun.(type) {
		case *ast.SelectorExpr:
			called = f.Sel.Name
		case *ast.Ident:
			called = f.Name
		}
		for _, name := range reads[called] {
			names[name] = true
		}
		if low := strings.ToLower(called); low != "getenv" && low != "lookupenv" || len(call.Args) != 1 {
			return true
		}
		switch arg := call.Args[0].(type) {
		case *ast.BasicLit:
			name, _ := strconv.Unquote(arg.Value)
			names[name] = true
		case *ast.Ident:
			name := constantIn(t, filepath.Dir(path), arg.Name)
			if name == "" && !(arg.Name == "name" && strings.HasSuffix(path, "ingest/folder/hub.go")) { // whatever a path names
				t.Errorf("%s reads a variable that is not told: %s", path, arg.Name)
			} else if name != "" {
				names[name] = true
			}
		}
		return true
	})
	return names
}

// constantIn is the value of a constant of a package.
func constantIn(t *testing.T, dir, name string) (value string) {
	files, err := filepath.Glob(dir + "/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if spec, ok := n.(*ast.ValueSpec); ok && spec.Names[0].Name == name && len(spec.Values) == 1 {
				if lit, ok := spec.Values[0].(*ast.BasicLit); ok {
					value, _ = strconv.Unquote(lit.Value)
				}
			}
			return true
		})
	}
	return value
}

// There is a page of the manual for every command and every topic, with every flag, the
// same each time; and no text is taken for a request.
func TestManPages(t *testing.T) {
	root := (&app{}).root()
	pages := map[string]string{}
	for _, p := range manPages(root) {
		pages[p.file] = p.text
	}
	for _, p := range manPages((&app{}).root()) {
		if pages[p.file] != p.text {
			t.Errorf("%s differs", p.file)
		}
		for line := range strings.SplitSeq(p.text, "\n") {
			request, _, _ := strings.Cut(line, " ")
			if strings.HasPrefix(line, "'") || strings.HasPrefix(line, ".") && !slices.Contains([]string{".TH", ".SH", ".TP", ".PP", ".B", ".nf", ".fi", ".nh"}, request) {
				t.Errorf("%s: %q", p.file, line)
			}
		}
	}
	for _, topic := range topics {
		text := pages["wreg-help-"+topic.name+".1"]
		for _, s := range topic.sections() {
			for _, r := range s.rows {
				if !strings.Contains(text, roffText(r[len(r)-1])) {
					t.Errorf("the page of %s lacks %q", topic.name, r)
				}
			}
		}
	}
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Hidden {
			return
		}
		text := pages[strings.ReplaceAll(c.CommandPath(), " ", "-")+".1"]
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if !strings.Contains(text, roffText("--"+f.Name)) {
				t.Errorf("the page of %s lacks --%s", c.CommandPath(), f.Name)
			}
		})
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(root)
	dir := t.TempDir()
	var out strings.Builder
	if got := run(t.Context(), []string{"man", dir + "/man1"}, strings.NewReader(""), &out, &out); got != exitFine {
		t.Fatal(out.String())
	}
	if text, err := os.ReadFile(dir + "/man1/wreg-help-columns.1"); err != nil || string(text) != pages["wreg-help-columns.1"] {
		t.Errorf("wreg-help-columns.1: %v", err)
	}
}
