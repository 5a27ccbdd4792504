package wrap

import (
	"slices"
	"strings"
	"testing"

	"wreg/registry/tensor"
)

func TestReadTrained(t *testing.T) {
	for _, c := range []struct {
		config, text string
		alpha        string
		targets      []string
	}{
		{`{"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["q_proj", "v_proj"], "base_model_name_or_path": "some/llama"}`,
			"an adapter for some/llama (lora, rank 8)", "16", []string{"q_proj", "v_proj"}},
		{`{"peft_type": "LORA", "use_dora": true, "r": 4, "lora_alpha": 2.5, "target_modules": "all-linear", "base_model_name_or_path": null}`,
			"an adapter (dora, rank 4)", "2.5", []string{"all-linear"}},
		{`{"fine_tune_type": "lora", "model": "mlx-community/x", "num_layers": 16, "lora_parameters": {"rank": 8, "scale": 20.0, "keys": ["self_attn.q_proj"]}}`,
			"an adapter for mlx-community/x (lora, rank 8)", "", []string{"self_attn.q_proj"}},
		{`{"peft_type": "IA3", "base_model_name_or_path": "m", "target_modules": [1, "k"]}`, "an adapter for m (ia3)", "", []string{"k"}},
		{`{}`, "an adapter", "", nil},
		{`[`, "an adapter", "", nil},
		{`{"r": "8", "peft_type": 3, "lora_parameters": []}`, "an adapter", "", nil},
	} {
		got := ReadTrained([]byte(c.config))
		if got.Text() != c.text || got.Alpha != c.alpha || !slices.Equal(got.Targets, c.targets) {
			t.Errorf("%s: %q, %+v", c.config, got.Text(), got)
		}
	}
	for config, want := range map[string]string{
		`{"peft_type": "LORA", "base_model_name_or_path": "b"}`: "m@1 is an adapter for b (lora), not a model: merge it into its model first, with peft's merge_and_unload()",
		`{"fine_tune_type": "lora", "model": "b"}`:              "m@1 is an adapter for b (lora), not a model: merge it into its model first, with mlx_lm.fuse",
		`{"peft_type": "PROMPT_TUNING"}`:                        "m@1 is an adapter (prompt_tuning), not a model, and nothing merges it",
		`{"peft_type": "P_TUNING"}`:                             "m@1 is an adapter (p_tuning), not a model, and nothing merges it",
		`{}`:                                                    "m@1 is an adapter, not a model: merge it into its model first, with the software that trained it",
	} {
		if err := NoModel("m@1", []byte(config)); !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestAdapted(t *testing.T) {
	var list tensor.List
	for _, p := range []string{
		"base_model.model.e.base_layer.weight", "base_model.model.e.lora_embedding_A.default",
		"base_model.model.q.base_layer.bias", "base_model.model.q.base_layer.weight", "base_model.model.q.lora_A.default.weight",
		"base_model.model.q.lora_magnitude_vector.default.weight", "base_model.model.head.modules_to_save.default.weight", "base_model.model.head.original_module.weight",
		"mlx.linear.weight", "mlx.lora_a", "norm.weight", "other.linear.weight",
	} {
		list = append(list, tensor.Info{Path: p})
	}
	a := Adapted(list)
	var got []string
	for _, m := range a.Merged {
		got = append(got, m.Path)
	}
	want := []string{"base_model.model.e.weight", "base_model.model.head.weight", "base_model.model.q.bias", "base_model.model.q.weight", "mlx.weight", "norm.weight", "other.linear.weight"}
	if !slices.Equal(got, want) || a.N != 5 || a.Part != "lora_embedding_A" {
		t.Errorf("%d, %s: %v, want %v", a.N, a.Part, got, want)
	}
}

// An adapter is known by what it adds, rather than by what it has put aside.
func TestAdapterPart(t *testing.T) {
	a := Adapted(tensor.List{{Path: "head.original_module.weight"}, {Path: "q.base_layer.weight"}, {Path: "q.lora_A.default.weight"}, {Path: "q.lora_B.default.weight"}})
	if a.N != 3 || a.Part != "lora_A" || a.First != "q.lora_A.default.weight" {
		t.Errorf("%+v", a)
	}
}
