package mlxconfig

import "wreg/registry/pyjson"

// mlx_lm reads config.json into objects that fill in and rename keys of the very
// dictionaries it later writes out, so these edits show in the output's
// config.json. They are listed by model_type (mlx_lm 0.32.2, models/*.py,
// ModelArgs.__post_init__); all happen in text_config.
var configEdits = map[string][]configEdit{
	"gemma3":         gemmaEdits("262208", "4"),
	"gemma4":         gemmaEdits("262144", "1"),
	"gemma4_unified": gemmaEdits("262144", "1"),
	"mistral3":       {{key: "tie_word_embeddings", value: false, keep: true}},
	"llava":          {{key: "tie_word_embeddings", value: false, keep: true}},
	"pixtral":        {{key: "tie_word_embeddings", value: false}, {key: "num_attention_heads", value: pyjson.Number("32"), keep: true}},
	"lfm2-vl":        {{key: "tie_word_embeddings", value: false}},
	"qwen2_vl":       {{key: "tie_word_embeddings", top: "tie_word_embeddings", keep: true}},
	"qwen2_5_vl":     {{key: "tie_word_embeddings", top: "tie_word_embeddings", keep: true}},
	"qwen3_vl":       tied,
	"qwen3_vl_moe":   tied,
	"qwen3_5":        ropeType,
	"qwen3_5_moe":    ropeType,

	"prism_hadamard_qwen35": ropeType,
}

// tied is what mlx_lm wants in text_config and does not look for beside it, as it has
// another default than transformers' class: without, it would not load what was exported.
var tied = []configEdit{{key: "tie_word_embeddings", value: false, top: "tie_word_embeddings", keep: true}}

// ropeType renames rope_parameters.rope_type.
var ropeType = []configEdit{{key: "rope_type", in: "rope_parameters", rename: "type"}}

// configEdit sets or renames a key of text_config.
type configEdit struct {
	key    string
	value  any    // nil: none of its own
	top    string // the value comes from this key of config.json when that is there
	keep   bool   // only when the key is absent
	rename string // instead of a value: the key's new name, unless that is there
	in     string // of this object in text_config (or, without one, in config.json)
}

func gemmaEdits(vocab, kvHeads string) []configEdit {
	return []configEdit{
		{key: "vocab_size", value: pyjson.Number(vocab), top: "vocab_size"},
		{key: "num_attention_heads", value: pyjson.Number("8"), keep: true},
		{key: "num_key_value_heads", value: pyjson.Number(kvHeads), keep: true},
	}
}

// Edit applies the edits of the document's model_type.
func Edit(o *pyjson.Object) {
	modelType, _ := o.Text("model_type")
	for _, e := range configEdits[modelType] {
		at := o.Object("text_config")
		if e.in != "" {
			if at == nil {
				at = o
			}
			at = at.Object(e.in)
		}
		if at == nil {
			continue
		}
		v, there := at.Get(e.key)
		switch {
		case e.rename != "":
			if there && !at.Has(e.rename) {
				at.Remove(e.key)
				at.Set(e.rename, v)
			}
		case !there || !e.keep:
			v := e.value
			if top, ok := o.Get(e.top); ok {
				v = top
			}
			if v != nil {
				at.Set(e.key, v)
			}
		}
	}
}
