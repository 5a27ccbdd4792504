package ingest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"wreg/registry/tensor"
)

// lintCases are checkpoints and the rules that each meets, besides what Open finds.
// Together they meet every rule of the table.
func lintCases(t *testing.T) map[string]struct {
	files map[string]string
	rules string
} {
	type c = struct {
		files map[string]string
		rules string
	}
	one := func(dtype string, elems, size int) map[string]string {
		h := `{"w.weight":{"dtype":"` + dtype + `","shape":[1,` + string(rune('0'+elems)) + `],"data_offsets":[0,` + string(rune('0'+size)) + `]}}`
		return map[string]string{"model.safetensors": string(rune(len(h))) + "\x00\x00\x00\x00\x00\x00\x00" + h + strings.Repeat("\x00", size)}
	}
	fixture := func(name string) map[string]string {
		text, err := os.ReadFile(filepath.Join(fixturesDir, "hostile/safetensors", name))
		if err != nil {
			t.Fatal(err)
		}
		return map[string]string{"model.safetensors": string(text)}
	}
	scaled := func(weight, scale string) map[string]string { // a weight of 1 x 4 bytes and its scale of 1 x 1
		h := `{"w.weight":{"dtype":"` + weight + `","shape":[1,4],"data_offsets":[0,4]},"w.weight_scale":{"dtype":"` + scale + `","shape":[1,1],"data_offsets":[4,5]}}`
		return map[string]string{"model.safetensors": string([]byte{byte(len(h))}) + "\x00\x00\x00\x00\x00\x00\x00" + h + "\x00\x00\x00\x00\x00"}
	}
	return map[string]c{
		"sound":             {map[string]string{"model.safetensors": shard(t, 1, "a")}, ""},
		"hole":              {fixture("hole.safetensors"), "refused reads-hole"},
		"alias":             {fixture("alias.safetensors"), "refused reads-overlap"},
		"trailing":          {fixture("trailing_data.safetensors"), "refused reads-trailing-data"},
		"name twice":        {fixture("dup_key.safetensors"), "refused reads-overlap reads-name-twice"},
		"field twice":       {fixture("dup_field.safetensors"), "refused reads-field-twice"},
		"wrong case":        {fixture("case_field.safetensors"), "refused reads-wrong-case"},
		"leading space":     {fixture("leading_space.safetensors"), "refused reads-leading-space"},
		"garbage":           {fixture("nul_pad.safetensors"), "refused reads-garbage-after-header"},
		"float dimension":   {fixture("shape_float.safetensors"), "refused reads-odd-numbers"},
		"overflow":          {fixture("shape_overflow.safetensors"), "refused reads-overflowing-shape"},
		"not UTF-8":         {fixture("nonutf8.safetensors"), "refused reads-broken-utf8"},
		"metadata":          {fixture("meta_nonstring.safetensors"), "refused reads-odd-metadata"},
		"other name":        {map[string]string{"weights.safetensors": shard(t, 1, "a")}, "mlx-lm-only-safetensors"},
		"one more file":     {map[string]string{"model-a.safetensors": shard(t, 1, "a"), "x.safetensors": shard(t, 1, "b"), stIdx: indexOf("a model-a.safetensors", "b x.safetensors")}, "mlx-lm-skips-file"},
		"stray":             {map[string]string{s1: shard(t, 1, "a"), "model-old.safetensors": shard(t, 1, "b"), stIdx: indexOf("a " + s1)}, "stray-shard mlx-lm-reads-stray"},
		"single and shards": {map[string]string{s1: shard(t, 1, "a"), "model.safetensors": shard(t, 1, "b"), stIdx: indexOf("a " + s1)}, "stray-shard mlx-lm-reads-stray transformers-single-file"},
		"variant":           {map[string]string{"model.safetensors": shard(t, 1, "a"), "model.fp16.safetensors": shard(t, 1, "a")}, "variant mlx-lm-reads-stray"},
		"no index":          {map[string]string{s1: shard(t, 1, "a"), s2: shard(t, 1, "b")}, "transformers-no-index"},
		"lacking":           {map[string]string{s1: shard(t, 1, "a"), stIdx: indexOf("a "+s1, "b "+s1)}, "index-missing-tensor transformers-random-init"},
		"f64":               {one("F64", 1, 8), "mlx-dtype"},
		"fp8":               {one("F8_E4M3", 4, 4), "mlx-fp8-bytes fp8-without-scale"},
		"nvfp4":             {scaled("U8", "F8_E4M3"), ""}, // bytes are what the scales should be read as
		"mxfp8":             {scaled("F8_E4M3", "F8_E8M0"), "mlx-fp8-bytes"},
		"gguf":              {map[string]string{"m.gguf": ggufOf(t, 30, 39, 12, 6)}, "mlx-lm-only-safetensors mlx-gguf-stops mlx-gguf-type mlx-gguf-narrows mlx-gguf-dequantizes safetensors-dtype"},
	}
}

func TestLint(t *testing.T) {
	met := map[string]bool{}
	for name, c := range lintCases(t) {
		dir := t.TempDir()
		writeFiles(t, dir, c.files)
		found, err := Lint(t.Context(), dir, Options{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var rules []string
		for _, f := range found {
			rules = append(rules, f.Rule)
			met[f.Rule] = true
			if f.Message == "" {
				t.Errorf("%s: %s says nothing", name, f.Rule)
			}
		}
		if got := strings.Join(rules, " "); got != c.rules {
			t.Errorf("%s: %q, want %q", name, got, c.rules)
		}
	}
	l := &linted{c: &Checkpoint{open: []*file{{info: tensor.File{Name: "pytorch_model.bin", Format: "torch"}}}}}
	for i := range LintRules {
		if r := &LintRules[i]; r.check != nil {
			r.check(l, r) // torch, without a file of it
		}
	}
	if !slices.ContainsFunc(l.found, func(f tensor.Finding) bool { return f.Rule == "ollama-torch-empty" }) {
		t.Error("no ollama-torch-empty for a torch file")
	}
	met["ollama-torch-empty"] = true
	ids := map[string]bool{}
	for _, r := range LintRules {
		if ids[r.ID] {
			t.Errorf("%s stands twice in the table", r.ID)
		}
		if ids[r.ID] = true; !met[r.ID] && !strings.HasPrefix(r.ID, "architecture-") { // those are said by who knows architectures: cmd/wreg
			t.Errorf("no case meets %s", r.ID)
		}
	}
	if _, err := Lint(t.Context(), filepath.Join(t.TempDir(), "absent"), Options{}); err == nil {
		t.Error("a path that is not there is no error")
	}
}
