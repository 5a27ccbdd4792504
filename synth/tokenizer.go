package synth

import (
	"encoding/json"
	"fmt"
)

// tokenizer adds the smallest tokenizer that transformers' AutoTokenizer loads
// offline: whole words, three special ones and n-3 numbered ones.
func tokenizer(files map[string][]byte, n int) {
	words := []string{"<unk>", "<s>", "</s>"}
	for i := 0; len(words) < n; i++ {
		words = append(words, fmt.Sprintf("w%d", i))
	}
	vocab := make(map[string]int, len(words))
	for i, w := range words {
		vocab[w] = i
	}
	special := make([]any, 3)
	for i := range special {
		special[i] = map[string]any{"id": i, "content": words[i], "single_word": false, "lstrip": false,
			"rstrip": false, "normalized": false, "special": true}
	}
	files["tokenizer.json"] = mustJSON(map[string]any{
		"version": "1.0", "truncation": nil, "padding": nil, "added_tokens": special,
		"normalizer": nil, "pre_tokenizer": map[string]any{"type": "WhitespaceSplit"},
		"post_processor": nil, "decoder": nil,
		"model": map[string]any{"type": "WordLevel", "vocab": vocab, "unk_token": words[0]},
	})
	files["tokenizer_config.json"] = mustJSON(map[string]any{
		"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": words[0], "bos_token": words[1],
		"eos_token": words[2], "model_max_length": 1 << 20, "clean_up_tokenization_spaces": false,
		"chat_template": "{% for m in messages %}{{ m.content }}{% endfor %}",
	})
}

// mustJSON marshals values made here, of types that always marshal.
func mustJSON(v any) []byte {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		panic(err)
	}
	return b
}
