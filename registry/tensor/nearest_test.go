package tensor

import (
	"math"
	"strings"
	"testing"
)

func TestEditDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "abc", 3}, {"layer", "layer", 0}, {"laier", "layer", 1}, {"layre", "layer", 1},
		{"ab", "ba", 1}, {"abc", "cab", 2}, {"héé", "hé", 1}, {"kitten", "sitting", 3},
		{strings.Repeat("a", 256), "a", math.MaxInt32},
	} {
		if got := EditDistance(c.a, c.b); got != c.want {
			t.Errorf("%q to %q: %d, want %d", c.a, c.b, got, c.want)
		}
		if got := EditDistance(c.b, c.a); got != c.want {
			t.Errorf("%q to %q: %d, want %d", c.b, c.a, got, c.want)
		}
	}
}
