package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// pages are those whose blocks of commands run here, in order and in one folder, with how many
// of their blocks do not: each of these says why before it, so that they cannot grow unseen.
var pages = map[string]int{
	"docs/getting-started.md": 3,
	"docs/python.md":          1,
}

var (
	beforePage = regexp.MustCompile(`(?m)^<!-- before: (.*) -->$`)
	shellBlock = regexp.MustCompile("(?ms)^(<!-- not run: [^\n]+ -->\n)?```(?:sh|console)\n(.*?)^```$")
)

// Commands of the documentation work as they stand there: status 1 is an answer, 2 a mistake.
func TestPages(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for page, unrun := range pages {
		t.Run(filepath.Base(page), func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("../..", page))
			if err != nil {
				t.Fatal(err)
			}
			script := fmt.Sprintf("set -eu\nwreg() { WREG_AS_MAIN=1 '%s' \"$@\" || test $? = 1; }\n", self)
			for _, m := range beforePage.FindAllSubmatch(text, -1) {
				script += string(m[1]) + "\n"
			}
			ran, not := 0, 0
			for _, m := range shellBlock.FindAllSubmatch(text, -1) {
				if len(m[1]) > 0 {
					not++
					continue
				}
				ran++
				script += string(m[2])
			}
			if not != unrun || ran == 0 {
				t.Errorf("%d blocks run and %d do not, expected are %d", ran, not, unrun)
			}
			dir := t.TempDir()
			c := exec.Command("sh", "-c", script)
			c.Dir = dir
			c.Env = append(os.Environ(), "WREG_REGISTRY="+filepath.Join(dir, "registry.db"), "HOME="+dir)
			var out bytes.Buffer
			c.Stdout, c.Stderr = &out, &out
			if err := c.Run(); err != nil {
				t.Errorf("%v:\n%s\n%s", err, script, strings.TrimSpace(out.String()))
			}
		})
	}
}
