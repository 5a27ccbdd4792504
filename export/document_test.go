package export

import (
	"bytes"
	"testing"
)

// documents pairs JSON with what Python's json.dump(indent=4) makes of it.
var documents = []struct{ in, want string }{
	{`{}`, `{}`},
	{`{"a":[],"b":{}}`, "{\n    \"a\": [],\n    \"b\": {}\n}"},
	{`{"a":[1,[2]]}`, "{\n    \"a\": [\n        1,\n        [\n            2\n        ]\n    ]\n}"},
	{`{"é":"\u00fc\ud83d\ude00\u007f\u2028/\"\\\b\f\n\r\t\u0001"}`, "{\n    \"\\u00e9\": \"\\u00fc\\ud83d\\ude00\\u007f\\u2028/\\\"\\\\\\b\\f\\n\\r\\t\\u0001\"\n}"},
	{`{"a":1e-05}`, "{\n    \"a\": 1e-05\n}"},
	{`{"a":0.0001}`, "{\n    \"a\": 0.0001\n}"},
	{`{"a":1E5}`, "{\n    \"a\": 100000.0\n}"},
	{`{"a":1e15}`, "{\n    \"a\": 1000000000000000.0\n}"},
	{`{"a":1e16}`, "{\n    \"a\": 1e+16\n}"},
	{`{"a":1e22}`, "{\n    \"a\": 1e+22\n}"},
	{`{"a":1.5e300}`, "{\n    \"a\": 1.5e+300\n}"},
	{`{"a":-0.0}`, "{\n    \"a\": -0.0\n}"},
	{`{"a":-0}`, "{\n    \"a\": 0\n}"},
	{`{"a":0.1}`, "{\n    \"a\": 0.1\n}"},
	{`{"a":10.50}`, "{\n    \"a\": 10.5\n}"},
	{`{"a":123456789012345678901234567890}`, "{\n    \"a\": 123456789012345678901234567890\n}"},
	{`{"a":1e999}`, "{\n    \"a\": {\n        \"__float__\": \"Infinity\"\n    }\n}"},
	{`{"a":[-1e999,true,null]}`, "{\n    \"a\": [\n        {\n            \"__float__\": \"-Infinity\"\n        },\n        true,\n        null\n    ]\n}"},
}

func TestPythonJSON(t *testing.T) {
	for _, c := range documents {
		doc, err := parseDocument([]byte(c.in))
		if err != nil {
			t.Errorf("%s: %v", c.in, err)
			continue
		}
		if got, err := doc.python(); err != nil || string(got) != c.want {
			t.Errorf("%s: %v\n%s\nwant\n%s", c.in, err, got, c.want)
		}
	}
}

func TestDocumentRefuses(t *testing.T) {
	for _, in := range []string{``, `[]`, `1`, `{`, `{"a":}`, `{} {}`, `{"a":1}x`, `{"a":` + string(bytes.Repeat([]byte("["), 200)) + string(bytes.Repeat([]byte("]"), 200)) + `}`} {
		if doc, err := parseDocument([]byte(in)); err == nil {
			t.Errorf("%.20q gives %v", in, doc)
		}
	}
}

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
		{`{"model_type":"llama"}`, `{"model_type":"llama"}`},
	} {
		got, err := parseDocument([]byte(c.in))
		if err != nil {
			t.Fatal(err)
		}
		got.edit()
		want, _ := parseDocument([]byte(c.want))
		a, _ := got.python()
		b, _ := want.python()
		if !bytes.Equal(a, b) {
			t.Errorf("%s: %s", c.in, a)
		}
	}
}
