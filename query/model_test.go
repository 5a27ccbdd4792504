package query

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"wreg/registry"
	"wreg/registry/tensor"
	"wreg/synth"
)

// exportedModels is a registry with a golden as m and one of its exports as m-mlx.
func exportedModels(t *testing.T, name string, variant int, source string) *registry.Registry {
	t.Helper()
	config, hf, _ := golden(t, name)
	c, err := synth.Golden(goldens + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	mlx := slices.Clone(c.Variants[variant].Tensors)
	for i := range mlx {
		mlx[i].Bytes, _ = mlx[i].Shape.Bytes(mlx[i].DType)
	}
	r, err := registry.Open(filepath.Join(t.TempDir(), "registry.db"), registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	exported := config
	if q := string(c.Variants[variant].Quantization); strings.HasPrefix(q, "{") {
		exported = []byte(strings.Replace(string(config), "{", `{"quantization":`+q+",", 1))
	}
	for _, v := range []struct {
		registry.Revision
		list []tensor.Info
	}{{registry.Revision{Model: "m", Config: config, Hashed: true}, hf}, {registry.Revision{Model: "m-mlx", Config: exported, Hashed: true, Source: source}, mlx}} {
		if _, err := r.Put(context.Background(), v.Revision, v.list); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// Whatever an export renames, fuses, splits, casts or drops, no gap remains.
func TestNoGapAfterExport(t *testing.T) {
	files, err := filepath.Glob(goldens + "*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d goldens, %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := exportedModels(t, name, 0, "m@1")
			if res := ask(t, r, "gaps in m-mlx against m"); len(res.Rows) != 0 {
				t.Errorf("%d gaps, first %v", len(res.Rows), res.Rows[0])
			}
		})
	}
}

// The same when nobody says that one was exported from the other.
func TestLayoutsAreToldByNames(t *testing.T) {
	for _, name := range []string{"hunyuan", "hunyuan-fused", "mixtral"} {
		r := exportedModels(t, name, 0, "")
		if res := ask(t, r, "gaps in m-mlx against m"); len(res.Rows) != 0 {
			t.Errorf("%s: %d gaps, first %v", name, len(res.Rows), res.Rows[0])
		}
	}
}

func TestRenamedTensorIsFoundByItsBytes(t *testing.T) {
	list := testModels()["moe"]
	renamed := slices.Clone(list)
	for i := range renamed {
		if renamed[i].Path == "model.layers.1.self_attn.q_proj.weight" {
			renamed[i].Path = "model.layers.1.attn.wq.weight"
		}
	}
	r := store(t, map[string][]tensor.Info{"a": list, "b": renamed})
	expect(t, "renamed", ask(t, r, "gaps in b against a").text("path", "status", "reason"),
		"model.layers.1.attn.wq.weight | extra | renamed? same bytes as model.layers.1.self_attn.q_proj.weight of a@1\n"+
			"model.layers.1.self_attn.q_proj.weight | missing | renamed? same bytes at model.layers.1.attn.wq.weight\n")
}

func TestChangedSaysHow(t *testing.T) {
	base := tensor.Info{Path: "w", DType: tensor.F32, Shape: tensor.Shape{4, 6}, Bytes: 96, Hash: tensor.Hash{1}, Stats: &tensor.Stats{Min: -1, Max: 2, AbsMax: 2}}
	edit := func(f func(t *tensor.Info)) tensor.Info {
		c := base
		stats := *base.Stats
		c.Stats = &stats
		f(&c)
		return c
	}
	for _, c := range []struct {
		have           tensor.Info
		reason, remedy string
	}{
		{edit(func(t *tensor.Info) { t.Shape, t.Hash = tensor.Shape{6, 4}, tensor.Hash{2} }), "shape is [6, 4], should be [4, 6]", "transpose the last two axes"},
		{edit(func(t *tensor.Info) { t.Shape = tensor.Shape{24} }), "shape is [24], should be [4, 6]", ""},
		{edit(func(t *tensor.Info) { t.DType, t.Bytes, t.Hash = tensor.BF16, 48, tensor.Hash{2} }), "cast: dtype is bf16, should be f32", "cast to f32"},
		{edit(func(t *tensor.Info) { t.DType, t.Hash, t.Stats.Max = tensor.BF16, tensor.Hash{2}, 3 }), "cast: dtype is bf16, should be f32, and max is 3, should be near 2", "cast to f32"},
		{edit(func(t *tensor.Info) { t.DType = tensor.I32 }), "dtype is i32, should be f32", "cast to f32"},
		{edit(func(t *tensor.Info) { t.Hash = tensor.Hash{2} }), "bytes differ", ""},
		{edit(func(t *tensor.Info) { t.Hash, t.Stats.Min = tensor.Hash{2}, -9 }), "bytes differ", ""},
		// Training that touches little keeps the extremes: equal statistics prove no order.
		{edit(func(t *tensor.Info) { t.Shape, t.Hash = tensor.Shape{4, 6}, tensor.Hash{3} }), "bytes differ", ""},
	} {
		r := store(t, map[string][]tensor.Info{"a": {base}, "b": {c.have}})
		want := fmt.Sprintf("%s | %s\n", c.reason, c.remedy)
		if c.remedy == "" {
			want = c.reason + " | <nil>\n"
		}
		expect(t, "changed", ask(t, r, "changed in b against a").text("reason", "remedy"), want)
	}
}

// A weight that is quantized on one side is neither missing nor changed, and the
// answer says that its values were not compared.
func TestQuantizedExport(t *testing.T) {
	c, err := synth.Golden(goldens + "qwen3_moe.json")
	if err != nil {
		t.Fatal(err)
	}
	k := slices.IndexFunc(c.Variants, func(v synth.Variant) bool { return strings.HasPrefix(string(v.Quantization), "{") })
	if k < 0 {
		t.Fatal("the golden has no quantized variant")
	}
	r := exportedModels(t, "qwen3_moe", k, "m@1")
	res := ask(t, r, "gaps in m-mlx against m")
	if len(res.Rows) != 0 {
		t.Errorf("%d gaps, first %v", len(res.Rows), res.Rows[0])
	}
	if !strings.Contains(fmt.Sprint(res.Notes), "quantized on one side only") {
		t.Errorf("notes %q", res.Notes)
	}
}

// Two experts in each other's place have every name, shape and dtype right.
func TestSwappedExperts(t *testing.T) {
	config, hf, _ := golden(t, "hunyuan")
	swapped := slices.Clone(hf)
	const a, b = "model.layers.0.mlp.experts.0.up_proj.weight", "model.layers.0.mlp.experts.1.up_proj.weight"
	for i := range swapped {
		switch swapped[i].Path {
		case a:
			swapped[i].Path = b
		case b:
			swapped[i].Path = a
		}
	}
	r := models(t, config, map[string][]tensor.Info{"whole": hf, "swapped": swapped})
	expect(t, "swapped", ask(t, r, "gaps in swapped against whole").text("path", "reason", "remedy"),
		a+" | holds the bytes of "+b+" | its bytes belong at "+b+"\n"+b+" | holds the bytes of "+a+" | its bytes belong at "+a+"\n")
}
