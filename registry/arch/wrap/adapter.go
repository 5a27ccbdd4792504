package wrap

import (
	"fmt"
	"strconv"
	"strings"

	"wreg/registry/pyjson"
	"wreg/registry/tensor"
)

// replaced is what peft keeps of a module that it trains whole.
const replaced = "original_module"

// saved is where peft keeps modules that it trains whole.
const saved = "modules_to_save"

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
		if module, part, ok := tensor.AdapterPart(list[i].Path); ok {
			if a.N++; a.Part == "" || a.Part == replaced {
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
		if _, _, ok := tensor.AdapterPart(t.Path); ok {
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
	for _, base := range tensor.AdapterBases {
		if module, rest, ok := strings.Cut(path, "."+base+"."); ok && (modules[module] || base == tensor.AdapterBases[0]) {
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
	merge := "merge it " + byPeft
	if a.Part == "lora_a" || a.Part == "lora_b" {
		merge = "merge it " + byMLX
	}
	return a.Part + ".*", fmt.Sprintf("%d of %d tensors are those of an adapter that was not merged (%s); once it is, %s", a.N, of, a.First, missing), merge
}

// What merges adapters, and what to do then.
const (
	byPeft = "with peft's merge_and_unload() and save_pretrained(), and ingest what that writes"
	byMLX  = "with mlx_lm.fuse, and ingest what that writes"
)

// Trained is what an adapter_config.json says of an adapter: peft's, or mlx_lm's.
type Trained struct {
	Kind    string // "lora", "dora", "ia3"
	Base    string // the model it was trained on
	Rank    string // a number; "" when it does not say, as for the others
	Alpha   string
	Targets []string
	merged  string // by what
}

// ReadTrained reads an adapter_config.json. Whatever it does not say is left out: what
// is an adapter shows in its tensors.
func ReadTrained(config []byte) (t Trained) {
	doc, err := pyjson.Parse(config)
	if err != nil {
		return t
	}
	t.Base = text(doc, "base_model_name_or_path", "model")
	t.Kind = strings.ToLower(text(doc, "peft_type", "fine_tune_type"))
	if dora, _ := doc.Get("use_dora"); dora == true {
		t.Kind = "dora"
	}
	settings := doc
	switch {
	case doc.Has("peft_type"):
		t.merged = byPeft
	case doc.Has("fine_tune_type"), doc.Has("lora_parameters"):
		t.merged = byMLX
	}
	if own := doc.Object("lora_parameters"); own != nil { // mlx_lm's
		settings = own
	}
	t.Rank, t.Alpha = number(settings, "r", "rank"), number(settings, "lora_alpha", "alpha")
	for _, key := range []string{"target_modules", "keys"} {
		switch v, _ := settings.Get(key); v := v.(type) {
		case string:
			t.Targets = append(t.Targets, v)
		case []any:
			for _, x := range v {
				if s, ok := x.(string); ok {
					t.Targets = append(t.Targets, s)
				}
			}
		}
	}
	return t
}

func text(o *pyjson.Object, keys ...string) string {
	for _, key := range keys {
		if s, ok := o.Text(key); ok && s != "" {
			return s
		}
	}
	return ""
}

func number(o *pyjson.Object, keys ...string) string {
	for _, key := range keys {
		if v, ok := o.Get(key); ok {
			if n, ok := v.(pyjson.Number); ok {
				return strconv.FormatFloat(n.Float(), 'g', -1, 64)
			}
		}
	}
	return ""
}

// Text is "an adapter for some/llama (lora, rank 8)".
func (t Trained) Text() string {
	s := "an adapter"
	if t.Base != "" {
		s += " for " + t.Base
	}
	var known []string
	if t.Kind != "" {
		known = append(known, t.Kind)
	}
	if t.Rank != "" {
		known = append(known, "rank "+t.Rank)
	}
	if known != nil {
		s += " (" + strings.Join(known, ", ") + ")"
	}
	return s
}

// NoModel says that an adapter was taken for a model, and what makes one of it.
func NoModel(ref string, config []byte) error {
	t := ReadTrained(config)
	if strings.Contains(t.Kind, "prompt") || strings.HasSuffix(t.Kind, "p_tuning") || strings.HasSuffix(t.Kind, "prefix_tuning") {
		return fmt.Errorf("%s is %s, not a model, and nothing merges it into one: peft puts its tokens before every input", ref, t.Text())
	}
	if t.merged == "" {
		t.merged = "with the software that trained it, and ingest what that writes"
	}
	return fmt.Errorf("%s is %s, not a model: merge it into its model first, %s", ref, t.Text(), t.merged)
}
