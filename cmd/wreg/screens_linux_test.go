package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"wreg/synth"
)

// changing is what differs from run to run.
var changing = regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\dZ)?`)

// What people see at 80 and 120 columns, as it was looked at once: testdata/screens. No
// line is wider than the terminal, none is blank and none ends in a space.
func TestScreens(t *testing.T) {
	screens, err := filepath.Abs("testdata/screens")
	if err != nil {
		t.Fatal(err)
	}
	golden, err := synth.Golden(filepath.Join(goldens, "hunyuan.json"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	t.Chdir(dir)
	t.Setenv("WREG_REGISTRY", "r.db")
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "")
	silent := func(args ...string) {
		t.Helper()
		var said strings.Builder
		if got := run(context.Background(), append(args, "--quiet"), strings.NewReader(""), &said, &said); got != exitFine {
			t.Fatalf("%q: status %d: %s", args, got, said.String())
		}
	}
	if err := golden.Write("hunyuan", synth.Options{}); err != nil {
		t.Fatal(err)
	}
	silent("synth", "--arch", "deepseek_v3", "--layers", "61", "--experts", "8", "--out", "deep",
		"--without", "{layers.17.mlp.experts.{2..3}.up_proj.weight,layers.44.self_attn.o_proj.weight}")
	silent("synth", "--arch", "hunyuan", "--layers", "30", "--experts", "8", "--out", "holes",
		"--without", "{layers.*.mlp.experts.{1,4}.*,layers.{0,3,9,21}.self_attn.o_proj.weight,model.norm.weight}")
	silent("ingest", "hunyuan", "deep")
	silent("export", "hunyuan", "-q", "--out", "hunyuan-4bit", "--no-sync")
	for _, columns := range []uint16{80, 120} {
		for _, s := range []struct {
			name string
			args []string
		}{
			{"ingest", []string{"ingest", "holes", "--name", fmt.Sprint("holes", columns)}},
			{"show-whole", []string{"show", "hunyuan"}},
			{"show-gaps", []string{"show", "deep"}},
			{"show-4bit", []string{"show", "hunyuan-4bit"}},
			{"show-tensor", []string{"show", "hunyuan", "model.layers.0.mlp.experts.0.up_proj.weight"}},
			{"coverage", []string{"coverage", "deep"}},
			{"coverage-whole", []string{"coverage", "hunyuan"}},
			{"coverage-expert", []string{"coverage", "deep", "--by", "expert", "--layer", "17"}},
			{"missing", []string{"query", "missing mlp.switch_mlp.* in hunyuan"}},
			{"dry-run", []string{"export", "hunyuan", "--out", "out", "--dry-run", "-j", "2"}},
			{"dry-run-4bit", []string{"export", "hunyuan", "--out", "out", "--dry-run", "-j", "2", "-q"}},
			{"stats", []string{"stats", "hunyuan"}},
			{"diff", []string{"diff", "hunyuan", "hunyuan-4bit"}},
			{"query-error", []string{"query", "find model.layers.0.self_attn.q_proj.weight, model.layers.0.self_attn.k_proj.weight in hunyuan where layr > 3"}},
			{"refused", []string{"export", fmt.Sprint("holes", columns), "--out", "out"}},
		} {
			slave, read := terminal(t, columns)
			run(context.Background(), s.args, strings.NewReader(""), slave, slave)
			out := read()
			if at := strings.LastIndex(out, "\x1b[K"); at >= 0 { // what a bar left behind
				out = out[at+len("\x1b[K"):]
			}
			out = escapes.ReplaceAllString(strings.ReplaceAll(out, "\r\n", "\n"), "")
			for i, line := range strings.Split(strings.TrimSuffix(out, "\n"), "\n") {
				if columnsOf(line) > int(columns) || strings.TrimRight(line, " ") != line || line == "" {
					t.Errorf("%s: line %d of %d columns: %q", s.name, i, columns, line)
				}
			}
			if strings.HasPrefix(s.name, "show-") && strings.Count(out, "\n") > 20 {
				t.Errorf("%s has %d lines", s.name, strings.Count(out, "\n"))
			}
			file := filepath.Join(screens, fmt.Sprintf("%s-%d.txt", s.name, columns))
			now := changing.ReplaceAllString(withoutPath(out, dir), "2026-11-28 07:06")
			if *update {
				if err := os.WriteFile(file, []byte(now), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			if was, err := os.ReadFile(file); err != nil || string(was) != now {
				t.Errorf("%s is not as it was, %v; -update writes it:\n%s", file, err, now)
			}
		}
	}
}

// withoutPath puts a short path where a temporary one was, whole or with its middle cut.
func withoutPath(out, dir string) string {
	lines := strings.Split(out, "\n")
	for i, l := range lines {
		if at := strings.Index(l, "from     /"); at == 0 {
			lines[i] = "from     /models/" + filepath.Base(l)
		}
		lines[i] = strings.ReplaceAll(lines[i], dir, "/models")
	}
	return strings.Join(lines, "\n")
}
