package query

import (
	"os"
	"regexp"
	"strconv"
	"testing"

	"wreg/registry/tensor"
)

// What is suggested instead of another language's words has an answer in a model that is as
// most are.
func TestWhatIsSuggestedFinds(t *testing.T) {
	source, err := os.ReadFile("lang/reflex.go")
	if err != nil {
		t.Fatal(err)
	}
	var list []tensor.Info
	for _, path := range []string{"model.layers.1.self_attn.q_proj.weight", "model.layers.2.self_attn.q_proj.bias", "model.layers.3.mlp.experts.2.up_proj.weight",
		"model.layers.4.a_block_with_a_name.that_is_long.as_some_are.in_models.of_the_hub.scale"} {
		list = append(list, tensor.Info{Path: path, DType: tensor.BF16, Shape: tensor.Shape{1024, 1024}, Bytes: 2 << 20, Hash: tensor.Hash{1}, File: "model-00001-of-00002.safetensors",
			Stats: &tensor.Stats{Min: -1, Max: 2, AbsMax: 2}})
	}
	list = append(list, tensor.Info{Path: "rope.inv_freq", DType: tensor.BF16, Shape: tensor.Shape{4}, Bytes: 8})
	r := store(t, map[string][]tensor.Info{"NAME": list, "OTHER": list[1:]})
	examples := regexp.MustCompile(`(?m)^\t\t\{\[\]string.*", ("[^"]+"|`+"`[^`]+`"+`)\},?$`).FindAllSubmatch(source, -1)
	if len(examples) < 40 {
		t.Fatalf("%d examples", len(examples))
	}
	for _, e := range examples {
		text, err := strconv.Unquote(string(e[1]))
		if err != nil {
			t.Fatal(err)
		}
		q, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if q.Models == nil {
			text += " in NAME"
		}
		if res := ask(t, r, text); len(res.Rows) == 0 {
			t.Errorf("%s: no rows", text)
		}
	}
}
