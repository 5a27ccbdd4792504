package mlxconfig

import (
	"bytes"
	"testing"

	"wreg/registry/pyjson"
)

// The edits that mlx_lm's own reading makes to config.json.
func TestConfigEdits(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`{"model_type":"gemma3","text_config":{"a":1}}`, `{"model_type":"gemma3","text_config":{"a":1,"vocab_size":262208,"num_attention_heads":8,"num_key_value_heads":4}}`},
		{`{"model_type":"gemma3","vocab_size":7,"text_config":{"vocab_size":5,"num_attention_heads":2,"num_key_value_heads":1}}`, `{"model_type":"gemma3","vocab_size":7,"text_config":{"vocab_size":7,"num_attention_heads":2,"num_key_value_heads":1}}`},
		{`{"model_type":"mistral3","text_config":{"tie_word_embeddings":true}}`, `{"model_type":"mistral3","text_config":{"tie_word_embeddings":true}}`},
		{`{"model_type":"llava","text_config":{}}`, `{"model_type":"llava","text_config":{"tie_word_embeddings":false}}`},
		{`{"model_type":"pixtral","text_config":{"tie_word_embeddings":true}}`, `{"model_type":"pixtral","text_config":{"tie_word_embeddings":false,"num_attention_heads":32}}`},
		{`{"model_type":"qwen3_5","text_config":{"rope_parameters":{"rope_type":"default","x":1}}}`, `{"model_type":"qwen3_5","text_config":{"rope_parameters":{"x":1,"type":"default"}}}`},
		{`{"model_type":"qwen3_5","text_config":{"rope_parameters":{"rope_type":"a","type":"b"}}}`, `{"model_type":"qwen3_5","text_config":{"rope_parameters":{"rope_type":"a","type":"b"}}}`},
		{`{"model_type":"qwen3_5","rope_parameters":{"rope_type":"a"}}`, `{"model_type":"qwen3_5","rope_parameters":{"type":"a"}}`},
		{`{"model_type":"qwen3_vl","tie_word_embeddings":true,"text_config":{}}`, `{"model_type":"qwen3_vl","tie_word_embeddings":true,"text_config":{"tie_word_embeddings":true}}`},
		{`{"model_type":"qwen3_vl_moe","tie_word_embeddings":true,"text_config":{"tie_word_embeddings":false}}`, `{"model_type":"qwen3_vl_moe","tie_word_embeddings":true,"text_config":{"tie_word_embeddings":false}}`},
		{`{"model_type":"qwen2_vl","tie_word_embeddings":false,"text_config":{}}`, `{"model_type":"qwen2_vl","tie_word_embeddings":false,"text_config":{"tie_word_embeddings":false}}`},
		{`{"model_type":"qwen2_vl","text_config":{}}`, `{"model_type":"qwen2_vl","text_config":{}}`},
		{`{"model_type":"qwen3_vl","text_config":{}}`, `{"model_type":"qwen3_vl","text_config":{"tie_word_embeddings":false}}`},
		{`{"model_type":"llama"}`, `{"model_type":"llama"}`},
	} {
		got, err := pyjson.Parse([]byte(c.in))
		if err != nil {
			t.Fatal(err)
		}
		Edit(got)
		want, _ := pyjson.Parse([]byte(c.want))
		a, _ := got.Python()
		b, _ := want.Python()
		if !bytes.Equal(a, b) {
			t.Errorf("%s: %s", c.in, a)
		}
	}
}
