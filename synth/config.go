package synth

import (
	"bytes"
	"cmp"
	"embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// configs holds one small config.json per architecture.
//
//go:embed configs/*.json
var configs embed.FS

// The keys under which families keep the sizes that are worth overriding.
var sizeKeys = map[string][]string{
	"layers":  {"num_hidden_layers", "n_layer", "n_layers", "num_layers"},
	"experts": {"num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"},
	"hidden":  {"hidden_size", "n_embd", "d_model", "model_dim"},
	"vocab":   {"vocab_size"},
}

// Config is the small config.json kept for an architecture.
func Config(name string) ([]byte, error) {
	data, err := configs.ReadFile("configs/" + name + ".json")
	if err != nil {
		return nil, fmt.Errorf("architecture %q: no small config is kept for it; wreg arch ls lists the names", name)
	}
	return data, nil
}

// ConfigNames lists the architectures that Config knows.
func ConfigNames() []string {
	entries, err := configs.ReadDir("configs")
	if err != nil {
		panic(err) // embedded
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".json"))
	}
	return names
}

// SetSize sets "layers", "experts", "hidden" or "vocab" under the key that the
// config uses for it, at the top or in text_config. None there is an error.
func SetSize(config []byte, size string, n int64) ([]byte, error) {
	top, err := decode(config)
	if err != nil {
		return nil, err
	}
	objects := []map[string]any{top}
	if text, ok := top["text_config"].(map[string]any); ok {
		objects = append(objects, text)
	}
	if ffn, ok := top["ffn_config"].(map[string]any); ok {
		objects = append(objects, ffn)
	}
	set := false
	for _, o := range objects {
		for _, key := range sizeKeys[size] {
			if _, ok := o[key]; ok {
				o[key], set = n, true
			}
		}
	}
	if !set {
		return nil, fmt.Errorf("config.json: none of %s is there to set %s", strings.Join(sizeKeys[size], ", "), size)
	}
	return json.MarshalIndent(top, "", "  ")
}

// SetKey sets one key, dotted for nested objects, to a JSON value; text that is
// not JSON is taken as a string.
func SetKey(config []byte, key, value string) ([]byte, error) {
	top, err := decode(config)
	if err != nil {
		return nil, err
	}
	var v any
	if json.Unmarshal([]byte(value), &v) == nil {
		v = json.RawMessage(value)
	} else {
		v = value
	}
	path := strings.Split(key, ".")
	o := top
	for i, p := range path[:len(path)-1] {
		next, ok := o[p].(map[string]any)
		if o[p] != nil && !ok {
			return nil, fmt.Errorf("config.json: %s is no object", strings.Join(path[:i+1], "."))
		}
		if !ok {
			next = map[string]any{}
			o[p] = next
		}
		o = next
	}
	o[path[len(path)-1]] = v
	return json.MarshalIndent(top, "", "  ")
}

// Keys adds the keys of a config's objects, however deep, to known.
func Keys(config []byte, known map[string]bool) error {
	top, err := decode(config)
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for key, item := range v {
				known[key] = true
				walk(item)
			}
		case []any:
			for _, item := range v {
				walk(item)
			}
		}
	}
	walk(top)
	return err
}

func decode(config []byte) (map[string]any, error) {
	d := json.NewDecoder(bytes.NewReader(config))
	d.UseNumber()
	var top map[string]any
	if err := d.Decode(&top); err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	return top, nil
}

// VocabSize is the config's vocab_size, 0 when it has none.
func VocabSize(config []byte) int {
	type sized struct {
		N int `json:"vocab_size"`
	}
	var c struct {
		sized
		Text sized `json:"text_config"`
	}
	if json.Unmarshal(config, &c) != nil {
		return 0
	}
	return slices.Max([]int{c.N, c.Text.N, 0})
}

// TorchType is the config's torch_dtype or dtype, "" when it has neither.
func TorchType(config []byte) string {
	type typed struct {
		Torch string `json:"torch_dtype"`
		New   string `json:"dtype"`
	}
	var c struct {
		typed
		Text typed `json:"text_config"`
	}
	if json.Unmarshal(config, &c) != nil {
		return ""
	}
	return cmp.Or(c.Torch, c.New, c.Text.Torch, c.Text.New)
}
