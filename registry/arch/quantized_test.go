package arch_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"wreg/registry/arch"
	"wreg/registry/arch/op"
	"wreg/registry/tensor"
)

// What mlx_lm quantized resolves to itself, in every mode and width, and is told
// to be in the mlx layout.
func TestQuantizedStays(t *testing.T) {
	tried := 0
	for name, c := range goldens(t) {
		for _, v := range c.Variants {
			if len(v.Quantization) == 0 || string(v.Quantization) == "null" {
				continue
			}
			tried++
			flags, err := json.Marshal(v.Flags)
			if err != nil {
				t.Fatal(err)
			}
			t.Run(name+string(flags), func(t *testing.T) {
				config, err := arch.ParseConfig(withKey(t, c.Config, "quantization", v.Quantization))
				if err != nil {
					t.Fatal(err)
				}
				a, err := arch.Find(config)
				if err != nil {
					t.Fatal(err)
				}
				src := newSource(v.Tensors)
				r, err := a.Resolve(t.Context(), config, src)
				if err != nil {
					t.Fatal(err)
				}
				complain(t, r)
				for _, target := range r.Targets {
					if target.Make == nil || target.Make.Op != op.Load || target.Make.Path != target.Path {
						t.Fatalf("%s is made by %+v", target.Path, target.Make)
					}
				}
				if !strings.Contains(r.Why, "quantized") || r.Layout != arch.MLX {
					t.Errorf("layout %s: %s", r.Layout, r.Why)
				}
				gaps, err := a.Against(t.Context(), config, arch.MLX, src)
				if err != nil || len(gaps) > 0 {
					t.Errorf("against mlx: %v, %d gaps: %+v", err, len(gaps), first(gaps))
				}
				want, err := a.Expect(t.Context(), config, arch.MLX, src)
				if err != nil {
					t.Fatal(err)
				}
				same(t, "the quantized mlx layout", want, v.Tensors, nil)
			})
		}
	}
	if tried == 0 {
		t.Fatal("no golden is quantized")
	}
}

// withKey adds a key to a JSON object.
func withKey(t *testing.T, object []byte, key string, value json.RawMessage) []byte {
	t.Helper()
	m := map[string]json.RawMessage{}
	if err := json.Unmarshal(object, &m); err != nil {
		t.Fatal(err)
	}
	m[key] = value
	out, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A module that mlx_lm reads as floats only cannot be stored in four bits: told
// as a gap, where the bits would stop the loader.
func TestPackedWhereFloatsAreRead(t *testing.T) {
	c := goldens(t)["deepseek_v3-int4"]
	const gate = "model.layers.1.mlp.gate.weight"
	list := slices.Clone(c.Source)
	i := find(list, gate)
	rows, cols := list[i].Shape[0], list[i].Shape[1]
	list = append(slices.Delete(list, i, i+1),
		tensor.Info{Path: gate + "_packed", DType: tensor.I32, Shape: tensor.Shape{rows, cols / 8}},
		tensor.Info{Path: gate + "_scale", DType: tensor.BF16, Shape: tensor.Shape{rows, cols / 32}},
		tensor.Info{Path: gate + "_shape", DType: tensor.I64, Shape: tensor.Shape{2}})
	_, _, r := resolve(t, c, list)
	if len(r.Gaps) != 1 || r.Gaps[0].Path != gate || r.Gaps[0].Status != arch.Changed || !strings.Contains(r.Gaps[0].Reason, "4 bits") {
		t.Errorf("gaps: %+v", r.Gaps)
	}
}

// A reason that speaks of bits speaks of those that the weight is stored in, whatever
// axis a rule puts last.
func TestBitsAreThoseStored(t *testing.T) {
	said := 0
	number := regexp.MustCompile(`(\d+)[- ]bit`)
	for name, c := range goldens(t) {
		var list []tensor.Info
		for _, i := range c.Source {
			n := len(i.Shape)
			base, is := strings.CutSuffix(i.Path, ".weight")
			if !is || n < 2 || !i.DType.Float() || i.Shape[n-1]%32 != 0 {
				list = append(list, i)
				continue
			}
			words, groups := slices.Clone(i.Shape), slices.Clone(i.Shape)
			words[n-1], groups[n-1] = i.Shape[n-1]*6/32, i.Shape[n-1]/32
			list = append(list, tensor.Info{Path: i.Path, DType: tensor.U32, Shape: words},
				tensor.Info{Path: base + ".scales", DType: tensor.BF16, Shape: groups}, tensor.Info{Path: base + ".biases", DType: tensor.BF16, Shape: groups})
		}
		config, err := arch.ParseConfig(withKey(t, c.Config, "quantization", json.RawMessage(`{"group_size": 32, "bits": 6}`)))
		if err != nil {
			t.Fatal(err)
		}
		a, err := arch.Find(config)
		if err != nil {
			t.Fatal(err)
		}
		r, err := a.Resolve(t.Context(), config, newSource(list))
		if err != nil {
			continue
		}
		for _, g := range r.Gaps {
			for _, m := range number.FindAllStringSubmatch(g.Reason, -1) {
				if said++; m[1] != "6" {
					t.Errorf("%s: %s: %s", name, g.Path, g.Reason)
				}
			}
		}
	}
	if said < 20 {
		t.Errorf("only %d reasons speak of bits", said)
	}
}
