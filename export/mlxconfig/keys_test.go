package mlxconfig

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wreg/registry/pyjson"
)

// Every small config is loaded by mlx_lm, and each key that keys.txt has for it is missed.
func TestRequiredKeys(t *testing.T) {
	files, err := filepath.Glob("../../synth/configs/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	seen := map[string]bool{}
	for _, file := range files {
		config, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := Refuses(config); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		doc, err := pyjson.Parse(config)
		if err != nil {
			t.Fatal(err)
		}
		modelType, _ := doc.Text("model_type")
		seen[modelType] = true
		for _, key := range keys().required[modelType] {
			key, nullable := strings.CutSuffix(key, "?")
			for _, null := range []bool{false, true} {
				doc, _ := pyjson.Parse(config)
				at, name := doc, key
				if of, rest, ok := strings.Cut(key, "."); ok {
					at, name = doc.Object(of), rest
				}
				if strings.Contains(name, "rop") || strings.Contains(name, "rotary") { // an export finds those there
					at.Remove("rope_parameters")
				}
				at.Remove(respelled[name])
				want := "config.json: " + key + " is missing"
				if at.Remove(name); null {
					at.Set(name, nil)
					want = "config.json: " + key + " is null"
				}
				changed, err := doc.Python()
				if err != nil {
					t.Fatal(err)
				}
				if err := Refuses(changed); null && nullable != (err == nil) || !nullable && (err == nil || !strings.HasPrefix(err.Error(), want)) {
					t.Errorf("%s: without %s, null %v: %v", file, key, null, err)
				}
			}
		}
	}
	if len(seen) < 100 {
		t.Errorf("%d model types were looked at", len(seen))
	}
}

// What mlx_lm does not load is named: key, value, and what to do.
func TestRefuses(t *testing.T) {
	const llama = `"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 96, "num_attention_heads": 4, "vocab_size": 128`
	const end = "; mlx_lm loads no llama by it: take the config.json that the model came with"
	long := strings.Repeat("9", 100_000)
	for _, c := range []struct{ config, want string }{
		{`{` + llama + `, "rms_norm_eps": 1e-6}`, ""},
		{`{` + llama + `, "rms_norm_eps": 1e-6, "rope_theta": null, "use_cache": "x", "rope_scaling": "x"}`, ""}, // not read, or not a number
		{`{` + llama + `, "rms_norm_eps": 1e-6, "rope_theta": {"__float__": "Infinity"}, "head_dim": [16]}`, ""},
		{`{` + llama + `}`, "config.json: rms_norm_eps is missing" + end},
		{`{` + llama + `, "rms_norm_eps": null}`, "config.json: rms_norm_eps is null" + end},
		{`{` + llama + `, "rms_norm_eps": "1e-6"}`, `config.json: rms_norm_eps is "1e-6", where a number belongs` + end},
		{`{` + llama + `, "rms_norm_eps": 1e-6, "rope_theta": "` + long + `"}`, `config.json: rope_theta is "` + long[:40] + `", where a number belongs` + end},
		{`{"model_type": "llama"}`, "config.json: hidden_size is missing, intermediate_size is missing, num_attention_heads is missing, num_hidden_layers is missing, and 2 more" + end},
		{`{"model_type": "llama", "text_config": {"head_dim": "x"}, "hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 96, "num_attention_heads": 4, "vocab_size": 128, "rms_norm_eps": 1}`,
			`config.json: text_config.head_dim is "x", where a number belongs` + end},
		{`{"model_type": "ernie4_5", "rope_parameters": {"rope_theta": 1e4}}`, "config.json: head_dim is missing, hidden_size is missing, intermediate_size is missing, max_position_embeddings is missing, and 7 more; mlx_lm loads no ernie4_5 by it: take the config.json that the model came with"},
		{`{"model_type": "of someone else"}`, ""},
		{`{"model_type": 5}`, ""},
		{`{`, "want a key"},
	} {
		err := Refuses([]byte(c.config))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%.200s: %v, want %q", c.config, err, c.want)
		}
	}
}

// What transformers 5 writes is given the names that mlx_lm requires; where it says nothing
// of a key, none is made up.
func TestRespell(t *testing.T) {
	for _, c := range []struct{ in, want, said string }{
		{`{"model_type": "qwen3_moe", "num_local_experts": 4}`, `"num_experts": 4`, "num_experts (of num_local_experts)"},
		{`{"model_type": "qwen3_moe", "num_local_experts": 4, "num_experts": 8}`, `"num_experts": 8`, ""},
		{`{"model_type": "llama", "num_local_experts": 4}`, "", ""},
		{`{"model_type": "qwen3_vl_moe", "text_config": {"num_local_experts": 4}}`, `"num_experts": 4`, "num_experts (of num_local_experts)"},
		{`{"model_type": "gpt_neox", "partial_rotary_factor": 0.5, "rope_theta": 7}`, `"rotary_emb_base": 7`, "rotary_emb_base (of rope_theta), rotary_pct (of partial_rotary_factor)"},
		{`{"model_type": "exaone4", "rope_theta": 7, "rope_parameters": {"rope_type": "default"}}`, `"rope_scaling": null`, "rope_scaling (of rope_parameters)"},
		{`{"model_type": "exaone4", "rope_theta": 7}`, "", ""},
		{`{"model_type": "olmo3", "rope_parameters": {"a": {"rope_type": "default", "rope_theta": 7}, "b": {"rope_type": "default", "rope_theta": 7}}}`, `"rope_theta": 7`, "rope_theta (of rope_parameters)"},
		{`{"model_type": "olmo3", "rope_parameters": {"a": {"rope_type": "default", "rope_theta": 7}, "b": {"rope_type": "default", "rope_theta": 8}}}`, "", ""},
		{`{"model_type": "olmo3", "rope_parameters": {"a": {"rope_type": "yarn", "rope_theta": 7}}}`, "", ""},
		{`{"model_type": "olmo3", "rope_parameters": {}}`, "", ""},
		{`{"model_type": "olmo3"}`, "", ""},
	} {
		doc, err := pyjson.Parse([]byte(c.in))
		if err != nil {
			t.Fatal(err)
		}
		said := strings.Join(Respell(doc), ", ")
		if out, _ := doc.Python(); said != c.said || !strings.Contains(string(out), c.want) {
			t.Errorf("%s: %q, want %q: %s", c.in, said, c.said, out)
		}
	}
}
