package main

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite what the tests compare with")

const readme = "../../README.md"

// The README shows the demo's own output.
func TestReadme(t *testing.T) {
	data, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	now := section(t, string(data), "demo", demoOutput(t))
	if now == string(data) {
		return
	}
	if !*update {
		t.Fatal("README.md is not current; run go test ./cmd/wreg -run Readme -update")
	}
	if err := os.WriteFile(readme, []byte(now), 0o666); err != nil {
		t.Fatal(err)
	}
}

// section puts text between the comments that mark a section.
func section(t *testing.T, doc, name, text string) string {
	t.Helper()
	head, rest, ok := strings.Cut(doc, "<!-- "+name+" -->\n")
	_, tail, ok2 := strings.Cut(rest, "<!-- /"+name+" -->")
	if !ok || !ok2 {
		t.Fatalf("README.md: no section %s", name)
	}
	return head + "<!-- " + name + " -->\n```\n" + text + "\n```\n<!-- /" + name + " -->" + tail
}

// demoOutput is what the demo prints, with what differs from run to run taken out.
func demoOutput(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	var out strings.Builder
	if status := run(context.Background(), []string{"demo"}, strings.NewReader(""), &out, &out); status != exitFine {
		t.Fatalf("demo: exit status %d\n%s", status, out.String())
	}
	s := strings.ReplaceAll(out.String(), dir+string(filepath.Separator), "/tmp/")
	s = regexp.MustCompile(`wreg-demo-\d+`).ReplaceAllString(s, "wreg-demo")
	s = regexp.MustCompile(`Done in [0-9.]+ s`).ReplaceAllString(s, "Done in 0.3 s")
	return strings.TrimSpace(s)
}
