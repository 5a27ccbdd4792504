package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"wreg/registry/tensor"
	"wreg/synth"
)

// damage is a checkpoint with something done to it.
type damage struct {
	name   string
	config []byte
	list   []tensor.Info
}

// one gives a list with a tensor changed.
func one(l []tensor.Info, k int, change func(i *tensor.Info)) []tensor.Info {
	if k < 0 {
		return nil
	}
	l = slices.Clone(l)
	l[k].Shape = slices.Clone(l[k].Shape)
	change(&l[k])
	l[k].Bytes, _ = l[k].Shape.Bytes(l[k].DType)
	return l
}

func typed(l []tensor.Info, k int, d tensor.DType) []tensor.Info {
	return one(l, k, func(i *tensor.Info) { i.DType = d })
}

func without(l []tensor.Info, gone func(path string) bool) []tensor.Info {
	return slices.DeleteFunc(slices.Clone(l), func(i tensor.Info) bool { return gone(i.Path) })
}

func with(l []tensor.Info, path string, d tensor.DType, shape ...int64) []tensor.Info {
	i := tensor.Info{Path: path, DType: d, Shape: shape}
	i.Bytes, _ = i.Shape.Bytes(d)
	return append(without(l, func(p string) bool { return p == path }), i)
}

// matrix is where a list's first matrix of floats is, else its first tensor.
func matrix(l []tensor.Info) int {
	return max(0, slices.IndexFunc(l, func(i tensor.Info) bool {
		return len(i.Shape) == 2 && i.DType.Float() && strings.HasSuffix(i.Path, ".weight") && strings.Count(i.Path, ".") > 1
	}))
}

// holding is where the first tensor is whose path has all parts; -1: nowhere.
func holding(l []tensor.Info, parts ...string) int {
	return slices.IndexFunc(l, func(i tensor.Info) bool {
		return !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(i.Path, p) })
	})
}

// module is what the matrix belongs to.
func module(l []tensor.Info) string { return strings.TrimSuffix(l[matrix(l)].Path, "weight") }

// respell is a path with or without the prefix that people leave out or add.
func respell(path string) string {
	if rest, ok := strings.CutPrefix(path, "model."); ok {
		return rest
	}
	return "model." + path
}

// triplet puts GPTQ's or AWQ's three tensors in the matrix's place, without one of them.
func triplet(l []tensor.Info, lacking string) []tensor.Info {
	w, m := l[matrix(l)], module(l)
	if len(w.Shape) != 2 {
		return nil
	}
	l = without(l, func(p string) bool { return p == w.Path })
	for name, i := range map[string]tensor.Info{
		"qweight": {DType: tensor.I32, Shape: tensor.Shape{w.Shape[1], (w.Shape[0] + 7) / 8}},
		"qzeros":  {DType: tensor.I32, Shape: tensor.Shape{1, (w.Shape[0] + 7) / 8}},
		"scales":  {DType: tensor.F16, Shape: tensor.Shape{1, w.Shape[0]}},
	} {
		if name != lacking {
			l = with(l, m+name, i.DType, i.Shape...)
		}
	}
	return l
}

// damages are what is done to any checkpoint; nil where it does not apply.
var damages = []struct {
	name string
	do   func(l []tensor.Info) []tensor.Info
}{
	{"whole", func(l []tensor.Info) []tensor.Info { return l }},
	{"a matrix absent", func(l []tensor.Info) []tensor.Info {
		w := l[matrix(l)].Path
		return without(l, func(p string) bool { return p == w })
	}},
	{"first absent", func(l []tensor.Info) []tensor.Info { return l[1:] }},
	{"last absent", func(l []tensor.Info) []tensor.Info { return l[:len(l)-1] }},
	{"middle absent", func(l []tensor.Info) []tensor.Info {
		m := l[len(l)/2].Path
		return without(l, func(p string) bool { return p == m })
	}},
	{"half absent", func(l []tensor.Info) []tensor.Info { return l[:len(l)/2] }},
	{"template absent", func(l []tensor.Info) []tensor.Info {
		of, _ := tensor.SplitPath(l[matrix(l)].Path)
		return without(l, func(p string) bool { t, _ := tensor.SplitPath(p); return t == of })
	}},
	{"layer absent", func(l []tensor.Info) []tensor.Info {
		return without(l, func(p string) bool { return strings.Contains(p, "layers.1.") })
	}},
	{"int8", func(l []tensor.Info) []tensor.Info { return typed(l, matrix(l), tensor.I8) }},
	{"uint32", func(l []tensor.Info) []tensor.Info { return typed(l, len(l)-1, tensor.U32) }},
	{"a matrix in uint32", func(l []tensor.Info) []tensor.Info { return typed(l, matrix(l), tensor.U32) }},
	{"fp8", func(l []tensor.Info) []tensor.Info { return typed(l, matrix(l), tensor.F8E4M3) }},
	{"e5m2", func(l []tensor.Info) []tensor.Info { return typed(l, matrix(l), tensor.F8E5M2) }},
	{"e8m0", func(l []tensor.Info) []tensor.Info { return typed(l, len(l)-1, tensor.F8E8M0) }},
	{"fnuz", func(l []tensor.Info) []tensor.Info { return typed(l, matrix(l), tensor.F8E4M3FNUZ) }},
	{"f4", func(l []tensor.Info) []tensor.Info { return typed(l, matrix(l), tensor.F4) }},
	{"f64", func(l []tensor.Info) []tensor.Info { return typed(l, matrix(l), tensor.F64) }},
	{"f32", func(l []tensor.Info) []tensor.Info { return typed(l, matrix(l), tensor.F32) }},
	{"f16", func(l []tensor.Info) []tensor.Info { return typed(l, matrix(l), tensor.F16) }},
	{"bf16", func(l []tensor.Info) []tensor.Info { return typed(l, len(l)-1, tensor.BF16) }},
	{"bool", func(l []tensor.Info) []tensor.Info { return typed(l, len(l)-1, tensor.Bool) }},
	{"complex", func(l []tensor.Info) []tensor.Info { return typed(l, matrix(l), tensor.C64) }},
	{"all f64", func(l []tensor.Info) []tensor.Info {
		for k := range l {
			if l[k].DType.Float() {
				l = typed(l, k, tensor.F64)
			}
		}
		return l
	}},
	{"larger", func(l []tensor.Info) []tensor.Info { return one(l, matrix(l), func(i *tensor.Info) { i.Shape[0]++ }) }},
	{"wider", func(l []tensor.Info) []tensor.Info {
		return one(l, matrix(l), func(i *tensor.Info) { i.Shape[len(i.Shape)-1]++ })
	}},
	{"half", func(l []tensor.Info) []tensor.Info {
		return one(l, matrix(l), func(i *tensor.Info) { i.Shape[0] /= 2 })
	}},
	{"rank", func(l []tensor.Info) []tensor.Info {
		return one(l, len(l)-1, func(i *tensor.Info) { i.Shape = append(i.Shape, 1) })
	}},
	{"scalar", func(l []tensor.Info) []tensor.Info { return one(l, matrix(l), func(i *tensor.Info) { i.Shape = nil }) }},
	{"empty", func(l []tensor.Info) []tensor.Info { return one(l, matrix(l), func(i *tensor.Info) { i.Shape[0] = 0 }) }},
	{"transposed", func(l []tensor.Info) []tensor.Info {
		return one(l, matrix(l), func(i *tensor.Info) { slices.Reverse(i.Shape) })
	}},
	{"stray", func(l []tensor.Info) []tensor.Info { return with(l, "stray.weight", tensor.F32, 2) }},
	{"empty stray", func(l []tensor.Info) []tensor.Info { return with(l, "stray.weight", tensor.F32, 0) }},
	{"stray and hole", func(l []tensor.Info) []tensor.Info { return with(l[1:], "stray.weight", tensor.F32, 2) }},
	{"a second spelling", func(l []tensor.Info) []tensor.Info {
		w := l[matrix(l)]
		return with(l, respell(w.Path), w.DType, w.Shape...)
	}},
	{"a second spelling, same bytes", func(l []tensor.Info) []tensor.Info {
		w := l[matrix(l)]
		l = one(l, matrix(l), func(i *tensor.Info) { i.Hash = tensor.Hash{1} })
		l = with(l, respell(w.Path), w.DType, w.Shape...)
		return one(l, len(l)-1, func(i *tensor.Info) { i.Hash = tensor.Hash{1} })
	}},
	{"another spelling", func(l []tensor.Info) []tensor.Info {
		return one(l, matrix(l), func(i *tensor.Info) { i.Path = strings.TrimSuffix(i.Path, ".weight") + "s.weight" })
	}},
	{"two other spellings", func(l []tensor.Info) []tensor.Info {
		l = one(l, matrix(l), func(i *tensor.Info) { i.Path = strings.TrimSuffix(i.Path, ".weight") + "s.weight" })
		return one(l, matrix(l), func(i *tensor.Info) { i.Path = strings.TrimSuffix(i.Path, ".weight") + "x.weight" })
	}},
	{"wrapped", func(l []tensor.Info) []tensor.Info {
		for k := range l {
			l = one(l, k, func(i *tensor.Info) { i.Path = "_orig_mod.module." + i.Path })
		}
		return l
	}},
	{"wrapped, one absent, stray", func(l []tensor.Info) []tensor.Info {
		for k := range l {
			l = one(l, k, func(i *tensor.Info) { i.Path = "_orig_mod.module." + i.Path })
		}
		return with(l[1:], "stray.weight", tensor.F32, 2)
	}},
	{"bare", func(l []tensor.Info) []tensor.Info {
		for k := range l {
			l = one(l, k, func(i *tensor.Info) { i.Path = strings.TrimPrefix(i.Path, "model.") })
		}
		return l
	}},
	{"unmerged", func(l []tensor.Info) []tensor.Info {
		m := module(l)
		for k := range l {
			l = one(l, k, func(i *tensor.Info) {
				i.Path = "base_model.model." + strings.Replace(i.Path, m+"weight", m+"base_layer.weight", 1)
			})
		}
		return with(l, "base_model.model."+m+"lora_A.default.weight", tensor.F32, 2, 4)
	}},
	{"one lora", func(l []tensor.Info) []tensor.Info { return with(l, module(l)+"lora_A.weight", tensor.F32, 2, 4) }},
	{"an expert's dtype", func(l []tensor.Info) []tensor.Info { return typed(l, holding(l, "experts.1."), tensor.F32) }},
	{"an expert's codes", func(l []tensor.Info) []tensor.Info { return typed(l, holding(l, "experts.1."), tensor.I8) }},
	{"an expert's shape", func(l []tensor.Info) []tensor.Info {
		return one(l, holding(l, "experts.1."), func(i *tensor.Info) { i.Shape[0]++ })
	}},
	{"an expert absent", func(l []tensor.Info) []tensor.Info {
		if holding(l, "experts.1.") < 0 {
			return nil
		}
		return without(l, func(p string) bool { return strings.Contains(p, "experts.1.") })
	}},
	{"an expert more", func(l []tensor.Info) []tensor.Info {
		k := holding(l, "experts.1.")
		if k < 0 {
			return nil
		}
		return with(l, strings.Replace(l[k].Path, "experts.1.", "experts.99.", 1), l[k].DType, l[k].Shape...)
	}},
	{"layers more", func(l []tensor.Info) []tensor.Info {
		out := slices.Clone(l)
		for n := range 5 {
			for _, i := range l {
				if strings.Contains(i.Path, "layers.0.") {
					out = append(out, i)
					out[len(out)-1].Path = strings.Replace(i.Path, "layers.0.", fmt.Sprintf("layers.%d.", 90+n), 1)
				}
			}
		}
		return out
	}},
	{"fused and split", func(l []tensor.Info) []tensor.Info {
		k := holding(l, "q_proj.weight")
		if k < 0 {
			return nil
		}
		return with(l, strings.Replace(l[k].Path, "q_proj", "qkv_proj", 1), l[k].DType, 3*l[k].Shape[0], l[k].Shape[len(l[k].Shape)-1])
	}},
	{"split beside fused", func(l []tensor.Info) []tensor.Info {
		k := holding(l, "qkv")
		if k < 0 || len(l[k].Shape) != 2 {
			return nil
		}
		for _, p := range []string{"q", "k", "v"} {
			l = with(l, strings.Replace(l[k].Path, "qkv", p, 1), l[k].DType, l[k].Shape[0]/3, l[k].Shape[1])
		}
		return l
	}},
	{"a scale beside floats", func(l []tensor.Info) []tensor.Info { return with(l, module(l)+"weight_scale", tensor.F32, 1) }},
	{"int8 and its scale", func(l []tensor.Info) []tensor.Info {
		return with(typed(l, matrix(l), tensor.I8), module(l)+"weight_scale", tensor.F32, 1)
	}},
	{"a scale without codes", func(l []tensor.Info) []tensor.Info {
		m := module(l)
		return with(without(l, func(p string) bool { return p == m+"weight" }), m+"weight_scale_inv", tensor.F32, 1, 1)
	}},
	{"fp8 and its scale", func(l []tensor.Info) []tensor.Info {
		return with(typed(l, matrix(l), tensor.F8E4M3), module(l)+"weight_scale_inv", tensor.F32, 1, 1)
	}},
	{"scales beside floats", func(l []tensor.Info) []tensor.Info { return with(l, module(l)+"scales", tensor.F16, 1) }},
	{"biases beside floats", func(l []tensor.Info) []tensor.Info { return with(l, module(l)+"biases", tensor.F16, 1) }},
	{"a bias in codes", func(l []tensor.Info) []tensor.Info { return typed(l, holding(l, ".bias"), tensor.U32) }},
	{"a triplet", func(l []tensor.Info) []tensor.Info { return triplet(l, "") }},
	{"a triplet without zeros", func(l []tensor.Info) []tensor.Info { return triplet(l, "qzeros") }},
	{"a triplet without scales", func(l []tensor.Info) []tensor.Info { return triplet(l, "scales") }},
	{"a triplet without codes", func(l []tensor.Info) []tensor.Info { return triplet(l, "qweight") }},
	{"scales absent", func(l []tensor.Info) []tensor.Info {
		k := max(holding(l, ".scales"), holding(l, "_scale"))
		if k < 0 {
			return nil
		}
		return slices.Delete(slices.Clone(l), k, k+1)
	}},
	{"codes absent", func(l []tensor.Info) []tensor.Info {
		k := slices.IndexFunc(l, func(i tensor.Info) bool { return i.Coded() })
		if k < 0 {
			return nil
		}
		return slices.Delete(slices.Clone(l), k, k+1)
	}},
	{"half of the codes", func(l []tensor.Info) []tensor.Info {
		return one(l, slices.IndexFunc(l, func(i tensor.Info) bool { return i.Coded() && i.Shape[len(i.Shape)-1]%2 == 0 }), func(i *tensor.Info) { i.Shape[len(i.Shape)-1] /= 2 })
	}},
	{"scales of another shape", func(l []tensor.Info) []tensor.Info {
		return one(l, max(holding(l, ".scales"), holding(l, "_scale")), func(i *tensor.Info) { i.Shape = append(i.Shape, 3) })
	}},
	{"frequencies", func(l []tensor.Info) []tensor.Info {
		return with(l, "model.layers.0.self_attn.rotary_emb.inv_freq", tensor.F32, 4)
	}},
	{"a head", func(l []tensor.Info) []tensor.Info { return with(l, "lm_head.weight", tensor.F32, 8, 8) }},
}

// each does every damage to a list, or every n-th from turn.
func each(base string, config []byte, l []tensor.Info, turn, n int) (all []damage) {
	if len(l) < 4 {
		return nil
	}
	for k, d := range damages {
		if (k+turn)%n > 0 && k > 0 {
			continue
		}
		if list := d.do(slices.Clone(l)); list != nil {
			all = append(all, damage{base + ": " + d.name, config, slices.Clone(list)})
		}
	}
	return all
}

// damaged are checkpoints of an architecture in every form, whole and otherwise.
func damaged(t *testing.T, c *synth.Case, turn int) []damage {
	t.Helper()
	set := func(key string, value any) []byte {
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		config, err := synth.SetKey(c.Config, key, string(text))
		if err != nil {
			t.Fatal(err)
		}
		return config
	}
	plain := c.Variants[0].Tensors
	all := each("hf", c.Config, c.Source, turn, 1)
	all = append(all, each("mlx", c.Config, plain, turn, 4)...)
	if config, ok := unsaid(t, c.Config); ok {
		all = append(all, each("unsaid", config, c.Source, turn, 3)...)
	}
	modes := 0
	for _, v := range c.Variants[1:] {
		if len(v.Quantization) == 0 || string(v.Quantization) == "null" || modes == 2 {
			continue
		}
		config := set("quantization", v.Quantization)
		all = append(all, each(fmt.Sprintf("quantized %d", modes), config, v.Tensors, turn+modes, 4)...)
		all = append(all, damage{"quantized, nothing says so", c.Config, v.Tensors})
		if modes++; modes == 1 {
			all = append(all,
				damage{"quantized, config.json has other bits", set("quantization", map[string]int{"bits": 3, "group_size": 128}), v.Tensors},
				damage{"quantized, config.json has no numbers", set("quantization", map[string]int{}), v.Tensors},
				damage{"every second module quantized", config, woven(v.Tensors, plain)})
		}
	}
	for _, method := range []string{"fp8", "awq", "gptq", "mxfp4", "bitsandbytes", "torchao", "unheard-of"} {
		config := set("quantization_config", map[string]any{"quant_method": method, "bits": 4, "group_size": 32})
		all = append(all, damage{method + " said, floats", config, c.Source}, damage{method + " said, int8", config, typed(c.Source, matrix(c.Source), tensor.I8)},
			damage{method + " said, fp8", config, typed(c.Source, matrix(c.Source), tensor.F8E4M3)})
		for _, lacking := range []string{"", "qzeros", "scales", "qweight"} {
			if l := triplet(c.Source, lacking); l != nil {
				all = append(all, damage{method + " said, a triplet without " + lacking, config, l})
			}
		}
	}
	for name, parts := range map[string]map[string]tensor.DType{ // beside q_proj.weight, as its software calls them
		"bitsandbytes":       {"weight": tensor.U8, "weight.absmax": tensor.U8, "weight.quant_map": tensor.F32, "weight.quant_state.bitsandbytes__nf4": tensor.U8},
		"compressed-tensors": {"weight_packed": tensor.I32, "weight_scale": tensor.BF16, "weight_zero_point": tensor.I32, "weight_shape": tensor.I64},
		"quanto":             {"weight._data": tensor.I8, "weight._scale": tensor.BF16, "input_scale": tensor.F32},
		"fp8, scales":        {"weight": tensor.F8E5M2, "weight_scale": tensor.F32, "input_scale": tensor.F32},
	} {
		var l []tensor.Info
		for _, i := range c.Source {
			module, ok := strings.CutSuffix(i.Path, ".weight")
			if !ok || len(i.Shape) != 2 || !i.DType.Float() {
				l = append(l, i)
				continue
			}
			for _, part := range slices.Sorted(maps.Keys(parts)) {
				l = append(l, tensor.Info{Path: module + "." + part, DType: parts[part], Shape: tensor.Shape{i.Shape[0], 1}, Bytes: i.Shape[0] * 2})
			}
		}
		all = append(all, damage{name, c.Config, l})
	}
	if k := holding(c.Source, "embed"); k >= 0 {
		e := c.Source[k]
		tie := set("tie_word_embeddings", true)
		for name, hash := range map[string]tensor.Hash{"the same": {1}, "another": {2}, "unhashed": {}} {
			l := one(c.Source, k, func(i *tensor.Info) { i.Hash = tensor.Hash{1} })
			l = with(l, "lm_head.weight", e.DType, e.Shape...)
			l[len(l)-1].Hash = hash
			all = append(all, damage{"tied, a head, " + name, tie, l})
		}
	}
	return append(all, mixed(t, c)...)
}

// unsaid is a config.json without the block by which it says that weights are quantized.
func unsaid(t *testing.T, config []byte) ([]byte, bool) {
	var doc map[string]any
	if err := json.Unmarshal(config, &doc); err != nil {
		t.Fatal(err)
	}
	text, _ := doc["text_config"].(map[string]any)
	n := len(doc) + len(text)
	delete(doc, "quantization_config")
	delete(text, "quantization_config")
	out, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return out, len(doc)+len(text) < n
}

// woven takes each second module's tensors from one list, the others' from another.
func woven(a, b []tensor.Info) (out []tensor.Info) {
	place := map[string]int{}
	odd := func(path string) bool {
		m := path[:max(strings.LastIndexByte(path, '.'), 0)]
		if _, ok := place[m]; !ok {
			place[m] = len(place)
		}
		return place[m]%2 > 0
	}
	for _, i := range b {
		if odd(i.Path) {
			out = append(out, i)
		}
	}
	for _, i := range a {
		if !odd(i.Path) {
			out = append(out, i)
		}
	}
	return out
}

// mixed are checkpoints that hold some tensors as mlx has them and others as hf does.
func mixed(t *testing.T, c *synth.Case) (all []damage) {
	source := tensor.List(slices.Clone(c.Source))
	source.Sort()
	res, err := resolved(t, c.Config, source)
	if err != nil {
		t.Fatal(err)
	}
	for name, stacked := range map[string]func(k int, path string) bool{
		"every second":      func(k int, _ string) bool { return k%2 == 0 },
		"the first layer":   func(_ int, path string) bool { return strings.Contains(path, ".0.") },
		"all but the first": func(_ int, path string) bool { return !strings.Contains(path, ".0.") },
	} {
		taken, kept, made := map[string]bool{}, map[string]bool{}, []tensor.Info{}
		for k, target := range res.Targets {
			if target.Make == nil {
				continue
			}
			if _, here := source.Lookup(target.Path); here || !stacked(k, target.Path) {
				target.Make.Sources(func(path string) { kept[path] = true }) // what others read stays
				continue
			}
			i := tensor.Info{Path: target.Path, DType: target.Make.DType, Shape: target.Make.Shape}
			i.Bytes, _ = i.Shape.Bytes(i.DType)
			made = append(made, i)
			target.Make.Sources(func(path string) { taken[path] = true })
		}
		if len(made) == 0 {
			continue
		}
		l := append(without(c.Source, func(path string) bool { return taken[path] && !kept[path] }), made...)
		all = append(all, damage{"mixed: " + name, c.Config, l}, damage{"mixed: " + name + ", one absent", c.Config, l[1:]},
			damage{"mixed: " + name + ", a matrix in int8", c.Config, typed(l, matrix(l), tensor.I8)},
			damage{"mixed: " + name + ", and all of hf", c.Config, append(slices.Clone(c.Source), made...)},
			damage{"mixed: " + name + ", one of them twice", c.Config, append(slices.Clone(c.Source), made[0])})
	}
	return all
}
