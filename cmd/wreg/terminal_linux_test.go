package main

import (
	"context"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"wreg/synth"
)

var escapes = regexp.MustCompile("\x1b\\[[0-9;]*[mK]")

// No line of a table is wider than its terminal, nothing that is cut looks like another,
// and no blank line stands under a header.
func TestTablesFitTheTerminal(t *testing.T) {
	golden, err := synth.Golden(filepath.Join(goldens, "hunyuan.json"))
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	t.Setenv("WREG_REGISTRY", "r.db")
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "")
	if err := golden.Write("hunyuan", synth.Options{}); err != nil {
		t.Fatal(err)
	}
	golden.Source = golden.Without("experts.2.up_proj")
	if err := golden.Write("a-model-with-quite-a-long-name-for-a-folder", synth.Options{}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"hunyuan", "a-model-with-quite-a-long-name-for-a-folder"} {
		if got := run(context.Background(), []string{"ingest", name, "--quiet"}, strings.NewReader(""), &strings.Builder{}, &strings.Builder{}); got != exitFine {
			t.Fatal(got)
		}
	}
	long := "a-model-with-quite-a-long-name-for-a-folder"
	for _, columns := range []uint16{30, 80, 120} {
		for _, args := range [][]string{{"ls"}, {"show", "hunyuan"}, {"query", "missing mlp.switch_mlp.* in " + long}, {"diff", "hunyuan", long}, {"diff", "hunyuan", long, "--values", "--quiet"},
			{"stats", "hunyuan"}, {"coverage", long}, {"coverage", long, "--by", "expert", "--layer", "3"}, {"show", long, "--all"}, {"show", "hunyuan", "model.norm.weight"},
			{"export", "hunyuan", "--out", "x", "--dry-run", "-q"}, {"export", long, "--out", "x"}, {"export", "hunyuan", "--out", "x", "--memory", "1"}, {"verify", "hunyuan"}, {"ingest", long}, {"demo"}, {"demo", "--remote"}, {"lint", long}, {"lint", "--rules"}, {"arch", "ls"}, {"query", "find * in hunyuan select path, hash, min, max, bytes, file", "--expand"}} {
			if args[0] == "demo" && columns < 80 { // a path that is typed is not broken
				continue
			}
			slave, read := terminal(t, columns)
			run(context.Background(), args, strings.NewReader(""), slave, slave)
			out := escapes.ReplaceAllString(strings.ReplaceAll(read(), "\r\n", "\n"), "")
			for i, line := range strings.Split(strings.TrimSuffix(out, "\n"), "\n") {
				line = line[strings.LastIndexByte(line, '\r')+1:] // a bar was there
				if n := columnsOf(line); n > int(columns) {
					t.Errorf("%q: %d columns of %d: %q", args, n, columns, line)
				}
				if strings.TrimRight(line, " ") != line || line == "" && columns > 30 && args[0] != "demo" {
					t.Errorf("%q: line %d of %d columns: %q", args, i, columns, line)
				}
			}
		}
	}
}

// What is missing, changed and extra, what passes and what fails can be told apart at a glance,
// unless colours are not wanted.
func TestColoursTellApart(t *testing.T) {
	golden, err := synth.Golden(filepath.Join(goldens, "hunyuan.json"))
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	t.Setenv("WREG_REGISTRY", "r.db")
	if err := golden.Write("whole", synth.Options{}); err != nil {
		t.Fatal(err)
	}
	golden.Seed++
	golden.Source = golden.Without("layers.3.mlp.experts.2.up_proj")
	if err := golden.Write("other", synth.Options{}); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	if got := run(t.Context(), []string{"ingest", "whole", "other", "--quiet"}, strings.NewReader(""), &said, &said); got != exitFine {
		t.Fatal(got, said.String())
	}
	seen := func(term, no string, args ...string) string {
		t.Setenv("TERM", term)
		t.Setenv("NO_COLOR", no)
		slave, read := terminal(t, 100)
		run(t.Context(), args, strings.NewReader(""), slave, slave)
		return read()
	}
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"query", "gaps in other against whole"}, []string{"\x1b[31mmissing", "\x1b[33mchanged"}},
		{[]string{"query", "gaps in whole against other"}, []string{"\x1b[36mextra"}},
		{[]string{"accel", "check"}, []string{"\x1b[32mpass"}},
	} {
		out := seen("xterm", "", c.args...)
		for _, want := range c.want {
			if !strings.Contains(out, want) {
				t.Errorf("%q: no %q in %q", c.args, want, out)
			}
		}
		for _, out := range []string{seen("dumb", "", c.args...), seen("xterm", "1", c.args...)} {
			if strings.Contains(out, "\x1b[3") || strings.Contains(out, "\x1b[1m") {
				t.Errorf("%q has colours where none are wanted: %q", c.args, out)
			}
		}
	}
}

// A command that is broken can be pasted.
func TestContinued(t *testing.T) {
	for _, c := range []struct {
		line  string
		width int
		want  string
	}{
		{"$ wreg a bb ccc", 0, "$ wreg a bb ccc"},
		{"$ wreg a bb ccc", 15, "$ wreg a bb ccc"},
		{"$ wreg a bb ccc", 14, "$ wreg a bb \\\n  ccc"},
		{"$ wreg query 'find a in b'", 24, "$ wreg query \\\n  'find a in b'"},
		{"$ wreg query 'find a in b c d e f g'", 20, "$ wreg query 'find a in b c d e f g'"},
		{"$ wreg ingest /a/path/of/many/segments", 20, "$ wreg ingest /a/path/of/many/segments"},
	} {
		if got := continued(c.line, c.width); got != c.want {
			t.Errorf("continued(%q, %d) = %q, want %q", c.line, c.width, got, c.want)
		}
	}
}

func TestBreakLine(t *testing.T) {
	for _, c := range []struct {
		text   string
		width  int
		indent int
		want   string
	}{
		{"one two three", 8, 2, "one two|  three"},
		{"type wreg 'find a b' now", 14, 0, "type wreg|'find a b' now"},
		{"a.long.path.weight", 9, 0, "a.long.|path.|weight"},
		{"层层层", 4, 0, "层层|层"},
		{"x", 0, 0, "x"},
		{"abc", 1, 2, "a|b|c"},
	} {
		if got := strings.Join(breakLine(c.text, c.width, c.indent), "|"); got != c.want {
			t.Errorf("breakLine(%q, %d) = %q, want %q", c.text, c.width, got, c.want)
		}
	}
}
