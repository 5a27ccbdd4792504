package tensor

import (
	"fmt"
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

func TestNearPattern(t *testing.T) {
	var paths []string
	for layer := range 4 {
		for _, module := range []string{"self_attn.q_proj", "mlp.down_proj", "mlp.up_proj", "mlp.experts.0.up_proj"} {
			paths = append(paths, fmt.Sprintf("model.layers.%d.%s", layer, module))
		}
	}
	paths = append(paths, "lm_head", "model.embed_tokens")
	for pattern, want := range map[string]string{
		"lm_haed":                                "lm_head",
		"LM_HEAD":                                "lm_head",
		"*.donw_proj":                            "*.down_proj",
		"mlp.down":                               "mlp.down_proj",
		"downproj":                               "down_proj",
		"model.layers.2.mlp.donw_proj":           "model.layers.2.mlp.down_proj",
		"layers.9.mlp.down_proj":                 "layers.0.mlp.down_proj",
		"layers.{0..1}.mlp.down_porj":            "layers.{0..1}.mlp.down_proj",
		"layer.*.mlp.down_proj":                  "layers.*.mlp.down_proj",
		"model.layers.1.self_atn.q_proj":         "model.layers.1.self_attn.q_proj",
		"model.layers.1.self_attn.q_proj.weight": "model.layers.1.self_attn.q_proj",
		"no.such.module":                         "",
		"":                                       "",
		"*":                                      "",
		"[":                                      "",
		strings.Repeat("a", 5000):                "",
	} {
		if got := NearPattern(pattern, paths); got != want {
			t.Errorf("NearPattern(%.60q) = %q, want %q", pattern, got, want)
		}
	}
}
