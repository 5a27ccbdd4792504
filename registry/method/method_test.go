package method

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"wreg/registry/tensor"
)

// What a spelling spells beside a weight leads back to the weight, and so does the list
// of what a name may belong to.
func TestSpellings(t *testing.T) {
	for i := range forms {
		m := &forms[i]
		for _, s := range slices.Concat(m.codes, m.marks, m.parts, m.loose) {
			for _, path := range []string{"model.layers.3.mlp.up_proj.weight", "weight", "experts.gate_up_proj"} {
				name, fits := spell(path, strings.TrimSuffix(s, "*"))
				if !fits || s == "" {
					continue
				}
				if strings.HasSuffix(s, "*") {
					name += "x"
				}
				if w, ok := weight(name, s); path != "weight" && (!ok || w != path) {
					t.Errorf("%v: %s beside %s is %s, and back %q", m.by, s, path, name, w)
				}
				if !slices.ContainsFunc(Weights(name), func(p Part) bool { return p.Weight == path }) && path != "weight" {
					t.Errorf("%v: %s is a part of %v", m.by, name, Weights(name))
				}
			}
		}
	}
}

// Every row of the table is found by what it says, and not hidden by one before it.
func TestFormsAreFound(t *testing.T) {
	const path = "model.layers.3.mlp.up_proj.weight"
	for i := range forms {
		m := &forms[i]
		here := map[string]tensor.Info{}
		put := func(spelling string, types []tensor.DType, usual tensor.DType) {
			name, fits := spell(path, spelling)
			if !fits {
				t.Fatalf("%v: %s", m.by, spelling)
			}
			if len(types) > 0 {
				usual = types[0]
			}
			here[name] = tensor.Info{Path: name, DType: usual, Shape: tensor.Shape{4, 4}, Bytes: 16}
		}
		codes := ""
		if len(m.codes) > 0 {
			codes = m.codes[0]
		}
		put(codes, m.types, tensor.I32)
		if len(m.marks) > 0 {
			put(m.marks[0], m.scale, tensor.F32)
		}
		lookup := func(path string) (tensor.Info, bool) { i, ok := here[path]; return i, ok }
		s, ok := In(maps.Keys(here)).Of(path, lookup)
		if !ok || s.form != m || s.Weight != path || !Packed(path, lookup) {
			t.Errorf("%v %s: found %+v, %v, from %v", m.by, m.kind, s.form, ok, slices.Collect(maps.Keys(here)))
		}
		for said := range names {
			if s.Mine(said) && len(m.by) > 1 && !strings.HasPrefix(s.Name(said), names[said]) {
				t.Errorf("%v said to be %s is called %s", m.by, said, s.Name(said))
			}
		}
		if got := s.Name("zzq"); len(m.by) > 1 && !strings.Contains(got, `"zzq"`) {
			t.Errorf("%v said to be zzq is called %s", m.by, got)
		}
		for name, i := range maps.Clone(here) {
			delete(here, name) // each of its tensors is needed
			if s, ok := In(maps.Keys(here)).Of(path, lookup); ok && s.form == m {
				t.Errorf("%v %s: found without %s", m.by, m.kind, name)
			}
			here[name] = i
		}
	}
	plain := tensor.Info{Path: path, DType: tensor.BF16, Shape: tensor.Shape{4, 4}}
	scale := tensor.Info{Path: path + "_scale", DType: tensor.F32}
	at := map[string]tensor.Info{plain.Path: plain, scale.Path: scale}
	if s, ok := In(maps.Keys(at)).Of(path, func(path string) (tensor.Info, bool) { i, ok := at[path]; return i, ok }); ok {
		t.Errorf("floats are called %s", s.Name(""))
	}
}
