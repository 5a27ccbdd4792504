package pathsort

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func check(t interface{ Fatalf(string, ...any) }, paths []string) {
	order := Order(len(paths), func(i int) string { return paths[i] })
	if order == nil {
		if !slices.IsSorted(paths) {
			t.Fatalf("%q taken for sorted", paths)
		}
		return
	}
	want := make([]uint32, len(paths))
	for i := range want {
		want[i] = uint32(i)
	}
	slices.SortStableFunc(want, func(a, b uint32) int { return strings.Compare(paths[a], paths[b]) })
	if !slices.Equal(order, want) {
		t.Fatalf("order of %q is %v, want %v", paths, order, want)
	}
}

func TestOrder(t *testing.T) {
	check(t, nil)
	check(t, []string{"a"})
	check(t, []string{"b", "a"})
	var experts, ends []string
	for l := range 12 {
		for e := range 20 {
			for _, p := range []string{"up", "gate", "down"} {
				experts = append(experts, fmt.Sprintf("model.layers.%d.mlp.experts.%d.%s_proj.weight", l, e, p))
			}
		}
	}
	check(t, experts)
	for i := range 40 { // paths that end where others go on, with zero bytes, twice
		p := "model.layers." + strings.Repeat("\x00", i%20)
		ends = append(ends, p, p+"a")
	}
	check(t, ends)
}

// TestAnyPaths compares with the standard sort on few letters, so that prefixes
// and equal paths abound.
func TestAnyPaths(t *testing.T) {
	part := rapid.SampledFrom([]string{"", "a", "b", "\x00", ".", "layers.1", "layers.10", "abcdefgh", "abcdefgh\x00"})
	rapid.Check(t, func(t *rapid.T) {
		var paths []string
		for _, p := range rapid.SliceOfN(rapid.SliceOfN(part, 0, 4), 0, 80).Draw(t, "paths") {
			paths = append(paths, strings.Join(p, ""))
		}
		check(t, paths)
	})
}
