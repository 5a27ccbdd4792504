package arch_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"wreg/registry/arch"
)

var update = flag.Bool("update", false, "rewrite docs/architectures.md")

const overview = "../../docs/architectures.md"

// docs/architectures.md is made of the .arch files and is current.
func TestOverview(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Architectures\n\nMade from the files in `registry/arch/archs` by `go test ./registry/arch -run TestOverview -update`. Steps: what turns the hf layout into the mlx one; none: a renamed or plain copy.\n\n")
	var lines []int
	var served int
	var rows strings.Builder
	for _, name := range arch.Names(arch.MLX) {
		a, err := arch.ByName(name)
		if err != nil {
			t.Fatal(err)
		}
		steps, err := a.Steps()
		if err != nil {
			t.Fatal(name, err)
		}
		lines = append(lines, a.Lines())
		served += 1 + len(a.Aliases)
		fmt.Fprintf(&rows, "| %s | %s | %s | %s |\n", name, strings.Join(a.Aliases, ", "), strings.Join(steps, ", "), strings.Join(a.Notes(), "; "))
	}
	slices.Sort(lines)
	median := lines[len(lines)/2]
	if median >= 40 {
		t.Errorf("the median file has %d lines: a block is missing", median)
	}
	fmt.Fprintf(&b, "%d files serve %d model types; the median file has %d lines.\n\n| architecture | also serves | steps | notes |\n|---|---|---|---|\n%s", len(lines), served, median, rows.String())
	if *update {
		if err := os.WriteFile(overview, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(overview)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != b.String() {
		t.Errorf("%s is not current: go test ./registry/arch -run TestOverview -update", overview)
	}
}
