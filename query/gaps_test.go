package query

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"wreg/registry"
	"wreg/registry/arch"
	"wreg/registry/tensor"
	"wreg/synth"
)

const goldens = "../registry/arch/testdata/goldens/"

// golden is a golden's checkpoint in both layouts, hashed: what ingest would say of
// it before and after export.
func golden(t testing.TB, name string) (config []byte, hf, mlx []tensor.Info) {
	t.Helper()
	c, err := synth.Golden(goldens + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	byPath := map[string]*tensor.Info{}
	hf = slices.Clone(c.Source)
	for i := range hf {
		b := make([]byte, hf[i].Bytes)
		if err := synth.Fill(b, hf[i].Path, c.Seed, hf[i].DType, 0); err != nil {
			t.Fatal(err)
		}
		hash(&hf[i], b)
		byPath[hf[i].Path] = &hf[i]
	}
	mlx = slices.Clone(c.Variants[0].Tensors)
	for i := range mlx {
		mlx[i].Bytes, _ = mlx[i].Shape.Bytes(mlx[i].DType)
		for e := 0; strings.Contains(mlx[i].Path, "switch_mlp"); e++ {
			part := byPath[strings.Replace(mlx[i].Path, "switch_mlp", fmt.Sprintf("experts.%d", e), 1)]
			if part == nil {
				break
			}
			mlx[i].Slices = append(mlx[i].Slices, part.Hash)
		}
	}
	return c.Config, hf, mlx
}

func hash(t *tensor.Info, b []byte) {
	t.Hash = sha256.Sum256(b)
	if len(t.Shape) < 3 {
		return
	}
	for part := range slices.Chunk(b, len(b)/int(t.Shape[0])) {
		t.Slices = append(t.Slices, sha256.Sum256(part))
	}
}

// models is a registry of models that share a config.
func models(t testing.TB, config []byte, list map[string][]tensor.Info) *registry.Registry {
	t.Helper()
	r, err := registry.Open(filepath.Join(t.TempDir(), "registry.db"), registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	for name, tensors := range list {
		if _, err := r.Put(context.Background(), registry.Revision{Model: name, Config: config, Hashed: true}, tensors); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func ask(t testing.TB, r *registry.Registry, text string) *Result {
	t.Helper()
	res, err := run(r, text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return res
}

func run(r *registry.Registry, text string) (res *Result, err error) {
	q, err := Parse(text)
	if err != nil {
		return nil, err
	}
	err = r.View(func(s *registry.Snapshot) error {
		res, err = q.Run(context.Background(), s, Options{})
		return err
	})
	return res, err
}

// Column is the place of a column, -1 when the answer has none of that name.
func (r *Result) column(name string) int { return slices.Index(r.Columns, name) }

// text gives a column of an answer as text, one line a row.
func (r *Result) text(columns ...string) string {
	var b strings.Builder
	for _, row := range r.Rows {
		for i, c := range columns {
			if i > 0 {
				b.WriteString(" | ")
			}
			fmt.Fprint(&b, row[r.column(c)])
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func except(list []tensor.Info, path string) []tensor.Info {
	return slices.DeleteFunc(slices.Clone(list), func(t tensor.Info) bool { return t.Path == path })
}

func expect(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n got\n%s\n want\n%s", what, got, want)
	}
}

func TestStacksAreMissingBeforeExport(t *testing.T) {
	config, hf, _ := golden(t, "hunyuan")
	r := models(t, config, map[string][]tensor.Info{"hunyuan": hf})
	res := ask(t, r, "missing mlp.switch_mlp.* where layer<64")
	if len(res.Rows) != 12 || res.Layout != arch.MLX || res.Against != "spec hunyuan" {
		t.Errorf("%d rows in layout %s against %s", len(res.Rows), res.Layout, res.Against)
	}
	if len(res.Notes) != 1 || !strings.Contains(res.Notes[0], "compared with layout mlx") {
		t.Errorf("notes %q do not say which layout was used", res.Notes)
	}
	for _, row := range res.Rows {
		if remedy, _ := row[res.column("remedy")].(string); !strings.HasPrefix(remedy, "can be stacked from mlp.experts.{0..3}.") {
			t.Errorf("%v: remedy %q", row[0], remedy)
		}
		if row[res.column("reason")] == nil {
			t.Errorf("%v: no reason", row[0])
		}
	}
	expect(t, "folded", res.Fold().text("path", "status", "remedy", "tensors"),
		"model.layers.{0..3}.mlp.switch_mlp.{down,gate,up}_proj.weight | missing | can be stacked from mlp.experts.{0..3}.{down,gate,up}_proj.weight | 12\n")
	if n := len(ask(t, r, "missing").Rows); n != 0 {
		t.Errorf("a whole checkpoint lacks %d tensors of its own layout", n)
	}
}

func TestOneExpertAbsent(t *testing.T) {
	config, hf, _ := golden(t, "hunyuan")
	r := models(t, config, map[string][]tensor.Info{"broken": except(hf, "model.layers.3.mlp.experts.2.up_proj.weight")})
	expect(t, "own layout", ask(t, r, "missing experts.*.up_proj.weight").text("path", "reason"),
		"model.layers.3.mlp.experts.2.up_proj.weight | expert 2 of 4 missing in layer 3\n")
	expect(t, "stack", ask(t, r, "missing switch_mlp.up_proj.* where layer = 3").text("path", "reason"),
		"model.layers.3.mlp.switch_mlp.up_proj.weight | expert 2 of 4 missing in layer 3\n")
}

func TestExpertsWithAHole(t *testing.T) {
	config, hf, _ := golden(t, "hunyuan")
	var renumbered []tensor.Info
	for _, i := range hf { // {0,1,3,9} of 4: as many files as experts
		i.Path = strings.Replace(i.Path, "experts.2.", "experts.9.", 1)
		renumbered = append(renumbered, i)
	}
	r := models(t, config, map[string][]tensor.Info{"m": renumbered})
	if got := ask(t, r, "missing experts.**").text("path"); strings.Count(got, "experts.2.") != 12 || strings.Count(got, "\n") != 12 {
		t.Errorf("missing:\n%s", got)
	}
	if got := ask(t, r, "extra").text("path"); strings.Count(got, "experts.9.") != 12 || strings.Count(got, "\n") != 12 {
		t.Errorf("extra:\n%s", got)
	}
}

func TestExportComparedExpertByExpert(t *testing.T) {
	config, hf, mlx := golden(t, "hunyuan")
	flipped := slices.Clone(mlx)
	for i := range flipped {
		if flipped[i].Path == "model.layers.1.mlp.switch_mlp.gate_proj.weight" {
			flipped[i].Slices = slices.Clone(flipped[i].Slices)
			flipped[i].Slices[2][0] ^= 1
			flipped[i].Hash[0] ^= 1
		}
	}
	bare := slices.Clone(mlx)
	for i := range bare {
		bare[i].Hash, bare[i].Slices = tensor.Hash{}, nil
	}
	r := models(t, config, map[string][]tensor.Info{"m": hf, "m-mlx": mlx, "flipped": flipped, "bare": bare, "torn": except(hf, "model.layers.3.mlp.experts.2.up_proj.weight")})
	for _, text := range []string{"gaps in m-mlx against m", "gaps in m against m-mlx", "gaps in m against m"} {
		if res := ask(t, r, text); len(res.Rows) != 0 || strings.Contains(fmt.Sprint(res.Notes), "name, shape and dtype only") {
			t.Errorf("%s: %v, notes %v", text, res.Rows, res.Notes)
		}
	}
	expect(t, "one byte flipped", ask(t, r, "gaps in flipped against m").text("path", "status", "reason"),
		"model.layers.1.mlp.switch_mlp.gate_proj.weight | changed | slice 2: bytes differ from model.layers.1.mlp.experts.2.gate_proj.weight\n")
	expect(t, "one byte flipped, other way", ask(t, r, "gaps in m against flipped").text("path", "status", "reason"),
		"model.layers.1.mlp.switch_mlp.gate_proj.weight | changed | slice 2: bytes differ from slice 2 of model.layers.1.mlp.switch_mlp.gate_proj.weight\n")
	if res := ask(t, r, "gaps in bare against m"); !strings.Contains(fmt.Sprint(res.Notes), "58 tensors compared by name, shape and dtype only") {
		t.Errorf("equality is claimed without hashes: %v", res.Notes)
	}
	expect(t, "source torn", ask(t, r, "gaps in torn against m-mlx").text("path", "status", "reason"),
		"model.layers.3.mlp.switch_mlp.up_proj.weight | missing | expert 2 of 4 missing in layer 3\n")
}

// A scale is no tensor of the architecture, yet it is read: it may be asked about.
func TestScalesAreExpected(t *testing.T) {
	config, hf, _ := golden(t, "deepseek_v3-fp8")
	const scale = "model.layers.0.mlp.up_proj.weight_scale_inv"
	stray := append(slices.Clone(hf), tensor.Info{Path: "stray_scale_inv", DType: tensor.F32, Shape: tensor.Shape{1}, Bytes: 4})
	r := models(t, config, map[string][]tensor.Info{"whole": hf, "torn": except(hf, scale), "stray": stray})
	expect(t, "whole", ask(t, r, "missing *_scale_inv in whole").text("path"), "")
	expect(t, "changed", ask(t, r, "changed *_scale_inv in whole").text("path"), "")
	expect(t, "torn", ask(t, r, "missing *_scale_inv in torn").text("path"), scale+"\n")
	for _, text := range []string{"missing *_scale in whole", "missing stray_scale_inv in stray", "missing *_scale_inv in whole as mlx"} {
		if res, err := run(r, text); err == nil {
			t.Errorf("%s: %d rows, want an error: nothing matches", text, len(res.Rows))
		}
	}
}

func TestNoExpectationIsAnError(t *testing.T) {
	config, hf, _ := golden(t, "hunyuan")
	unknown := bytes.Replace(config, []byte(`"model_type":"hunyuan"`), []byte(`"model_type":"hunyuam"`), 1)
	for _, c := range []struct {
		config     []byte
		text, want string
	}{
		{config, "missing foo.*", "nothing of hunyuan in layout hf or mlx matches foo.*"},
		{config, "missing foo.* as mlx", "nothing of hunyuan in layout mlx matches foo.*"},
		{nil, "missing *", "has no config.json"},
		{[]byte("{"), "missing *", "config.json"},
		{unknown, "missing *", "hunyuan"},
	} {
		r := models(t, c.config, map[string][]tensor.Info{"m": hf})
		res, err := run(r, c.text)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, %v; want an error with %q", c.text, res, err, c.want)
		}
	}
}

// At full height: 64 layers x 16 experts.
func TestFullHeight(t *testing.T) {
	config, _, _ := golden(t, "hunyuan")
	for _, edit := range [][2]string{{`"num_hidden_layers":4`, `"num_hidden_layers":64`}, {`"num_experts":4`, `"num_experts":16`}} {
		if config = bytes.Replace(config, []byte(edit[0]), []byte(edit[1]), 1); !bytes.Contains(config, []byte(edit[1])) {
			t.Fatalf("config has no %s", edit[0])
		}
	}
	r := models(t, config, map[string][]tensor.Info{"hunyuan": expected(t, config, arch.HF)})
	res := ask(t, r, "missing mlp.switch_mlp.* where layer<64")
	if len(res.Rows) != 192 {
		t.Errorf("%d rows, want 192", len(res.Rows))
	}
	expect(t, "folded", res.Fold().text("path", "tensors"), "model.layers.{0..63}.mlp.switch_mlp.{down,gate,up}_proj.weight | 192\n")
}

// expected are the tensors that a layout must hold, as if they were there.
func expected(t testing.TB, config []byte, layout string) (list []tensor.Info) {
	t.Helper()
	c, err := arch.ParseConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	a, err := arch.Find(c)
	if err != nil {
		t.Fatal(err)
	}
	wants, err := a.Expect(t.Context(), c, layout, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range wants {
		size, err := w.Shape.Bytes(tensor.BF16)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, tensor.Info{Path: w.Path, Shape: w.Shape, DType: tensor.BF16, Bytes: size, Format: "safetensors", File: "model.safetensors"})
	}
	return list
}

func TestShardToFetchAgain(t *testing.T) {
	config, hf, _ := golden(t, "hunyuan")
	const lost = "model.layers.3.mlp.experts.2.up_proj.weight"
	for _, c := range []struct {
		findings []tensor.Finding
		remedy   string
	}{
		{nil, "lost: nothing in the checkpoint makes it"},
		{[]tensor.Finding{{Rule: "absent-shard", File: "model-2.safetensors"}}, "fetch model-2.safetensors again"},
		{[]tensor.Finding{{Rule: "absent-shard", File: "a"}, {Rule: "absent-shard", File: "b"}}, "fetch again a, b"},
		{[]tensor.Finding{{Rule: "absent-shard", File: "a"}, {Rule: "index-missing-tensor", File: "b", Tensor: lost}}, "fetch b again: the index says that it holds this tensor"},
		{[]tensor.Finding{{Rule: "stray-shard", File: "a"}}, "lost: nothing in the checkpoint makes it"},
	} {
		r, err := registry.Open(filepath.Join(t.TempDir(), "registry.db"), registry.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if _, err := r.Put(context.Background(), registry.Revision{Model: "m", Config: config, Findings: c.findings}, except(hf, lost)); err != nil {
			t.Fatal(err)
		}
		expect(t, "remedy", ask(t, r, "missing").text("path", "remedy"), lost+" | "+c.remedy+"\n")
	}
}

func TestLostTensorIsFoundElsewhere(t *testing.T) {
	config, hf, _ := golden(t, "hunyuan")
	renamed := slices.Clone(hf)
	for i := range renamed {
		if renamed[i].Path == "model.norm.weight" {
			renamed[i].Path = "model.final_norm.weight"
		}
	}
	for i := range hf {
		hf[i].File = "model.safetensors"
	}
	wider := slices.Clone(hf) // of the same name, but not what torn lost
	norm := slices.IndexFunc(wider, func(i tensor.Info) bool { return i.Path == "model.norm.weight" })
	wider[norm].Shape, wider[norm].Bytes = tensor.Shape{2 * wider[norm].Shape[0]}, 2*wider[norm].Bytes
	alone := models(t, config, map[string][]tensor.Info{"wider": wider, "torn": except(hf, "model.norm.weight")})
	expect(t, "another shape", ask(t, alone, "missing in torn").text("path", "remedy"), "model.norm.weight | lost: nothing in the checkpoint makes it\n")
	r := models(t, config, map[string][]tensor.Info{"whole": hf, "torn": except(hf, "model.norm.weight"), "renamed": renamed})
	expect(t, "torn", ask(t, r, "missing in torn").text("path", "remedy"), "model.norm.weight | lost: nothing in the checkpoint makes it; whole@1 has one with this name and shape\n")
	expect(t, "torn, against a model", ask(t, r, "missing in torn against whole").text("path", "remedy"), "model.norm.weight | copy it from whole@1, which holds it in model.safetensors\n")
	expect(t, "renamed", ask(t, r, "missing in renamed").text("path", "reason", "remedy"),
		"model.norm.weight | renamed? same bytes at model.final_norm.weight as whole@1 has here | rename model.final_norm.weight\n")

	ones := slices.Clone(hf) // norms as they are made
	at := func(path string) *tensor.Info {
		return &ones[slices.IndexFunc(ones, func(i tensor.Info) bool { return i.Path == path })]
	}
	at("model.norm.weight").Hash = at("model.layers.0.input_layernorm.weight").Hash
	r = models(t, config, map[string][]tensor.Info{"whole": ones, "torn": except(ones, "model.norm.weight")})
	expect(t, "the bytes of another in its place", ask(t, r, "missing in torn").text("path", "remedy"), "model.norm.weight | lost: nothing in the checkpoint makes it; whole@1 has one with this name and shape\n")
}
