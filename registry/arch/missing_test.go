package arch_test

import (
	"slices"
	"testing"

	"wreg/registry/arch"
	"wreg/registry/tensor"
)

// unneeded are the tensors that a checkpoint may lack and be whole, and why; what a
// rule drops or calls optional need not stand here.
var unneeded = map[string]string{
	"minicpm: lm_head.weight": "a head of its own is a choice: without one it is the embedding",
}

// One tensor of each kind left out of each golden is a gap of that very name, in a
// resolution and against the hf layout: a scale as well as a weight.
func TestEveryMissing(t *testing.T) {
	for name, c := range goldens(t) {
		t.Run(name, func(t *testing.T) {
			a, config, whole := resolve(t, c, c.Source)
			dropped := map[string]bool{}
			for _, d := range whole.Drops {
				dropped[d.Path] = true
			}
			want, err := a.Expect(t.Context(), config, arch.HF, newSource(c.Source))
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range want {
				dropped[w.Path] = dropped[w.Path] || w.Optional
			}
			tried := map[string]bool{}
			for k := len(c.Source) - 1; k >= 0; k-- { // the last of each kind: what guards look at is mostly the first
				gone := c.Source[k].Path
				kind, _ := tensor.SplitPath(gone)
				if tried[kind] || dropped[gone] || unneeded[name+": "+kind] != "" {
					continue
				}
				tried[kind] = true
				list := slices.Delete(slices.Clone(c.Source), k, k+1)
				_, _, r := resolve(t, c, list)
				is := func(g arch.Gap) bool { return g.Status == arch.Missing && g.Path == gone }
				if !slices.ContainsFunc(r.Gaps, is) {
					t.Errorf("without %s: %d gaps: %+v", gone, len(r.Gaps), first(r.Gaps))
				}
				gaps, err := a.Against(t.Context(), config, arch.HF, newSource(list))
				if err != nil || !slices.ContainsFunc(gaps, is) {
					t.Errorf("against hf without %s: %d gaps, %v: %+v", gone, len(gaps), err, first(gaps))
				}
			}
		})
	}
}
