package stray

import (
	"testing"

	"wreg/registry/tensor"
)

func TestNear(t *testing.T) {
	for _, c := range []struct {
		a, b string
		near bool
	}{
		{"backbone.embeddings.weight", "backbone.embedding.weight", true},
		{"model.norm.weight", "model.final_layernorm.weight", true},
		{"model.norm.weight", "norm.weight", true},
		{"norm.weight", "model.norm.weight", true},
		{"model.layers.{layer}.mlp.gate_proj.weight", "model.layers.{layer}.mlp.gateproj.weight", true},
		{"model.self_attn.q_proj.weight", "model.self_attn_q_proj.weight", true},
		{"model.norm.weight", "model.norm.gamma", true},
		{"a.weight", "a.weight", true},
		{"model.layers.{layer}.mlp.gate_proj.weight", "model.layers.{layer}.attention.wq.weight", false},
		{"model.norm.weight", "transformer.ln_f.weight", false},
		{"model.embed_tokens.weight", "token_embd.weight", false},
		{"", "a.b.c", false},
	} {
		if got := Near(c.a, c.b); got != c.near || Near(c.b, c.a) != got {
			t.Errorf("%s and %s: %v, want %v, both ways", c.a, c.b, got, c.near)
		}
	}
}

func TestNeeded(t *testing.T) {
	there := map[string]tensor.Info{
		"a.weight": {DType: tensor.U32, Shape: tensor.Shape{4, 4}},
		"b.weight": {DType: tensor.BF16, Shape: tensor.Shape{4, 4}},
	}
	lookup := func(path string) (tensor.Info, bool) { i, ok := there[path]; return i, ok }
	used := func(path string) bool { return path == "b.weight" }
	for path, needed := range map[string]bool{
		"a.scales": true, "a.zeros": true, "b.scales": true, "b.lut": true, "c.qzeros": true, "c.weight_scale": true, "x.lora_A.weight": true,
		"score.weight": true, "classifier.bias": true, "v_head.summary.weight": true, "model.score.weight": true, "layers.0.score.weight": false, "my_score.weight": false,
		"b.input_scale": false, "c.scales": false, "c.lut": false, "stray.weight": false, "scales": false,
	} {
		if why, remedy := Needed(path, lookup, used); (why != "") != needed || (remedy != "") != needed {
			t.Errorf("%s: %q, %q", path, why, remedy)
		}
	}
}
