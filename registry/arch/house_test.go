package arch_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"wreg/registry/arch"
)

// familiesInGo lists every model_type that Go code may name, and why a file of
// archs/ cannot say it.
var familiesInGo = map[string]string{
	"registry/arch/declare/config.go: bailing_hybrid": "the one model_type that the class in config.json renames",
	"registry/arch/declare/config.go: bailing_moe_v3": "what it is renamed to",

	"export/mlxconfig/edits.go: gemma3":                "what mlx_lm changes in config.json when it reads it, as a table",
	"export/mlxconfig/edits.go: gemma4":                "the same",
	"export/mlxconfig/edits.go: gemma4_unified":        "the same",
	"export/mlxconfig/edits.go: mistral3":              "the same",
	"export/mlxconfig/edits.go: llava":                 "the same",
	"export/mlxconfig/edits.go: pixtral":               "the same",
	"export/mlxconfig/edits.go: lfm2-vl":               "the same",
	"export/mlxconfig/edits.go: qwen2_vl":              "the same",
	"export/mlxconfig/edits.go: qwen2_5_vl":            "the same",
	"export/mlxconfig/edits.go: qwen3_vl":              "the same",
	"export/mlxconfig/edits.go: qwen3_vl_moe":          "the same",
	"export/mlxconfig/edits.go: qwen3_5":               "the same",
	"export/mlxconfig/edits.go: qwen3_5_moe":           "the same",
	"export/mlxconfig/edits.go: prism_hadamard_qwen35": "the same",

	"view/tally.go: mamba": "a word in the names of tensors, not the model",

	"registry/method/table.go: bitnet": "what config.json calls the method, not the model",

	"cmd/wreg/demo.go: hunyuan":       "the model that the demo makes",
	"cmd/wreg/demoremote.go: hunyuan": "the same",
}

// No family needs Go: outside of tests no string of the program is a model_type,
// but for those listed with their reason.
func TestNoFamilyInGo(t *testing.T) {
	served := map[string]bool{}
	for _, name := range arch.Names(arch.MLX) {
		a, err := arch.ByName(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range append(a.Aliases, name) {
			served[n] = true
		}
	}
	found := map[string]bool{}
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && (name == "testdata" || strings.HasPrefix(name, ".") && path != root) {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		where, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				return true
			}
			text, err := strconv.Unquote(lit.Value)
			if err != nil || !served[text] {
				return true
			}
			at := filepath.ToSlash(where) + ": " + text
			found[at] = true
			if familiesInGo[at] == "" {
				t.Errorf("%s is named in Go: say it in archs/, or list it here with a reason", at)
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for at := range familiesInGo {
		if !found[at] {
			t.Errorf("%s is not there any more: take it off the list", at)
		}
	}
}

// mlx_lm was asked about every architecture: what testdata/mlx holds covers all.
func TestEveryFamilyAsked(t *testing.T) {
	asked := map[string]bool{}
	for _, c := range everyAsked(t) {
		asked[c.arch.Name] = true
	}
	for _, name := range arch.Names(arch.MLX) {
		if !asked[name] {
			t.Errorf("%s: no testdata/mlx; conformance/expected_params.py makes it", name)
		}
	}
}
