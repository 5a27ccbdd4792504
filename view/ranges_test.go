package view

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"wreg/export"
	"wreg/query"
	"wreg/registry"
	"wreg/registry/arch"
	"wreg/registry/tensor"
)

// deep is a llama of some layers whose tensors have statistics: absmax 0.1 everywhere.
func deep(t testing.TB, layers int) (config []byte, list []tensor.Info) {
	t.Helper()
	config = []byte(fmt.Sprintf(`{"model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4, "num_key_value_heads": 2,
		"num_hidden_layers": %d, "vocab_size": 128, "rms_norm_eps": 1e-6, "tie_word_embeddings": false, "torch_dtype": "bfloat16"}`, layers))
	return config, expected(t, config)
}

// expected are the tensors of the hf layout, with statistics.
func expected(t testing.TB, config []byte) (list []tensor.Info) {
	t.Helper()
	c, err := arch.ParseConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	a, err := arch.Find(c)
	if err != nil {
		t.Fatal(err)
	}
	wants, err := a.Expect(t.Context(), c, arch.HF, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range wants {
		if w.Optional {
			continue
		}
		i := tensor.Info{Path: w.Path, DType: tensor.BF16, Shape: w.Shape, File: "model.safetensors", Format: "safetensors",
			Stats: &tensor.Stats{Min: -0.1, Max: 0.05, AbsMax: 0.1, Zeros: 1}}
		i.Bytes, _ = w.Shape.Bytes(tensor.BF16)
		list = append(list, i)
	}
	return list
}

// set changes what was recorded of the tensors whose path ends so.
func set(list []tensor.Info, suffix string, change func(i *tensor.Info)) {
	for k := range list {
		if strings.HasSuffix(list[k].Path, suffix) {
			if s := list[k].Stats; s != nil {
				own := *s
				list[k].Stats = &own
			}
			change(&list[k])
		}
	}
}

func absmax(x float64) func(*tensor.Info) {
	return func(i *tensor.Info) { i.Stats.Max, i.Stats.AbsMax = x, x }
}

func ranges(t testing.TB, config []byte, list []tensor.Info) *Spread {
	t.Helper()
	var r *Spread
	with(t, config, list, func(s *registry.Snapshot, v *registry.Revision) {
		var err error
		if r, err = Ranges(t.Context(), s, v, nil); err != nil {
			t.Fatal(err)
		}
	})
	if _, err := json.Marshal(r); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *Spread) band(t testing.TB, component string) *Band {
	t.Helper()
	i := slices.IndexFunc(r.Bands, func(b Band) bool { return b.Component == component })
	if i < 0 {
		t.Fatalf("no %s", component)
	}
	return &r.Bands[i]
}

// The layer whose values reach furthest beyond its neighbours' is named, and only that; an
// export takes the override as it is written.
func TestStandsOut(t *testing.T) {
	config, list := deep(t, 12)
	set(list, "layers.3.mlp.down_proj.weight", absmax(2))
	set(list, "layers.5.self_attn.q_proj.weight", absmax(0.39)) // below four times
	set(list, "layers.7.input_layernorm.weight", absmax(2))     // stands out, but is not quantized
	set(list, "embed_tokens.weight", absmax(30))
	r := ranges(t, config, list)
	down := r.band(t, "mlp.down_proj")
	if down.Stands == nil || down.Stands.Layer != 3 || math.Abs(down.Stands.Times-20) > 1e-9 || down.Least != 0.1 || down.Most != 2 {
		t.Errorf("down_proj: %+v %+v", down, down.Stands)
	}
	if s := r.band(t, "self_attn.q_proj").Stands; s != nil {
		t.Errorf("q_proj stands out: %+v", s)
	}
	if s := r.band(t, "input_layernorm").Stands; s == nil || s.Layer != 7 {
		t.Errorf("layernorm: %+v", s)
	}
	if e := r.band(t, "model.embed_tokens"); e.Outside == nil || *e.Outside.AbsMax != 30 || e.Stands != nil {
		t.Errorf("embedding: %+v", e)
	}
	if len(r.Layers) != 12 || r.AbsMax != 30 || r.AbsMaxAt != "model.embed_tokens.weight" || int(r.Tensors) != len(list) {
		t.Errorf("%d layers, absmax %v at %s, %d of %d tensors", len(r.Layers), r.AbsMax, r.AbsMaxAt, r.Tensors, len(list))
	}
	if len(r.Advice) != 1 || r.Advice[0].Override != "model.layers.3.mlp.down_proj=8" {
		t.Fatalf("advice: %+v", r.Advice)
	}
	with(t, config, list, func(s *registry.Snapshot, v *registry.Revision) { // the export's own words
		res, err := query.Resolve(t.Context(), s, v, nil)
		if err != nil {
			t.Fatal(err)
		}
		pattern, _, _ := strings.Cut(r.Advice[0].Override, "=")
		q := export.Quantize{Overrides: []export.Override{{Pattern: pattern, Bits: 8}}}
		for _, target := range res.Targets {
			bits, err := q.BitsOf(res.Targets, target.Path)
			want := 4
			switch {
			case target.Path == "model.layers.3.mlp.down_proj.weight":
				want = 8
			case strings.Contains(target.Path, "norm"):
				want = 0
			}
			if err != nil || bits != want {
				t.Errorf("%s: %d bits, want %d (%v)", target.Path, bits, want, err)
			}
		}
	})
}

// A module that an export keeps as it is, or that has too few neighbours, gets no advice.
func TestNoAdvice(t *testing.T) {
	config, list := deep(t, 3) // two neighbours
	set(list, "layers.1.mlp.down_proj.weight", absmax(2))
	if r := ranges(t, config, list); len(r.Advice) != 0 || r.band(t, "mlp.down_proj").Stands != nil {
		t.Errorf("three layers: %+v", r.Advice)
	}
	config, _ = deep(t, 12)
	config = []byte(strings.Replace(string(config), `"intermediate_size": 128`, `"intermediate_size": 96`, 1)) // no whole groups of 64
	list = expected(t, config)
	set(list, "layers.3.mlp.down_proj.weight", absmax(2))
	if r := ranges(t, config, list); len(r.Advice) != 0 || r.band(t, "mlp.down_proj").Stands == nil {
		t.Errorf("rows of 96: %+v", r.Advice)
	}
	_, list = deep(t, 12)
	set(list, "layers.3.mlp.down_proj.weight", absmax(2))
	if r := ranges(t, nil, list); r.Why == "" || len(r.Advice) != 0 || r.band(t, "mlp.down_proj").Stands == nil {
		t.Errorf("no config: %q %+v", r.Why, r.Advice)
	}
}

// deeper is the config of a golden with more layers.
func deeper(t testing.TB, name string, layers int) []byte {
	t.Helper()
	config, _ := golden(t, name)
	var fields map[string]any
	if err := json.Unmarshal(config, &fields); err != nil {
		t.Fatal(err)
	}
	fields["num_hidden_layers"] = layers
	config, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// What the consumer never quantizes is not advised to be.
func TestNoAdviceAgainstTheConsumer(t *testing.T) {
	config := deeper(t, "bailing_moe_v3", 9)
	list := expected(t, config)
	for _, i := range list { // every weight of one layer stands out
		if strings.Contains(i.Path, "layers.4.") {
			set(list, i.Path, absmax(3))
		}
	}
	r := ranges(t, config, list)
	for _, a := range r.Advice {
		if strings.Contains(a.Module, "mlp.gate=") || strings.Contains(a.Module, "attention.q_a_proj") || strings.Contains(a.Module, "attention.b_proj") {
			t.Errorf("advice %q", a.Override)
		}
	}
	if len(r.Advice) == 0 {
		t.Error("no advice at all")
	}
}

// Experts of a layer are one module, in the layout they have, and the advice names the
// stack that an export makes of them.
func TestExperts(t *testing.T) {
	config := deeper(t, "qwen3_moe", 9)
	list := expected(t, config)
	set(list, "layers.4.mlp.experts.1.gate_proj.weight", absmax(3))
	r := ranges(t, config, list)
	b := r.band(t, "mlp.experts.gate_proj")
	if b.Stands == nil || b.Stands.Layer != 4 || b.Spans[4].Tensors < 2 {
		t.Errorf("%+v %+v", b.Stands, b.Spans[4])
	}
	if len(r.Advice) != 1 || r.Advice[0].Override != "model.layers.4.mlp.switch_mlp.gate_proj=8" {
		t.Errorf("advice %+v", r.Advice)
	}
}

// What float16 would lose is what statistics prove: beyond 65504, and all zero.
func TestFloat16(t *testing.T) {
	config, list := deep(t, 4)
	set(list, "layers.0.mlp.up_proj.weight", absmax(65504))
	set(list, "layers.1.mlp.up_proj.weight", absmax(65505))
	set(list, "layers.2.mlp.up_proj.weight", absmax(1e6))
	set(list, "layers.3.mlp.up_proj.weight", func(i *tensor.Info) { i.DType, i.Stats.AbsMax = tensor.F16, 65504 })
	set(list, "layers.0.mlp.gate_proj.weight", func(i *tensor.Info) { i.Stats.Min, i.Stats.Max, i.Stats.AbsMax = 0, 1.0/(1<<25), 1.0/(1<<25) })
	set(list, "layers.1.mlp.gate_proj.weight", func(i *tensor.Info) { i.Stats.Min, i.Stats.Max, i.Stats.AbsMax = 0, 3e-8, 3e-8 })
	set(list, "layers.2.mlp.gate_proj.weight", func(i *tensor.Info) { i.Stats = &tensor.Stats{Zeros: 64 * 128} })
	r := ranges(t, config, list)
	if got := paths(r.Float16.Overflow); got != "model.layers.2.mlp.up_proj.weight model.layers.1.mlp.up_proj.weight" {
		t.Errorf("overflow %q", got)
	}
	if got := paths(r.Float16.Vanish); got != "model.layers.0.mlp.gate_proj.weight" {
		t.Errorf("vanish %q", got)
	}
}

func paths(list []Reach) string {
	var out []string
	for _, r := range list {
		out = append(out, r.Path)
	}
	return strings.Join(out, " ")
}

// What was not recorded, and codes, are counted and claimed nothing of; a tensor without a
// finite value has no range.
func TestNothingRecorded(t *testing.T) {
	config, list := deep(t, 4)
	for i := range list {
		list[i].Stats = nil
	}
	r := ranges(t, config, list)
	if r.Tensors != 0 || int(r.Unknown) != len(list) || len(r.Bands) != 0 || r.AbsMaxAt != "" {
		t.Errorf("%+v", r)
	}
	config, list = deep(t, 4)
	set(list, "_proj.weight", func(i *tensor.Info) { i.Stats = nil })
	if r = ranges(t, config, list); r.Why == "" {
		t.Error("nothing that could be quantized has statistics, and no word of it")
	}
	config, list = deep(t, 4)
	set(list, "layers.2.mlp.up_proj.weight", func(i *tensor.Info) { i.Stats = &tensor.Stats{NaNs: 64*128 - 1, Infs: 1} })
	set(list, "lm_head.weight", func(i *tensor.Info) { i.DType = tensor.U32; i.Stats.AbsMax = 4e9 })
	set(list, "layers.1.mlp.up_proj.weight", func(i *tensor.Info) { i.Stats = nil })
	r = ranges(t, config, list)
	up := r.band(t, "mlp.up_proj")
	if up.Spans[2].AbsMax != nil || up.Spans[2].NaNs != 64*128-1 || up.Spans[1] != nil || r.NaNs != 64*128-1 || r.Infs != 1 {
		t.Errorf("%+v, %d NaN", up.Spans[2], r.NaNs)
	}
	if r.Unknown != 1 || r.Codes != 1 || r.AbsMax > 1 {
		t.Errorf("%d unknown, %d codes, absmax %v", r.Unknown, r.Codes, r.AbsMax)
	}
}

// What reaches further than numbers go is told in a number all the same.
func TestFarApart(t *testing.T) {
	config, list := deep(t, 8)
	set(list, "mlp.up_proj.weight", func(i *tensor.Info) { i.DType = tensor.F64; i.Stats = &tensor.Stats{AbsMax: 5e-324} })
	set(list, "layers.3.mlp.up_proj.weight", func(i *tensor.Info) { i.Stats = &tensor.Stats{AbsMax: math.MaxFloat64} })
	r := ranges(t, config, list)
	if _, err := json.Marshal(r); err != nil || r.band(t, "mlp.up_proj").Stands.Times != math.MaxFloat64 {
		t.Errorf("%v: %+v", err, r.band(t, "mlp.up_proj"))
	}
}

func TestModules(t *testing.T) {
	for path, want := range map[string]string{
		"model.layers.3.mlp.down_proj.weight":                 "model.layers. mlp.down_proj 3",
		"model.layers.3.self_attn.q_proj.bias":                "model.layers. self_attn.q_proj.bias 3",
		"model.layers.61.mlp.experts.5.up_proj.weight":        "model.layers. mlp.experts.up_proj 61",
		"layers.0.mlp.2.weight":                               "layers. mlp.2 0",
		"encoder.layers.1.fc1.weight":                         "encoder.layers. fc1 1",
		"lm_head.weight":                                      " lm_head -1",
		"vision.2.blocks.3.w":                                 "vision.2.blocks. w 3",
		"weight":                                              " weight -1",
		"a.{layer}.b":                                         " a.{layer}.b -1",
		"model.layers.0.block_sparse_moe.experts.7.w1.weight": "model.layers. block_sparse_moe.experts.w1 0",
	} {
		m, layer := moduleOf(path)
		if got := fmt.Sprint(m.tower, " ", m.name, " ", layer); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}

// Two towers keep their names apart; a model of too many modules is refused.
func TestTowers(t *testing.T) {
	var list []tensor.Info
	for _, tower := range []string{"encoder", "decoder"} {
		for layer := range 3 {
			list = append(list, tensor.Info{Path: fmt.Sprintf("%s.layers.%d.fc1.weight", tower, layer), DType: tensor.F32, Shape: tensor.Shape{2}, Bytes: 8,
				Stats: &tensor.Stats{Min: -1, Max: 1, AbsMax: 1}})
		}
	}
	r := ranges(t, nil, list)
	if r.Why != "m@1 has "+NoConfig { // to compare with something else, as a query may, does not help here
		t.Error(r.Why)
	}
	if len(r.Bands) != 2 || r.Bands[0].Component != "decoder.layers.fc1" || r.Bands[1].Component != "encoder.layers.fc1" {
		t.Errorf("%+v", r.Bands)
	}
	for i := range maxBands + 1 {
		list = append(list, tensor.Info{Path: fmt.Sprintf("x%d.weight", i), DType: tensor.F32, Shape: tensor.Shape{2}, Bytes: 8, Stats: &tensor.Stats{}})
	}
	with(t, nil, list, func(s *registry.Snapshot, v *registry.Revision) {
		if _, err := Ranges(t.Context(), s, v, nil); err == nil || !strings.Contains(err.Error(), "m@1") {
			t.Error(err)
		}
	})
}
