package tensor

import (
	"slices"
	"testing"
)

func TestList(t *testing.T) {
	l := List{{Path: "b.10"}, {Path: "a"}, {Path: "b.2"}}
	l.Sort()
	var paths []string
	for x := range l.All {
		if paths = append(paths, x.Path); len(paths) == 2 {
			break
		}
	}
	if !slices.Equal(paths, []string{"a", "b.10"}) {
		t.Errorf("the first two are %v", paths)
	}
	for _, c := range []struct {
		path string
		at   int
		ok   bool
	}{{"", 0, false}, {"a", 0, true}, {"b", 1, false}, {"b.10", 1, true}, {"b.2", 2, true}, {"c", 3, false}} {
		at, ok := l.Find(c.path)
		x, found := l.Lookup(c.path)
		if at != c.at || ok != c.ok || found != c.ok || found && x.Path != c.path {
			t.Errorf("%q: %d, %v; Lookup %q, %v", c.path, at, ok, x.Path, found)
		}
	}
}
