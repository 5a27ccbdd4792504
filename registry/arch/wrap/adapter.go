package wrap

import (
	"fmt"
	"slices"
	"strings"

	"wreg/registry/tensor"
)

// own are the segments of the tensors that an adapter adds to a module, as peft and
// mlx_lm call them.
var own = []string{"lora_A", "lora_B", "lora_a", "lora_b", "lora_embedding_A", "lora_embedding_B", "lora_magnitude_vector",
	"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "lokr_w1", "lokr_w2", "lokr_w1_a", "lokr_w1_b", "lokr_w2_a", "lokr_w2_b",
	"ia3_l", "oft_r", "oft_R", "boft_R", "boft_s", "vera_lambda_b", "vera_lambda_d", "original_module"}

// bases are the segments that stand between a module's name and the weight an adapter
// is added to.
var bases = []string{"base_layer", "linear", "embedding"}

// saved is where peft keeps modules that it trains whole.
const saved = "modules_to_save"

// Own gives the module that an adapter's tensor is added to; ok is false for any other.
func Own(path string) (module, segment string, ok bool) {
	at := 0
	for segment := range strings.SplitSeq(path, ".") {
		if slices.Contains(own, segment) && at > 0 {
			return path[:at-1], segment, true
		}
		at += len(segment) + 1
	}
	return "", "", false
}

// Adapter is what of a checkpoint is an adapter's.
type Adapter struct {
	N      int    // tensors of its own
	First  string // of them
	Part   string // the segment by which it was known
	Merged tensor.List
}

// Adapted takes the tensors of an adapter out of a checkpoint and gives the others the
// names that they had before it was put in.
func Adapted(list tensor.List) Adapter {
	var a Adapter
	modules := map[string]bool{}
	for i := range list {
		if module, part, ok := Own(list[i].Path); ok {
			if a.N++; a.N == 1 {
				a.First, a.Part = list[i].Path, part
			}
			modules[module] = true
		}
	}
	if a.N == 0 {
		a.Merged = list
		return a
	}
	for _, t := range list {
		if _, _, ok := Own(t.Path); ok {
			continue
		}
		t.Path = before(t.Path, modules)
		a.Merged = append(a.Merged, t)
	}
	a.Merged.Sort()
	return a
}

// before is a path without what an adapter put into it.
func before(path string, modules map[string]bool) string {
	for _, base := range bases {
		if module, rest, ok := strings.Cut(path, "."+base+"."); ok && (modules[module] || base == bases[0]) {
			return module + "." + rest
		}
	}
	if module, rest, ok := strings.Cut(path, "."+saved+"."); ok {
		_, rest, _ = strings.Cut(rest, ".") // the adapter's name
		return module + "." + rest
	}
	return path
}

// Says words that an adapter was not merged into a checkpoint of so many tensors.
// missing is what is missing once it is.
func (a *Adapter) Says(of int, missing string) (path, reason, remedy string) {
	merge := "merge it with peft's merge_and_unload() and save_pretrained(), and ingest what that writes"
	if a.Part == "lora_a" || a.Part == "lora_b" {
		merge = "merge it with mlx_lm.fuse, and ingest what that writes"
	}
	return a.Part + ".*", fmt.Sprintf("%d of %d tensors are those of an adapter that was not merged (%s); once it is, %s", a.N, of, a.First, missing), merge
}
