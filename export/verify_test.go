package export_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wreg/export"
	"wreg/export/receipt"
	"wreg/ingest"
	"wreg/registry/tensor"
	"wreg/synth"
)

// written writes the checkpoint of a golden, but for tensors whose path contains
// one of without.
func written(t testing.TB, name string, without ...string) string {
	t.Helper()
	c, err := synth.Golden(filepath.Join(goldens, name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), name)
	if err := synth.Write(dir, c.Without(without...), synth.Options{Config: c.Config, Seed: c.Seed, ShardBytes: 200_000, Tokenizer: 128}); err != nil {
		t.Fatal(err)
	}
	return dir
}

// verify runs Verify and gives its faults as text.
func verify(t testing.TB, dir string) []string {
	t.Helper()
	v, err := receipt.Verify(context.Background(), dir, receipt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range v.Faults {
		out = append(out, faultText(f))
	}
	return out
}

// faultText is a fault on one line.
func faultText(f tensor.Finding) string {
	text := f.File
	if f.Tensor != "" {
		text += fmt.Sprintf(": tensor %q", f.Tensor)
	}
	if f.Expert > 0 {
		text += fmt.Sprintf(": expert %d", f.Expert-1)
	}
	return text + ": " + f.Message
}

// flip changes one byte of a tensor in an exported folder: the one in the middle
// of index i along axis 0.
func flip(t testing.TB, dir, path string, i int64) {
	t.Helper()
	c, err := ingest.Open(t.Context(), dir, ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	info, ok := c.Lookup(path)
	if !ok {
		t.Fatal(path)
	}
	f, err := os.OpenFile(filepath.Join(dir, info.File), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	slice := info.Bytes / info.Shape[0]
	at := info.Offset + i*slice + slice/2
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1
	if _, err := f.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
}

// contents reads a folder: name → bytes.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		out[path[len(dir)+1:]] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// One changed byte is found, and named with its tensor and its expert; whether the
// experts were copied or cast.
func TestVerifyNamesExpert(t *testing.T) {
	const path = "model.layers.2.mlp.switch_mlp.up_proj.weight"
	src := written(t, "hunyuan")
	for _, dtype := range []tensor.DType{tensor.Invalid, tensor.F16} {
		out, _ := exported(t, src, export.Options{DType: dtype})
		if f := verify(t, out); f != nil {
			t.Fatal(f)
		}
		flip(t, out, path, 3)
		f := verify(t, out)
		if len(f) != 1 || !strings.Contains(f[0], path) || !strings.Contains(f[0], "expert 3") ||
			!strings.Contains(f[0], "model.layers.2.mlp.experts.3.up_proj.weight") {
			t.Errorf("%v: %q", dtype, f)
		}
	}
}

// Every kind of damage to an exported folder is a fault that names the place.
func TestVerifyFindsDamage(t *testing.T) {
	src := written(t, "hunyuan")
	for name, c := range map[string]struct {
		damage func(t *testing.T, out string)
		want   []string
	}{
		"a byte of a plain tensor": {func(t *testing.T, out string) { flip(t, out, "model.norm.weight", 5) }, []string{"model.norm.weight"}},
		"config.json": {func(t *testing.T, out string) {
			os.WriteFile(filepath.Join(out, "config.json"), []byte("{}"), 0o644)
		}, []string{"config.json", "is not what was written"}},
		"no tokenizer": {func(t *testing.T, out string) { os.Remove(filepath.Join(out, "tokenizer.json")) }, []string{"tokenizer.json"}},
		"no shard":     {func(t *testing.T, out string) { os.Remove(filepath.Join(out, "model.safetensors")) }, []string{"model.safetensors"}},
		"a short shard": {func(t *testing.T, out string) {
			os.Truncate(filepath.Join(out, "model.safetensors"), 5000)
		}, []string{"model.safetensors"}},
		"a source": {func(t *testing.T, out string) { flip(t, src, "model.norm.weight", 5) }, []string{"model.norm.weight", "no longer what was exported"}},
	} {
		t.Run(name, func(t *testing.T) {
			out, _ := exported(t, src, export.Options{})
			c.damage(t, out)
			all := strings.Join(verify(t, out), "\n")
			for _, w := range c.want {
				if !strings.Contains(all, w) {
					t.Errorf("%q is not in: %s", w, all)
				}
			}
		})
	}
}

// A folder without a receipt cannot be verified by itself.
func TestVerifyWithoutReceipt(t *testing.T) {
	dir := written(t, "llama")
	if _, err := receipt.Verify(context.Background(), dir, receipt.Options{}); err == nil || !strings.Contains(err.Error(), "wreg-receipt.json") {
		t.Error(err)
	}
}

// A missing expert refuses the export, names the tensor and leaves nothing.
func TestGapsRefuse(t *testing.T) {
	c, err := synth.Golden(filepath.Join(goldens, "hunyuan.json"))
	if err != nil {
		t.Fatal(err)
	}
	shifted := append([]tensor.Info(nil), c.Source...) // experts 0, 1, 3, 9
	for i := range shifted {
		shifted[i].Path = strings.NewReplacer(".experts.2.", ".experts.3.", ".experts.3.", ".experts.9.").Replace(shifted[i].Path)
	}
	for name, x := range map[string]struct {
		tensors []tensor.Info
		want    string
	}{
		"one tensor": {c.Without("layers.3.mlp.experts.2.up_proj"), "model.layers.3.mlp.experts.2.up_proj.weight"},
		"expert 2":   {c.Without("layers.1.mlp.experts.2."), "model.layers.1.mlp.experts.2.gate_proj.weight"},
		"0, 1, 3, 9": {shifted, "model.layers.0.mlp.experts.2.down_proj.weight"},
		"the norm":   {c.Without("model.norm.weight"), "model.norm.weight"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			src := filepath.Join(dir, "src")
			if err := synth.Write(src, x.tensors, synth.Options{Config: c.Config}); err != nil {
				t.Fatal(err)
			}
			_, err := plan(t, src, export.Options{Out: filepath.Join(dir, "out")})
			var gap *export.GapError
			if !errors.As(err, &gap) || !strings.Contains(err.Error(), x.want) {
				t.Errorf("%v\ndoes not name %s", err, x.want)
			}
			if e, _ := os.ReadDir(dir); len(e) != 1 {
				t.Errorf("left %v", e)
			}
		})
	}
}
