package arch_test

import (
	"strings"
	"testing"

	"wreg/registry/arch"
	"wreg/registry/tensor"
)

// A missing tensor beside the only stranger of its shape, with nearly its name, is called
// renamed, and so is the stranger; where two could be it, or the shape, the numbers in the
// name or the kind of numbers differ, it is missing as any other.
func TestRespelled(t *testing.T) {
	c := goldens(t)["nemotron_h"]
	const path, other = "backbone.embeddings.weight", "backbone.embedding.weight"
	k := find(c.Source, path)
	have := c.Source[k]
	rest := append(c.Source[:k:k], c.Source[k+1:]...)
	as := func(path string, d tensor.DType, s tensor.Shape) tensor.Info {
		return tensor.Info{Path: path, DType: d, Shape: s}
	}
	for name, x := range map[string]struct {
		strangers []tensor.Info
		renamed   bool
	}{
		"one stranger":                     {[]tensor.Info{as(other, have.DType, have.Shape)}, true},
		"another float":                    {[]tensor.Info{as(other, tensor.F32, have.Shape)}, true},
		"one of two is near":               {[]tensor.Info{as(other, have.DType, have.Shape), as("a.b.c.d", have.DType, have.Shape)}, true},
		"two strangers":                    {[]tensor.Info{as(other, have.DType, have.Shape), as("backbone.embed.weight", have.DType, have.Shape)}, false},
		"another shape":                    {[]tensor.Info{as(other, have.DType, tensor.Shape{have.Shape[1], have.Shape[0]})}, false},
		"codes":                            {[]tensor.Info{as(other, tensor.I8, have.Shape)}, false},
		"a far name":                       {[]tensor.Info{as("a.b.c.d", have.DType, have.Shape)}, false},
		"a number more":                    {[]tensor.Info{as("backbone.0.weight", have.DType, have.Shape)}, false},
		"no stranger":                      {nil, false},
		"what packed weights have besides": {[]tensor.Info{as("backbone.embeddings.weight_scale", have.DType, have.Shape)}, false},
	} {
		_, _, r := resolve(t, c, append(rest[:len(rest):len(rest)], x.strangers...))
		missing, extra := false, false
		for _, g := range r.Gaps {
			if said := strings.HasPrefix(g.Reason, "renamed?"); g.Status == arch.Missing && g.Path == path {
				missing = true
				if said != x.renamed || said != (g.Remedy == "rename "+other) || said && !strings.Contains(g.Reason, other) {
					t.Errorf("%s: %s; %s", name, g.Reason, g.Remedy)
				}
			} else if g.Path == other {
				extra = true
				if said != x.renamed || said && (g.Unless != "" || !strings.Contains(g.Reason, path)) {
					t.Errorf("%s: %s: %s, unless %q", name, g.Path, g.Reason, g.Unless)
				}
			}
		}
		if !missing || x.renamed && !extra {
			t.Errorf("%s: %+v", name, r.Gaps)
		}
	}
}
