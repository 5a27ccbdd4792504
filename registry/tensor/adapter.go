package tensor

import (
	"slices"
	"strings"
)

// AdapterParts are the segments of the tensors that an adapter adds to a module, as
// peft, mlx_lm and kohya call them.
var AdapterParts = []string{"lora_A", "lora_B", "lora_a", "lora_b", "lora_up", "lora_down", "lora_embedding_A", "lora_embedding_B", "lora_magnitude_vector",
	"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "lokr_w1", "lokr_w2", "lokr_w1_a", "lokr_w1_b", "lokr_w2_a", "lokr_w2_b",
	"ia3_l", "oft_r", "oft_R", "boft_R", "boft_s", "vera_lambda_b", "vera_lambda_d", "prompt_embeddings", "original_module"}

var isAdapterPart = func() map[string]bool {
	is := map[string]bool{}
	for _, part := range AdapterParts {
		is[part] = true
	}
	return is
}()

// AdapterBases are the segments between a module's name and the weight that an adapter
// is added to, as peft and mlx_lm put them there.
var AdapterBases = []string{"base_layer", "linear", "embedding"}

// AdapterPart gives the module that an adapter's tensor is added to, and the segment
// that says so; ok is false for any other tensor.
func AdapterPart(path string) (module, part string, ok bool) {
	// Every path of every checkpoint comes by here, so only segments with an underscore,
	// which all of these have, are taken out and looked up.
	for at := 0; ; {
		i := strings.IndexByte(path[at:], '_')
		if i < 0 {
			break
		}
		start := at + strings.LastIndexByte(path[at:at+i], '.') + 1
		end := len(path)
		if n := strings.IndexByte(path[at+i:], '.'); n >= 0 {
			end = at + i + n
		}
		if isAdapterPart[path[start:end]] {
			return path[:max(start-1, 0)], path[start:end], true
		}
		at = end
	}
	return "", "", false
}

// IsAdapter reports a list that is an adapter by itself: of the modules that it adds
// to, most have no weight there.
func IsAdapter(list List) bool {
	modules, based := map[string]bool{}, 0
	for i := range list {
		module, _, ok := AdapterPart(list[i].Path)
		if !ok || modules[module] {
			continue
		}
		modules[module] = true
		if slices.ContainsFunc(append([]string{""}, AdapterBases...), func(base string) bool {
			if base != "" {
				base = "." + base
			}
			_, weight := list.Find(module + base + ".weight")
			_, codes := list.Find(module + base + ".qweight")
			return weight || codes
		}) {
			based++
		}
	}
	return based*2 < len(modules)
}
