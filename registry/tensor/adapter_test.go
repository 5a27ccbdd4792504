package tensor

import "testing"

func TestIsAdapter(t *testing.T) {
	for _, c := range []struct {
		want  bool
		paths []string
	}{
		{false, nil},
		{false, []string{"a.weight", "b.weight"}},
		{true, []string{"a.lora_A.weight", "a.lora_B.weight"}},
		{true, []string{"a.lora_a", "a.lora_b", "b.lora_a"}},
		{true, []string{"base_model.model.a.lora_A.weight", "base_model.model.lm_head.weight"}},
		{true, []string{"a.hada_w1_a", "a.hada_w1_b"}},
		{true, []string{"prompt_embeddings"}},
		{true, []string{"lora_unet_down_0.alpha", "lora_unet_down_0.lora_down.weight", "lora_unet_down_0.lora_up.weight"}},
		{true, []string{"e.base_layer.weight", "e.lora_embedding_A", "q.lora_A.weight", "v.lora_A.weight"}}, // embeddings that grew are saved with it
		{false, []string{"a.lora_A.weight", "a.weight"}},
		{false, []string{"a.base_layer.weight", "a.lora_A.default.weight", "a.lora_B.default.weight"}},
		{false, []string{"a.linear.weight", "a.lora_a", "a.lora_b"}},
		{false, []string{"a.base_layer.qweight", "a.lora_A.weight"}},
		{false, []string{"layers.0.w_lora.lora.0.weight"}},
	} {
		var list List
		for _, p := range c.paths {
			list = append(list, Info{Path: p})
		}
		list.Sort()
		if got := IsAdapter(list); got != c.want {
			t.Errorf("%v: %v, want %v", c.paths, got, c.want)
		}
	}
}
