package export_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"wreg/export"
	"wreg/export/receipt"
	"wreg/ingest"
	"wreg/registry"
	"wreg/registry/arch"
	"wreg/registry/tensor"
	"wreg/synth"
)

const goldens = "../registry/arch/testdata/goldens"

// register ingests a checkpoint into a new registry and calls fn in a view of it.
func register(t testing.TB, path string, fn func(s *registry.Snapshot, v *registry.Revision)) {
	t.Helper()
	ingested(t, path, true, fn)
}

// ingested is register, with hashes or without.
func ingested(t testing.TB, path string, hashed bool, fn func(s *registry.Snapshot, v *registry.Revision)) {
	t.Helper()
	c, err := ingest.Open(t.Context(), path, ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	tensors := c.Tensors()
	if hashed {
		if tensors, err = c.Hash(context.Background(), ingest.HashOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	r, err := registry.Open(filepath.Join(t.TempDir(), "registry.db"), registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	v, err := r.Put(context.Background(), registry.Revision{Model: "m", Root: c.Path(), Config: c.Config(), Files: c.Files(), Hashed: hashed}, tensors)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.View(func(s *registry.Snapshot) error {
		fn(s, v)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// plan makes the plan of exporting the checkpoint at path.
func plan(t testing.TB, path string, o export.Options) (p *export.Plan, err error) {
	t.Helper()
	register(t, path, func(s *registry.Snapshot, v *registry.Revision) { p, err = export.New(t.Context(), s, v, o) })
	return p, err
}

// exported exports the checkpoint at path to a new folder.
func exported(t testing.TB, path string, o export.Options) (string, *receipt.Receipt) {
	t.Helper()
	if o.Out == "" {
		o.Out = filepath.Join(t.TempDir(), "out")
	}
	p, err := plan(t, path, o)
	if err != nil {
		t.Fatal(err)
	}
	r, err := p.Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return o.Out, r
}

// options turns a golden's flags into options; ok is false for flags that the
// export does not know.
func options(flags map[string]any) (o export.Options, ok bool) {
	ok = true
	if flags["quantize"] == true {
		o.Quantize = &export.Quantize{}
	}
	for name, value := range flags {
		switch name {
		case "quantize":
		case "q_bits":
			if n, ok := value.(float64); ok { // null: the mode's own
				o.Quantize.Bits = int(n)
			}
		case "q_group_size":
			if n, ok := value.(float64); ok {
				o.Quantize.Group = int(n)
			}
		case "q_mode":
			o.Quantize.Mode = value.(string)
		case "quant_predicate":
			o.Quantize.Recipe = value.(string)
		case "dtype":
			o.DType = map[any]tensor.DType{"float16": tensor.F16, "bfloat16": tensor.BF16, "float32": tensor.F32}[value]
			ok = ok && o.DType != tensor.Invalid
		default:
			ok = false
		}
	}
	return o, ok
}

// Every output tensor of every golden whose architecture is known has the name,
// dtype, shape and bytes that mlx_lm.convert gives it.
func TestGoldens(t *testing.T) {
	eachGolden(t, goldens, arch.MLX, nil, func(t *testing.T, _ string, c *synth.Case, dir string) {
		for _, v := range c.Variants {
			if o, ok := options(v.Flags); ok {
				o.Prove, o.NoSync = export.ProveSHA256, true
				out, r := exported(t, dir, o)
				compare(t, fmt.Sprint(v.Flags), out, v, r)
			}
		}
	})
}

// eachGolden writes the checkpoint of every golden whose model_type a layout serves, but for
// those that have a part of but in their names, and runs a test on it.
func eachGolden(t *testing.T, folder, layout string, but []string, test func(t *testing.T, name string, c *synth.Case, dir string)) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		c, err := synth.Golden(file)
		if err != nil {
			t.Fatal(err)
		}
		config, err := arch.ParseConfig(c.Config)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := arch.FindIn(layout, config); err != nil {
			t.Logf("%s: %v", name, err)
			continue
		}
		if slices.ContainsFunc(but, func(part string) bool { return strings.Contains(name, part) }) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := c.Write(dir, synth.Options{ShardBytes: 300_000, Tokenizer: 128}); err != nil {
				t.Fatal(err)
			}
			test(t, name, c, dir)
		})
	}
}

// compare holds an exported folder against a golden's variant.
func compare(t *testing.T, what, out string, v synth.Variant, r *receipt.Receipt) {
	t.Helper()
	compareTensors(t, what, out, v, r)
	config, err := os.ReadFile(filepath.Join(out, "config.json"))
	if err != nil {
		t.Error(what, err)
	}
	compareQuantization(t, what, config, v)
}

func compareTensors(t *testing.T, what, out string, v synth.Variant, r *receipt.Receipt) {
	t.Helper()
	c, err := ingest.Open(t.Context(), out, ingest.Options{})
	if err != nil {
		t.Error(what, err)
		return
	}
	defer c.Close()
	if f := c.Findings(); len(f) > 0 {
		t.Errorf("%s: findings %v", what, f)
	}
	got, err := c.Hash(context.Background(), ingest.HashOptions{})
	if err != nil {
		t.Error(what, err)
		return
	}
	want := map[string]tensor.Info{}
	for _, w := range v.Tensors {
		want[w.Path] = w
	}
	infos := map[string]tensor.Info{}
	for _, i := range r.Infos {
		infos[i.Path] = i
	}
	for _, g := range got {
		w, ok := want[g.Path]
		delete(want, g.Path)
		switch {
		case !ok:
			t.Errorf("%s: %s: not in the golden", what, g.Path)
		case g.DType != w.DType || !g.Shape.Equal(w.Shape):
			t.Errorf("%s: %s: %v %v, want %v %v", what, g.Path, g.DType, g.Shape, w.DType, w.Shape)
		case g.Hash != w.Hash:
			t.Errorf("%s: %s: wrong bytes", what, g.Path)
		}
		// What the receipt says for the registry is what ingesting would find.
		i := infos[g.Path]
		if i.Sum != g.Sum || i.Offset != g.Offset || i.File != g.File || i.Bytes != g.Bytes || !i.Hash.IsZero() && i.Hash != g.Hash {
			t.Errorf("%s: %s: the receipt has %+v, the file %+v", what, g.Path, i, g)
		}
		if i.Stats != nil && (g.Stats == nil || *i.Stats != *g.Stats) {
			t.Errorf("%s: %s: the receipt has %+v, ingesting gives %+v", what, g.Path, i.Stats, g.Stats)
		}
		for k, h := range i.Slices {
			if len(g.Slices) != len(i.Slices) || g.Slices[k] != h {
				t.Errorf("%s: %s: slice %d: the receipt has another hash", what, g.Path, k)
				break
			}
		}
	}
	for path := range want {
		t.Errorf("%s: %s: missing", what, path)
	}
}

func compareQuantization(t *testing.T, what string, configJSON []byte, v synth.Variant) {
	t.Helper()
	var config struct{ Quantization, QuantizationConfig any }
	if err := json.Unmarshal(bytes.ReplaceAll(configJSON, []byte("quantization_config"), []byte("quantizationconfig")), &config); err != nil {
		t.Error(what, err)
	}
	var quantization any
	if v.Quantization != nil {
		if err := json.Unmarshal(v.Quantization, &quantization); err != nil {
			t.Error(what, err)
		}
	}
	if !reflect.DeepEqual(config.Quantization, quantization) || quantization != nil && !reflect.DeepEqual(config.QuantizationConfig, quantization) {
		t.Errorf("%s: config.json has quantization %v, want %v", what, config.Quantization, quantization)
	}
}

// PyTorch shards give the same output as safetensors.
func TestTorchGolden(t *testing.T) {
	c, err := synth.Golden(filepath.Join(goldens, "hunyuan.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range c.Variants {
		if o, ok := options(v.Flags); ok {
			o.NoSync = true
			out, r := exported(t, "../ingest/testdata/fixtures/hunyuan-bin", o)
			compare(t, fmt.Sprint(v.Flags), out, v, r)
		}
	}
}

// To mlx and back gives every tensor the source had, byte for byte.
func TestBackToHF(t *testing.T) {
	for _, name := range []string{"hunyuan", "hunyuan-fused", "llama", "mixtral", "dbrx", "deepseek_v3"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := synth.Golden(filepath.Join(goldens, name+".json"))
			if err != nil {
				t.Fatal(err)
			}
			src := written(t, name)
			mlx, _ := exported(t, src, export.Options{NoSync: true})
			back, r := exported(t, mlx, export.Options{Target: arch.HF, NoSync: true})
			if f := verify(t, back); f != nil {
				t.Error(f)
			}
			want := synth.Variant{Quantization: nil}
			for _, w := range c.Source {
				b := make([]byte, w.Bytes)
				if err := synth.Fill(b, w.Path, c.Seed, w.DType, 0); err != nil {
					t.Fatal(err)
				}
				w.Hash = sha256.Sum256(b)
				want.Tensors = append(want.Tensors, w)
			}
			compareTensors(t, name, back, want, r)
		})
	}
}
