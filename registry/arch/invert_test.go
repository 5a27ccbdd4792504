package arch_test

import (
	"bytes"
	"strings"
	"testing"

	"wreg/registry/tensor"
	"wreg/synth"
)

// hf → mlx → hf gives every invertible tensor back, byte for byte; of the others
// the reason is told.
func TestInvert(t *testing.T) {
	for name, c := range goldens(t) {
		t.Run(name, func(t *testing.T) {
			a, config, r := resolve(t, c, c.Source)
			stored := newSource(c.Source)
			made := map[string][]byte{}
			var list []tensor.Info
			for _, target := range r.Targets {
				if target.Make == nil {
					t.Fatal("a gap")
				}
				b, err := interpret(target.Make, func(path string) ([]byte, error) {
					i, _ := stored.Lookup(path)
					b := make([]byte, i.Bytes)
					return b, synth.Fill(b, path, c.Seed, i.DType, 0)
				})
				if err != nil {
					t.Fatal(err)
				}
				made[target.Path] = b
				list = append(list, tensor.Info{Path: target.Path, DType: target.Make.DType, Shape: target.Make.Shape, Bytes: int64(len(b))})
			}
			back, err := a.Invert(config, newSource(list))
			if err != nil {
				t.Fatal(err)
			}
			reasons := map[string]string{}
			for _, g := range back.Gaps {
				reasons[g.Path] = g.Reason
				if !strings.Contains(g.Reason, "rounded") && !strings.Contains(g.Reason, "quantized") {
					t.Errorf("%s: %s", g.Path, g.Reason)
				}
			}
			if len(back.Unused) > 0 && len(reasons) == 0 {
				t.Errorf("unused: %v", back.Unused)
			}
			given := map[string]bool{}
			for _, target := range back.Targets {
				if target.Make == nil {
					continue
				}
				given[target.Path] = true
				i, ok := stored.Lookup(target.Path)
				if !ok {
					t.Errorf("%s was not there", target.Path)
					continue
				}
				b, err := interpret(target.Make, func(path string) ([]byte, error) { return made[path], nil })
				if err != nil {
					t.Fatal(err)
				}
				want := make([]byte, i.Bytes)
				if err := synth.Fill(want, target.Path, c.Seed, i.DType, 0); err != nil {
					t.Fatal(err)
				}
				if target.Make.DType == i.DType && (!bytes.Equal(b, want) || !target.Make.Shape.Equal(i.Shape)) {
					t.Errorf("%s comes back otherwise, by %v", target.Path, target.Rule)
				}
			}
			if strings.HasSuffix(name, "-fp8") { // comes back as the numbers it decodes to, without its scales
				return
			}
			dropped := map[string]bool{}
			for _, d := range r.Drops {
				dropped[d.Path] = true
			}
			for _, i := range c.Source {
				if !given[i.Path] && !dropped[i.Path] && reasons[i.Path] == "" && i.DType != tensor.F8E4M3 && len(reasons) == 0 {
					t.Errorf("%s does not come back", i.Path)
				}
			}
		})
	}
}
