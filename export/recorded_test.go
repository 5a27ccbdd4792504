package export_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"wreg/export"
	"wreg/export/receipt"
	"wreg/ingest"
	"wreg/registry"
	"wreg/registry/tensor"
)

// registeredShards is a checkpoint of three shards, an index and config.json, and what a
// registry has of it.
func registeredShards(t *testing.T) (dir string, m *registry.Revision, tensors []tensor.Info) {
	t.Helper()
	dir = written(t, "hunyuan")
	c, err := ingest.Open(t.Context(), dir, ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if tensors, err = c.Hash(t.Context(), ingest.HashOptions{}); err != nil {
		t.Fatal(err)
	}
	return dir, &registry.Revision{Model: "m", Number: 1, Root: c.Path(), Config: c.Config(), Files: c.Files(), Findings: c.Findings(), Hashed: true}, tensors
}

// All that was recorded of a checkpoint is compared: its tensors, which files it
// consists of, its config.json, what its index says.
func TestVerifyModel(t *testing.T) {
	const index = "model.safetensors.index.json"
	file := func(dir, name string) string { return filepath.Join(dir, name) }
	write := func(t *testing.T, path string, data []byte) {
		t.Helper()
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	read := func(t *testing.T, path string) []byte {
		t.Helper()
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	shards := func(t *testing.T, dir string) []string {
		t.Helper()
		all, _ := filepath.Glob(file(dir, "*.safetensors"))
		if len(all) < 3 {
			t.Fatal(all)
		}
		return all
	}
	// entries changes the index's weight_map, keeping its format.
	entries := func(t *testing.T, dir string, change func(weights map[string]string)) {
		var x struct {
			Metadata map[string]any    `json:"metadata"`
			Weights  map[string]string `json:"weight_map"`
		}
		if err := json.Unmarshal(read(t, file(dir, index)), &x); err != nil {
			t.Fatal(err)
		}
		change(x.Weights)
		data, err := json.MarshalIndent(x, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		write(t, file(dir, index), data)
	}
	for name, c := range map[string]struct {
		change func(t *testing.T, dir string)
		want   string // "": nothing is wrong
		note   string
	}{
		"nothing":       {func(*testing.T, string) {}, "", ""},
		"a byte":        {func(t *testing.T, dir string) { flip(t, dir, "model.norm.weight", 1) }, "model.norm.weight", ""},
		"a tokenizer":   {func(t *testing.T, dir string) { os.Remove(file(dir, "tokenizer.json")) }, "", ""}, // is not recorded
		"config.json":   {func(t *testing.T, dir string) { os.Remove(file(dir, "config.json")) }, "config.json: is missing", ""},
		"an old config": {func(t *testing.T, dir string) { write(t, file(dir, "config.json"), []byte("{}")) }, "config.json: is not what was ingested", ""},
		"a config of one size": {func(t *testing.T, dir string) {
			write(t, file(dir, "config.json"), bytes.Replace(read(t, file(dir, "config.json")), []byte(`"hidden_size"`), []byte(`"hidden_sizE"`), 1))
		}, "config.json: is not what was ingested", ""},
		"no index":   {func(t *testing.T, dir string) { os.Remove(file(dir, index)) }, index + ": is missing", ""},
		"half index": {func(t *testing.T, dir string) { os.Truncate(file(dir, index), 200) }, index, ""},
		"an index that lost an entry": {func(t *testing.T, dir string) {
			entries(t, dir, func(w map[string]string) { delete(w, "model.norm.weight") })
		}, "model.norm.weight", ""},
		"an index that lost a shard": {func(t *testing.T, dir string) {
			gone := filepath.Base(shards(t, dir)[2])
			entries(t, dir, func(w map[string]string) {
				for path, shard := range w {
					if shard == gone {
						delete(w, path)
					}
				}
			})
		}, "is missing", ""},
		"an index with two names changed": {func(t *testing.T, dir string) {
			text := read(t, file(dir, index))
			a, b := []byte("layers.0.self_attn.q_proj.weight"), []byte("layers.0.self_attn.q_prox.weight")
			write(t, file(dir, index), bytes.Replace(text, a, b, 1))
		}, "q_pro", ""},
		"an index written again": {func(t *testing.T, dir string) {
			text := read(t, file(dir, index))
			os.Remove(file(dir, index))
			write(t, file(dir, index), text)
			st, _ := os.Stat(file(dir, "config.json"))
			os.Chtimes(file(dir, index), st.ModTime(), st.ModTime().Add(5e9))
		}, "", index + ": was written again"},
		"no shard":    {func(t *testing.T, dir string) { os.Remove(shards(t, dir)[1]) }, "is missing", ""},
		"short shard": {func(t *testing.T, dir string) { os.Truncate(shards(t, dir)[1], 5000) }, "safetensors", ""},
		"a stray shard": {func(t *testing.T, dir string) {
			write(t, file(dir, "model-00009-of-00009.safetensors"), read(t, shards(t, dir)[0]))
		}, "model-00009-of-00009.safetensors: is there, and was not", ""},
		"a stray shard that cannot be read": {func(t *testing.T, dir string) { write(t, file(dir, "extra.safetensors"), []byte("x")) }, "extra.safetensors", ""},
		"weights of another format":         {func(t *testing.T, dir string) { write(t, file(dir, "pytorch_model.bin"), []byte("x")) }, "pytorch_model.bin", ""},
		"a second index": {func(t *testing.T, dir string) {
			write(t, file(dir, "other.safetensors.index.json"), read(t, file(dir, index)))
		}, "other.safetensors.index.json", ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir, m, tensors := registeredShards(t)
			c.change(t, dir)
			v, err := receipt.VerifyModel(t.Context(), m, tensors, receipt.Options{})
			if err != nil {
				t.Fatal(err)
			}
			var all []string
			for _, f := range v.Faults {
				all = append(all, faultText(f))
			}
			if got := strings.Join(all, "\n"); c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("%q, want … %s …", got, c.want)
			}
			if notes := strings.Join(v.NotChecked, "\n"); c.note == "" && notes != "" && c.want == "" || !strings.Contains(notes, c.note) {
				t.Errorf("not checked: %q, want … %s …", notes, c.note)
			}
		})
	}
}

// What was there already when a checkpoint was ingested is no fault, nor is what a wreg
// of that time did not find in a config.json that is the same.
func TestVerifyModelKnowsItsFindings(t *testing.T) {
	dir := written(t, "llama")
	config, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err == nil {
		leftover := bytes.Replace(config, []byte("{"), []byte(`{"quantization_config": {"quant_method": "fp8"},`), 1)
		err = os.WriteFile(filepath.Join(dir, "config.json"), leftover, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "pytorch_model.bin"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	shards, _ := filepath.Glob(filepath.Join(dir, "*.safetensors"))
	data, err := os.ReadFile(shards[0])
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "copy.safetensors"), data, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	c, err := ingest.Open(t.Context(), dir, ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	tensors, err := c.Hash(t.Context(), ingest.HashOptions{})
	if err != nil {
		t.Fatal(err)
	}
	findings := slices.DeleteFunc(slices.Clone(c.Findings()), func(f tensor.Finding) bool { return f.Rule == "leftover-quantization" })
	if len(findings) < 2 || len(findings) == len(c.Findings()) {
		t.Fatal(c.Findings())
	}
	m := &registry.Revision{Model: "m", Number: 1, Root: dir, Config: c.Config(), Files: c.Files(), Findings: findings, Hashed: true}
	v, err := receipt.VerifyModel(t.Context(), m, tensors, receipt.Options{})
	if err != nil || v.Faults != nil {
		t.Error(v, err)
	}
	m.Hashed = false
	if _, err := receipt.VerifyModel(t.Context(), m, tensors, receipt.Options{}); err == nil || !strings.Contains(err.Error(), "without hashes") {
		t.Error(err)
	}
	m.Hashed, m.Root = true, dir+"-gone"
	if _, err := receipt.VerifyModel(t.Context(), m, tensors, receipt.Options{}); err == nil {
		t.Error("a folder that is gone was verified")
	}
}

// A receipt that is sealed and lacks a checksum proves nothing: it is refused.
func TestReceiptWithoutSums(t *testing.T) {
	src := written(t, "hunyuan")
	out, _ := exported(t, src, export.Options{NoSync: true})
	file := filepath.Join(out, "wreg-receipt.json")
	right, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	stack := func(r *receipt.Receipt) *receipt.Tensor {
		for i := range r.Tensors {
			if len(r.Tensors[i].Parts) > 1 {
				return &r.Tensors[i]
			}
		}
		t.Fatal("no stack")
		return nil
	}
	for name, c := range map[string]struct {
		change func(r *receipt.Receipt)
		want   string
	}{
		"nothing":        {func(*receipt.Receipt) {}, ""},
		"a tensor's":     {func(r *receipt.Receipt) { r.Tensors[0].XXH3 = "" }, "no checksum"},
		"all tensors'":   {func(r *receipt.Receipt) { strip(r) }, "no checksum"},
		"a part's":       {func(r *receipt.Receipt) { stack(r).Parts[1].XXH3 = "" }, "no checksum"},
		"a stack's":      {func(r *receipt.Receipt) { stack(r).XXH3 = "" }, "no checksum"},
		"zeros":          {func(r *receipt.Receipt) { r.Tensors[0].XXH3 = "xxh3:" + strings.Repeat("0", 32) }, "no checksum"},
		"a file's":       {func(r *receipt.Receipt) { r.Files[0].SHA256 = "" }, "no checksum"},
		"a shard's":      {func(r *receipt.Receipt) { r.Shards[0].SHA256 = "" }, "no checksum"},
		"a source's":     {func(r *receipt.Receipt) { r.Sources[0].XXH3 = "" }, "no checksum"},
		"another source": {func(r *receipt.Receipt) { r.Sources[0].XXH3 = "xxh3:" + strings.Repeat("1", 32) }, "whose checksum differs"},
		"no source":      {func(r *receipt.Receipt) { r.Sources = r.Sources[1:] }, "does not list"},
	} {
		t.Run(name, func(t *testing.T) {
			var r receipt.Receipt
			if err := json.Unmarshal(right, &r); err != nil {
				t.Fatal(err)
			}
			r.Root = filepath.Join(src, "gone") // as on another machine: nothing else contradicts it
			c.change(&r)
			data, err := r.JSON()
			if err == nil {
				err = os.WriteFile(file, data, 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
			v, err := receipt.Verify(t.Context(), out, receipt.Options{})
			got := ""
			if err != nil {
				got = err.Error()
			} else {
				for _, f := range v.Faults {
					got += faultText(f) + "\n"
				}
			}
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("%q, want … %s …", got, c.want)
			}
		})
	}
}

func strip(r *receipt.Receipt) {
	for i := range r.Tensors {
		r.Tensors[i].XXH3, r.Tensors[i].SHA256, r.Tensors[i].Parts = "", "", nil
	}
}
