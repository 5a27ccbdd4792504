package gaps

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"wreg/registry"
	"wreg/registry/arch"
	"wreg/registry/tensor"
)

func TestRangeOfExperts(t *testing.T) {
	at := func(layer, expert int) tensor.Info {
		return tensor.Info{Path: fmt.Sprintf("layers.%d.experts.%d.w", layer, expert), DType: tensor.BF16, Shape: tensor.Shape{2}, Bytes: 4}
	}
	var grid, holed []tensor.Info
	for layer := range 3 {
		for expert := range 4 {
			grid = append(grid, at(layer, expert))
			if layer != 1 || expert != 2 {
				holed = append(holed, at(layer, expert))
			}
		}
	}
	odd := slices.Clone(grid)
	odd[3].DType = tensor.F16
	r, err := registry.Open(filepath.Join(t.TempDir(), "registry.db"), registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for name, tensors := range map[string][]tensor.Info{"grid": grid, "holed": holed, "odd": odd} {
		if _, err := r.Put(t.Context(), registry.Revision{Model: name}, tensors); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		model    string
		layer    int
		from, to int64
		want     bool
	}{
		{"grid", 0, 0, 4, true}, {"grid", 2, 1, 3, true}, {"grid", 0, 0, 5, false}, {"grid", 3, 0, 4, false}, {"grid", 0, 4, 4, false},
		{"holed", 0, 0, 4, true}, {"holed", 1, 0, 4, false}, {"holed", 1, 0, 2, true}, {"holed", 2, 0, 5, false}, {"odd", 0, 0, 4, false},
	} {
		err := r.View(func(s *registry.Snapshot) error {
			v, err := s.Find(c.model)
			if err != nil {
				return err
			}
			k := &modelView{ctx: t.Context(), snapshot: s, revision: v}
			var _ arch.Ranged = k
			if _, ok := k.Each(fmt.Sprintf("layers.%d.experts.", c.layer), ".w", c.from, c.to); ok != c.want {
				t.Errorf("%s: experts %d..%d of layer %d: %v, want %v", c.model, c.from, c.to, c.layer, ok, c.want)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
