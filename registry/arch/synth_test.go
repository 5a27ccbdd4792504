package arch_test

import (
	"strings"
	"testing"

	"wreg/registry/arch"
	"wreg/registry/tensor"
	"wreg/synth"
)

// The hf layout of every config can be made from the config alone, with every
// shape told, and resolves to the mlx layout with nothing left over.
func TestHFLayout(t *testing.T) {
	for _, c := range everyAsked(t) {
		a, config := c.arch, c.config
		t.Run(c.name, func(t *testing.T) {
			want, err := a.Expect(t.Context(), config, arch.HF, nil)
			if err != nil {
				t.Fatal(err)
			}
			var list []tensor.Info
			for _, w := range want {
				if w.Shape == nil {
					t.Errorf("%s: its shape cannot be told (%s): a source statement is missing", w.Path, w.Rule)
					continue
				}
				dt := w.DType
				if dt == tensor.Invalid {
					dt = tensor.BF16
				}
				n, err := w.Shape.Bytes(dt)
				if err != nil {
					t.Fatal(err)
				}
				list = append(list, tensor.Info{Path: w.Path, DType: dt, Shape: w.Shape, Bytes: n})
			}
			if t.Failed() {
				return
			}
			if none, err := a.Resolve(t.Context(), config, newSource(nil)); err != nil || len(none.Gaps) == 0 {
				t.Errorf("a checkpoint without a tensor: %v, want gaps", err)
			}
			r, err := a.Resolve(t.Context(), config, newSource(list))
			if err != nil {
				t.Fatal(err)
			}
			complain(t, r)
			made := map[string]tensor.Shape{}
			for _, target := range r.Targets {
				if target.Make == nil {
					t.Errorf("%s is not made", target.Path)
					continue
				}
				made[target.Path] = target.Make.Shape
			}
			for _, p := range c.Params {
				if s, ok := made[p.Name]; !ok && !strings.Contains(p.Name, "lm_head") {
					t.Errorf("mlx_lm's %s is not made", p.Name)
				} else if ok && !s.Equal(p.Shape) && !packedOf(made, p.Name) {
					t.Errorf("%s is made as %v, mlx_lm's is %v", p.Name, s, p.Shape)
				}
			}
		})
	}
}

// Every model_type that is served has a small config, so that wreg synth can make
// a checkpoint of it.
func TestSmallConfigs(t *testing.T) {
	for _, name := range arch.Names(arch.MLX) {
		a, err := arch.ByName(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, served := range append(a.Aliases, a.Name) {
			text, err := synth.Config(served)
			if err != nil {
				t.Error(err)
				continue
			}
			config, err := arch.ParseConfig(text)
			if err != nil {
				t.Error(served, err)
				continue
			}
			if found, err := arch.Find(config); err != nil || found.Name != name {
				t.Errorf("%s: its small config finds %v, %v", served, found, err)
			}
		}
	}
}

// packedOf reports that the tensor is made packed: its scales are there too.
func packedOf(made map[string]tensor.Shape, path string) bool {
	_, ok := made[strings.TrimSuffix(path, "weight")+"scales"]
	return ok
}
