package wreg_test

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The map has a row for every package, and no row for what is none; the files that it
// names are there.
func TestMapIsComplete(t *testing.T) {
	data, err := os.ReadFile("docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	packages := map[string]bool{}
	eachFile(t, func(path string, _ []byte) {
		if dir := filepath.ToSlash(filepath.Dir(path)); dir != "." && !strings.HasSuffix(path, "_test.go") {
			packages[dir] = true
		}
	})
	_, section, _ := strings.Cut(string(data), "\n## Packages\n")
	section, _, _ = strings.Cut(section, "\n## ")
	rows := map[string]int{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| .+ \\|$").FindAllStringSubmatch(section, -1) {
		if rows[m[1]]++; !packages[m[1]] {
			t.Errorf("docs/architecture.md has a row for %s, which is not a package", m[1])
		}
	}
	for _, p := range slices.Sorted(maps.Keys(packages)) {
		if rows[p] != 1 {
			t.Errorf("docs/architecture.md has %d rows for the package %s in its table, not one: say there what it does", rows[p], p)
		}
	}
}

// named are files as prose names them: by their path, or its end.
var named = regexp.MustCompile("`([a-z_][A-Za-z0-9_./-]*\\.(?:go|py|md|arch|txt))`")

func TestFilesThatAreNamedExist(t *testing.T) {
	var files []string
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && path != "." && strings.HasPrefix(d.Name(), ".") {
			return fs.SkipDir
		}
		files = append(files, "/"+filepath.ToSlash(path))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range []string{"docs/architecture.md", "CONTRIBUTING.md"} {
		data, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		names := named.FindAllStringSubmatch(string(data), -1)
		if len(names) == 0 {
			t.Errorf("%s names no file", page)
		}
		for _, m := range names {
			if strings.Contains(m[1], "NAME") || strings.Contains(m[1], "VERB") {
				continue
			}
			if !slices.ContainsFunc(files, func(f string) bool { return strings.HasSuffix(f, "/"+m[1]) }) {
				t.Errorf("%s names %s, which is not there any more", page, m[1])
			}
		}
	}
}
