package export_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"wreg/export"
	"wreg/export/receipt"
	"wreg/ingest"
	"wreg/registry"
	"wreg/registry/pyjson"
	"wreg/registry/tensor"
	"wreg/synth"
)

// tiedCheckpoint writes a golden's checkpoint with a head beside the embedding, and
// a config.json that calls it tied. With equal set the head is a copy.
func tiedCheckpoint(t *testing.T, name, config, head, embedding string, equal bool) string {
	t.Helper()
	c, err := synth.Golden(filepath.Join(goldens, name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var like tensor.Info
	for _, x := range c.Source {
		if x.Path == embedding {
			like = x
		}
	}
	if like.Path == "" {
		t.Fatalf("%s has no %s", name, embedding)
	}
	source := append(c.Without(head), tensor.Info{Path: head, DType: like.DType, Shape: like.Shape})
	dir := filepath.Join(t.TempDir(), name)
	text := append(bytes.TrimSuffix(bytes.TrimSpace(c.Config), []byte("}")), []byte(config+"}")...)
	if err := synth.Write(dir, source, synth.Options{Config: text}); err != nil {
		t.Fatal(err)
	}
	if equal {
		o, err := ingest.Open(context.Background(), dir, ingest.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer o.Close()
		r, err := o.Bytes(embedding)
		if err != nil {
			t.Fatal(err)
		}
		info, _ := o.Lookup(embedding)
		data := make([]byte, info.Bytes)
		if _, err := r.ReadAt(data, 0); err != nil {
			t.Fatal(err)
		}
		patch(t, dir, head, data)
	}
	return dir
}

// unhashed exports a checkpoint that was ingested without hashes.
func unhashed(t *testing.T, src string, o export.Options) error {
	t.Helper()
	ctx := context.Background()
	c, err := ingest.Open(ctx, src, ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r, err := registry.Open(filepath.Join(t.TempDir(), "r.db"), registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	v, err := r.Put(ctx, registry.Revision{Model: "m", Root: c.Path(), Config: c.Config(), Files: c.Files()}, c.Tensors())
	if err != nil {
		t.Fatal(err)
	}
	return r.View(func(s *registry.Snapshot) error {
		p, err := export.New(ctx, s, v, o)
		if err != nil {
			return err
		}
		_, err = p.Run(ctx)
		return err
	})
}

// A head that config.json calls tied is dropped when it is the embedding, and stops
// the export when it is not, hashed or not; what is advised works.
func TestTiedHead(t *testing.T) {
	const tie = `, "tie_word_embeddings": true`
	for _, c := range []struct{ golden, config, head, embedding, key string }{
		{"llama", tie, "lm_head.weight", "model.embed_tokens.weight", "tie_word_embeddings"},
		{"qwen3", tie, "lm_head.weight", "model.embed_tokens.weight", "tie_word_embeddings"},
		{"mamba2", tie, "lm_head.weight", "backbone.embeddings.weight", "tie_word_embeddings"},
		{"internlm2", tie, "output.weight", "model.tok_embeddings.weight", "tie_word_embeddings"},
	} {
		o := export.Options{NoSync: true}
		for _, equal := range []bool{true, false} {
			src := tiedCheckpoint(t, c.golden, c.config, c.head, c.embedding, equal)
			o.Out = filepath.Join(t.TempDir(), "hashed")
			_, err := plan(t, src, o)
			o.Out = filepath.Join(t.TempDir(), "unhashed")
			late := unhashed(t, src, o)
			for how, err := range map[string]error{"hashed": err, "unhashed": late} {
				if equal && err != nil {
					t.Errorf("%s, %s, a copy: %v", c.golden, how, err)
				}
				if !equal && (err == nil || !strings.Contains(err.Error(), "trained head") || !strings.Contains(err.Error(), "set "+c.key+" to false")) {
					t.Errorf("%s, %s: %v", c.golden, how, err)
				}
			}
			if _, err := os.Stat(o.Out); !equal && err == nil {
				t.Errorf("%s: was written all the same", c.golden)
			}
		}
		if _, err := plan(t, tiedCheckpoint(t, c.golden, strings.Replace(c.config, "true", "false", 1), c.head, c.embedding, false), export.Options{Out: filepath.Join(t.TempDir(), "out")}); err != nil {
			t.Errorf("%s: the advice does not work: %v", c.golden, err)
		}
	}
}

// A quantization block that speaks of no weight does not leave.
func TestLeftoverQuantization(t *testing.T) {
	for _, block := range []string{
		`"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}`,
		`"quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128}`,
		`"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": true}`,
		`"quantization_config": {"quant_method": "compressed-tensors", "format": "int-quantized"}`,
		`"quantization": {"group_size": 64, "bits": 4}`,
		`"quantization": {"group_size": 64, "bits": 4}, "quantization_config": {"group_size": 64, "bits": 4}`,
		`"text_config": {"quantization_config": {"quant_method": "gptq", "bits": 4}}`,
	} {
		src := reconfigured(t, "llama", ", "+block)
		c, err := ingest.Open(context.Background(), src, ingest.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if f := c.Findings(); len(f) != 1 || f[0].Rule != "leftover-quantization" {
			t.Errorf("%s: findings %v", block, f)
		}
		c.Close()
		for _, target := range []string{"mlx", "hf"} {
			out, _ := exported(t, src, export.Options{NoSync: true, Target: target})
			config, err := os.ReadFile(filepath.Join(out, "config.json"))
			if err != nil || bytes.Contains(config, []byte("quantization")) {
				t.Errorf("%s to %s: %v\n%s", block, target, err, config)
			}
		}
		out, _ := exported(t, src, export.Options{NoSync: true, Quantize: &export.Quantize{Group: 32}})
		if config, _ := os.ReadFile(filepath.Join(out, "config.json")); !bytes.Contains(config, []byte(`"group_size": 32`)) || bytes.Contains(config, []byte("quant_method")) {
			t.Errorf("%s with -q:\n%s", block, config)
		}
	}
}

// What a packed weight means other numbers without is never left out, nor is it
// advised.
func TestCompanions(t *testing.T) {
	c, err := synth.Golden(filepath.Join(goldens, "llama.json"))
	if err != nil {
		t.Fatal(err)
	}
	const at = "model.layers.0.self_attn.q_proj."
	for _, name := range []string{"qzeros", "g_idx", "qweight", "weight_scale", "weight_zero_point", "weight_g_idx", "weight_shape", "weight_packed", "weight_scale_inv", "weight_scale_2",
		"weight.absmax", "weight.nested_absmax", "weight.quant_map", "weight.quant_state.bitsandbytes__nf4", "SCB", "weight._scale", "weight._data", "W_q",
		"_weight_qdata", "_weight_scale", "weight_scales", "weight_global_scale", "qbiases", "q_perm", "trellis", "suh", "Qidxs", "dense_weights", "weight.tensor_impl.scale", "weight.zero_point", "qscales", "weight_format",
		"scale_weight", "pre_quant_scale", "weights_scaling_factor", "weight_quantizer._amax", "weight_zp", "codebook", "lora_A.weight", "lora_B.default.weight"} {
		src := filepath.Join(t.TempDir(), "m")
		extra := tensor.Info{Path: at + name, DType: tensor.BF16, Shape: tensor.Shape{4}}
		if err := synth.Write(src, append(c.Source[:len(c.Source):len(c.Source)], extra), synth.Options{Config: c.Config}); err != nil {
			t.Fatal(err)
		}
		for _, allow := range []bool{false, true} {
			_, err := plan(t, src, export.Options{Out: filepath.Join(t.TempDir(), "out"), AllowUnused: allow})
			if err == nil || !strings.Contains(err.Error(), extra.Path) || strings.Contains(err.Error(), "allow-unused") {
				t.Errorf("%s, allowed %v: %v", name, allow, err)
			}
		}
	}
}

// Scales of activations change no weight, so they can be left out, and that is said.
func TestActivationScales(t *testing.T) {
	c, err := synth.Golden(filepath.Join(goldens, "llama.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"q_proj.input_scale", "k_proj.k_scale", "q_proj.activation_scaling_factor"} {
		src := filepath.Join(t.TempDir(), "m")
		extra := tensor.Info{Path: "model.layers.0.self_attn." + name, DType: tensor.BF16, Shape: tensor.Shape{1}}
		if err := synth.Write(src, append(c.Source[:len(c.Source):len(c.Source)], extra), synth.Options{Config: c.Config}); err != nil {
			t.Fatal(err)
		}
		if _, err := plan(t, src, export.Options{Out: filepath.Join(t.TempDir(), "out")}); err == nil || !strings.Contains(err.Error(), "--allow-unused leaves") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := plan(t, src, export.Options{Out: filepath.Join(t.TempDir(), "out"), AllowUnused: true}); err != nil {
			t.Errorf("%s: the advice does not work: %v", name, err)
		}
	}
}

// A head that no rule takes is left out when it is a copy of what is used, and never
// when it was trained or nothing says; leaving it out is advised in the first case only.
func TestUnusedHead(t *testing.T) {
	const untied = `, "tie_word_embeddings": false`
	for _, c := range []struct{ golden, config, head, embedding string }{
		{"gpt2", untied, "lm_head.weight", "wte.weight"},
		{"gemma2", untied, "lm_head.weight", "model.embed_tokens.weight"},
		{"cohere2", untied, "lm_head.weight", "model.embed_tokens.weight"},
		{"llama", untied, "output.weight", "model.embed_tokens.weight"},
		{"llama", untied, "model.lm_head.weight", "model.embed_tokens.weight"},
	} {
		for _, equal := range []bool{true, false} {
			src := tiedCheckpoint(t, c.golden, c.config, c.head, c.embedding, equal)
			for _, allow := range []bool{false, true} {
				o := export.Options{Out: filepath.Join(t.TempDir(), "out"), AllowUnused: allow, NoSync: true}
				_, err := plan(t, src, o)
				switch {
				case equal && allow && err != nil:
					t.Errorf("%s, %s, a copy: %v", c.golden, c.head, err)
				case equal && !allow && (err == nil || !strings.Contains(err.Error(), "--allow-unused leaves")):
					t.Errorf("%s, %s, a copy: %v", c.golden, c.head, err)
				case !equal && (err == nil || !strings.Contains(err.Error(), c.head+": is an output head") || strings.Contains(err.Error(), "allow-unused")):
					t.Errorf("%s, %s, allowed %v: %v", c.golden, c.head, allow, err)
				}
				o.Out = filepath.Join(t.TempDir(), "unhashed")
				if err := unhashed(t, src, o); err == nil || !strings.Contains(err.Error(), "no hash says") || strings.Contains(err.Error(), "allow-unused") {
					t.Errorf("%s, %s, unhashed, allowed %v: %v", c.golden, c.head, allow, err)
				}
			}
		}
	}
}

// To hf nothing is dropped: a checkpoint in that layout keeps its head, tied or not,
// where hf and mlx have the same names too.
func TestTiedHeadToHF(t *testing.T) {
	for _, tie := range []string{"true", "false"} {
		for _, equal := range []bool{true, false} {
			src := tiedCheckpoint(t, "llama", `, "tie_word_embeddings": `+tie, "lm_head.weight", "model.embed_tokens.weight", equal)
			out, r := exported(t, src, export.Options{NoSync: true, Target: "hf"})
			if !slices.ContainsFunc(r.Tensors, func(x receipt.Tensor) bool { return x.Path == "lm_head.weight" }) {
				t.Errorf("tied %s, a copy %v: %s has no head", tie, equal, out)
			}
		}
	}
}

// Weights in codes without a block that says so are refused; what is advised works.
func TestUnsaidQuantization(t *testing.T) {
	for _, q := range []export.Quantize{{Group: 32, Bits: 8}, {Group: 64, Bits: 4}, {Mode: "mxfp4"}} {
		src, _ := exported(t, reconfigured(t, "llama", ""), export.Options{NoSync: true, Quantize: &q})
		config, err := os.ReadFile(filepath.Join(src, "config.json"))
		if err != nil {
			t.Fatal(err)
		}
		said, err := pyjson.Parse(config)
		if err != nil {
			t.Fatal(err)
		}
		block := said.Object("quantization")
		mode, _ := block.Text("mode")
		said.Remove("quantization")
		said.Remove("quantization_config")
		rewrite := func() {
			text, err := said.Python()
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(src, "config.json"), text, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		rewrite()
		o := export.Options{NoSync: true, Out: filepath.Join(t.TempDir(), "out")}
		_, err = plan(t, src, o)
		if err == nil {
			t.Fatalf("%+v: exported without a block", q)
		}
		_, advice, _ := strings.Cut(err.Error(), `add "quantization": `)
		advice, _, _ = strings.Cut(advice, " to config.json")
		added, perr := pyjson.Parse([]byte(advice))
		if perr != nil {
			t.Fatalf("%+v: %v", q, err)
		}
		for _, key := range []string{"group_size", "bits"} {
			got, _ := added.Get(key)
			if want, _ := block.Get(key); got != want {
				t.Errorf("%+v: %s: advised %v, was %v", q, key, got, want)
			}
		}
		if got, _ := added.Text("mode"); got != mode {
			t.Errorf("%+v: mode advised %q, was %q", q, got, mode)
		}
		o.Dequantize = true
		if _, err := plan(t, src, o); err != nil {
			t.Errorf("%+v, -d: %v", q, err)
		}
		o.Dequantize = false
		said.Set("quantization", added)
		rewrite()
		if _, err := plan(t, src, o); err != nil {
			t.Errorf("%+v: the advice does not work: %v", q, err)
		}
	}
}
