package arch_test

import (
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"wreg/registry/arch"
	"wreg/registry/pyjson"
	"wreg/registry/tensor"
	"wreg/synth"
)

// stored are a weight's tensors as a method writes them: names beside x.weight, dtypes
// and shapes.
type stored map[string]struct {
	dtype tensor.DType
	shape tensor.Shape
}

type foreignMethod struct {
	name   string // in reasons, as config.json says it
	config string // its block in config.json
	alone  string // in reasons when config.json says nothing
	stored func(o, i int64) stored
}

// methods store a matrix of o rows of i numbers as the software they are named for does.
var methods = []foreignMethod{
	{"bitsandbytes nf4", `{"quant_method": "bitsandbytes", "load_in_4bit": true, "bnb_4bit_quant_type": "nf4"}`, "bitsandbytes nf4", func(o, i int64) stored {
		return stored{"weight": {tensor.U8, tensor.Shape{(o*i + 1) / 2, 1}}, "weight.absmax": {tensor.U8, tensor.Shape{(o*i + 63) / 64}}, "weight.nested_absmax": {tensor.F32, tensor.Shape{1}},
			"weight.nested_quant_map": {tensor.F32, tensor.Shape{256}}, "weight.quant_map": {tensor.F32, tensor.Shape{16}}, "weight.quant_state.bitsandbytes__nf4": {tensor.U8, tensor.Shape{154}}}
	}},
	{"bitsandbytes fp4", `{"quant_method": "bitsandbytes", "load_in_4bit": true, "bnb_4bit_quant_storage": "bfloat16"}`, "bitsandbytes fp4", func(o, i int64) stored {
		return stored{"weight": {tensor.BF16, tensor.Shape{(o*i + 3) / 4, 1}}, "weight.absmax": {tensor.F32, tensor.Shape{(o*i + 63) / 64}},
			"weight.quant_map": {tensor.F32, tensor.Shape{16}}, "weight.quant_state.bitsandbytes__fp4": {tensor.U8, tensor.Shape{100}}}
	}},
	{"bitsandbytes int8", `{"quant_method": "bitsandbytes", "load_in_8bit": true}`, "bitsandbytes int8", func(o, i int64) stored {
		return stored{"weight": {tensor.I8, tensor.Shape{o, i}}, "SCB": {tensor.F32, tensor.Shape{o}}, "weight_format": {tensor.U8, nil}}
	}},
	{"optimum-quanto", `{"quant_method": "quanto", "weights": "int8"}`, "optimum-quanto", func(o, i int64) stored {
		return stored{"weight._data": {tensor.I8, tensor.Shape{o, i}}, "weight._scale": {tensor.BF16, tensor.Shape{o, 1}}, "input_scale": {tensor.F32, nil}, "output_scale": {tensor.F32, nil}}
	}},
	{"optimum-quanto", `{"quant_method": "quanto", "weights": "int4"}`, "optimum-quanto", func(o, i int64) stored {
		return stored{"weight._data._data": {tensor.U8, tensor.Shape{(o*i + 1) / 2}}, "weight._scale": {tensor.BF16, tensor.Shape{o, 1}}, "weight._shift": {tensor.BF16, tensor.Shape{o, 1}}}
	}},
	{"HQQ", `{"quant_method": "hqq", "quant_config": {"weight_quant_params": {"nbits": 4, "group_size": 64}}}`, "HQQ", func(o, i int64) stored {
		return stored{"W_q": {tensor.U8, tensor.Shape{(o + 1) / 2, i}}, "scale": {tensor.F16, tensor.Shape{o, 1}}, "zero": {tensor.F16, tensor.Shape{o, 1}}, "shape": {tensor.I64, tensor.Shape{2}},
			"nbits": {tensor.I64, nil}, "group_size": {tensor.I64, nil}, "axis": {tensor.I64, nil}, "packing": {tensor.U8, tensor.Shape{8}}, "meta.scale": {tensor.F16, tensor.Shape{1}}}
	}},
	{"torchao", `{"quant_method": "torchao", "quant_type": {"default": {"_type": "Int4WeightOnlyConfig"}}}`, "torchao", func(o, i int64) stored {
		return stored{"_weight_qdata": {tensor.I8, tensor.Shape{o, i}}, "_weight_scale": {tensor.BF16, tensor.Shape{o, 1}}, "_weight_zero_point": {tensor.I8, tensor.Shape{o, 1}}}
	}},
	{"ModelOpt NVFP4", `{"quant_method": "modelopt", "quant_algo": "NVFP4"}`, "ModelOpt NVFP4", func(o, i int64) stored {
		return stored{"weight": {tensor.U8, tensor.Shape{o, (i + 1) / 2}}, "weight_scale": {tensor.F8E4M3, tensor.Shape{o, (i + 15) / 16}}, "weight_scale_2": {tensor.F32, nil}, "input_scale": {tensor.F32, nil},
			"k_scale": {tensor.F32, nil}}
	}},
	{"ModelOpt", `{"quant_method": "modelopt", "quant_algo": "FP8"}`, "ModelOpt", func(o, i int64) stored {
		return stored{"weight": {tensor.F8E4M3, tensor.Shape{o, i}}, "weight_scale": {tensor.F32, nil}, "input_scale": {tensor.F32, nil}}
	}},
	{"BitNet", `{"quant_method": "bitnet"}`, "BitNet", func(o, i int64) stored {
		return stored{"weight": {tensor.U8, tensor.Shape{(o + 3) / 4, i}}, "weight_scale": {tensor.BF16, tensor.Shape{1}}}
	}},
	{"compressed-tensors", `{"quant_method": "compressed-tensors", "format": "pack-quantized"}`, "compressed-tensors", func(o, i int64) stored {
		return stored{"weight_packed": {tensor.I32, tensor.Shape{o, (i + 3) / 4}}, "weight_scale": {tensor.BF16, tensor.Shape{o, 1}}, "weight_shape": {tensor.I64, tensor.Shape{2}}}
	}},
	{"compressed-tensors", `{"quant_method": "compressed-tensors", "format": "pack-quantized"}`, "compressed-tensors", func(o, i int64) stored {
		return stored{"weight_packed": {tensor.I32, tensor.Shape{o, (i + 7) / 8}}, "weight_scale": {tensor.BF16, tensor.Shape{o, (i + 31) / 32}}, "weight_shape": {tensor.I64, tensor.Shape{2}},
			"weight_zero_point": {tensor.I32, tensor.Shape{(o + 7) / 8, (i + 31) / 32}}, "weight_g_idx": {tensor.I32, tensor.Shape{i}}}
	}},
	{"compressed-tensors NVFP4", `{"quant_method": "compressed-tensors", "format": "nvfp4-pack-quantized"}`, "compressed-tensors NVFP4", func(o, i int64) stored {
		return stored{"weight_packed": {tensor.U8, tensor.Shape{o, (i + 1) / 2}}, "weight_scale": {tensor.F8E4M3, tensor.Shape{o, (i + 15) / 16}}, "weight_global_scale": {tensor.F32, tensor.Shape{1}}, "input_global_scale": {tensor.F32, tensor.Shape{1}}}
	}},
	{"compressed-tensors", `{"quant_method": "compressed-tensors", "format": "int-quantized"}`, "compressed-tensors", func(o, i int64) stored {
		return stored{"weight": {tensor.I8, tensor.Shape{o, i}}, "weight_scale": {tensor.BF16, tensor.Shape{o, 1}}, "weight_zero_point": {tensor.I8, tensor.Shape{o, 1}}, "input_zero_point": {tensor.I8, tensor.Shape{1}}}
	}},
	{"compressed-tensors", `{"quant_method": "compressed-tensors", "format": "float-quantized"}`, "compressed-tensors", func(o, i int64) stored {
		return stored{"weight": {tensor.F8E4M3, tensor.Shape{o, i}}, "weight_scale": {tensor.BF16, tensor.Shape{o, 1}}, "input_scale": {tensor.BF16, tensor.Shape{1}}}
	}},
	{"fp8", `{"quant_method": "fp8", "weight_block_size": [128, 128]}`, "fp8", func(o, i int64) stored {
		return stored{"weight": {tensor.F8E5M2, tensor.Shape{o, i}}, "weight_scale_inv": {tensor.F32, tensor.Shape{(o + 127) / 128, (i + 127) / 128}}, "activation_scale": {tensor.F32, nil}}
	}},
	{"FBGEMM", `{"quant_method": "fbgemm_fp8"}`, "FBGEMM", func(o, i int64) stored {
		return stored{"weight": {tensor.F8E4M3, tensor.Shape{o, i}}, "weight_scale": {tensor.F32, tensor.Shape{o, 1}}, "input_scale_ub": {tensor.F32, tensor.Shape{1}}}
	}},
	{"GPTQ", `{"quant_method": "gptq", "bits": 4, "group_size": 32}`, "GPTQ", func(o, i int64) stored {
		return stored{"qweight": {tensor.I32, tensor.Shape{(i + 7) / 8, o}}, "qzeros": {tensor.I32, tensor.Shape{(i + 31) / 32, (o + 7) / 8}}, "scales": {tensor.F16, tensor.Shape{(i + 31) / 32, o}}, "g_idx": {tensor.I32, tensor.Shape{i}}}
	}},
	{"GPTQ", `{"quant_method": "gptq", "bits": 8, "group_size": -1}`, "GPTQ", func(o, i int64) stored {
		return stored{"qweight": {tensor.I32, tensor.Shape{(i + 3) / 4, o}}, "qzeros": {tensor.I32, tensor.Shape{1, (o + 3) / 4}}, "scales": {tensor.F16, tensor.Shape{1, o}}}
	}},
	{"AWQ", `{"quant_method": "awq", "bits": 4, "group_size": 32}`, "AWQ", func(o, i int64) stored {
		return stored{"qweight": {tensor.I32, tensor.Shape{i, (o + 7) / 8}}, "qzeros": {tensor.I32, tensor.Shape{(i + 31) / 32, (o + 7) / 8}}, "scales": {tensor.F16, tensor.Shape{(i + 31) / 32, o}}}
	}},
	{"AutoRound", `{"quant_method": "auto-round", "bits": 4, "group_size": 128, "packing_format": "auto_round:auto_gptq"}`, "AutoRound", func(o, i int64) stored {
		return stored{"qweight": {tensor.I32, tensor.Shape{(i + 7) / 8, o}}, "qzeros": {tensor.I32, tensor.Shape{1, (o + 7) / 8}}, "scales": {tensor.F16, tensor.Shape{1, o}}}
	}},
	{"Marlin", `{"quant_method": "marlin", "group_size": 128}`, "Marlin", func(o, i int64) stored {
		return stored{"B": {tensor.I32, tensor.Shape{(i + 15) / 16, o * 2}}, "s": {tensor.F16, tensor.Shape{1, o}}, "workspace": {tensor.I32, tensor.Shape{16}}}
	}},
	{"EETQ", `{"quant_method": "eetq", "weights": "int8"}`, "EETQ", func(o, i int64) stored {
		return stored{"weight": {tensor.I8, tensor.Shape{i, o}}, "weight_scales": {tensor.F16, tensor.Shape{o}}}
	}},
	{"VPTQ", `{"quant_method": "vptq"}`, "VPTQ", func(o, i int64) stored {
		return stored{"indices": {tensor.I32, tensor.Shape{1, i, (o + 7) / 8}}, "centroids.weight": {tensor.F16, tensor.Shape{1, 512}}, "res_centroids.weight": {tensor.F16, tensor.Shape{1, 512}},
			"perm": {tensor.I16, tensor.Shape{i}}, "weight_scale": {tensor.F16, tensor.Shape{i}}, "weight_bias": {tensor.F16, tensor.Shape{i}}}
	}},
	{"AQLM", `{"quant_method": "aqlm"}`, "AQLM", func(o, i int64) stored {
		return stored{"codes": {tensor.I8, tensor.Shape{o, (i + 7) / 8, 1}}, "codebooks": {tensor.F16, tensor.Shape{1, 256, 1, 8}}, "scales": {tensor.F16, tensor.Shape{o, 1, 1, 1}}}
	}},
	{"SpQR", `{"quant_method": "spqr"}`, "SpQR", func(o, i int64) stored {
		return stored{"dense_weights": {tensor.I64, tensor.Shape{o * i / 16}}, "row_offsets": {tensor.I32, tensor.Shape{o + 1}}, "col_vals": {tensor.I32, tensor.Shape{9}}, "in_perm": {tensor.I64, tensor.Shape{i}}}
	}},
	{"HIGGS", `{"quant_method": "higgs"}`, "HIGGS", func(o, i int64) stored {
		return stored{"weight": {tensor.I16, tensor.Shape{(o + 3) / 4, i}}, "scales": {tensor.F16, tensor.Shape{o, 1}}, "tables": {tensor.F16, tensor.Shape{16, 2}}, "tables2": {tensor.F32, tensor.Shape{16, 16, 2}}}
	}},
	{`"zzq"`, `{"quant_method": "zzq"}`, "", func(o, i int64) stored {
		return stored{"weight": {tensor.I8, tensor.Shape{o, i}}, "zz_numbers": {tensor.F32, tensor.Shape{7}}}
	}},
	{`"zzq"`, `{"quant_method": "zzq"}`, "", func(o, i int64) stored {
		return stored{"zz_codes": {tensor.I16, tensor.Shape{o, i / 2}}, "zz_table": {tensor.F32, tensor.Shape{7}}}
	}},
	{"Quark", `{"quant_method": "quark"}`, "Quark", func(o, i int64) stored {
		return stored{"weight": {tensor.U8, tensor.Shape{o, (i + 1) / 2}}, "weight_scale": {tensor.U8, tensor.Shape{o, (i + 31) / 32}}}
	}},
}

// Over every architecture, with every matrix stored by one method: what cannot be read
// is named, weight by weight and with its method, whether or not config.json says it;
// nothing is called lost, and no part of a weight stands alone.
func TestForeignMethods(t *testing.T) {
	var cases, named atomic.Int64
	all := goldens(t)
	t.Run("goldens", func(t *testing.T) {
		for turn, golden := range slices.Sorted(maps.Keys(all)) {
			if c := all[golden]; !strings.Contains(string(c.Config), "quant_method") { // stored by one already
				t.Run(golden, func(t *testing.T) {
					t.Parallel()
					for k, m := range methods {
						said := (turn+k)%2 == 0 || m.alone == "" // only config.json names it
						if n, ok := judgeForeign(t, c, &m, said); ok {
							cases.Add(1)
							named.Add(n)
						}
					}
				})
			}
		}
	})
	if cases.Load() < 3000 || named.Load() < 30000 {
		t.Errorf("%d cases, %d weights only", cases.Load(), named.Load())
	}
}

// judgeForeign stores the matrices of a checkpoint by a method and counts those that are
// named for it.
func judgeForeign(t *testing.T, c *synth.Case, m *foreignMethod, said bool) (named int64, any bool) {
	_, _, before := resolve(t, c, c.Source)
	skip := map[string]bool{}
	for _, d := range before.Drops {
		skip[d.Path] = true
	}
	list, weights := storedBy(c.Source, skip, m.stored)
	name, changed := m.alone, *c
	if said {
		name, changed.Config = m.name, claiming(t, c.Config, m.config)
	}
	any = len(weights) > 0
	_, _, r := resolve(t, &changed, list)
	used := map[string]bool{}
	for _, target := range r.Targets {
		if target.Make != nil {
			target.Make.Sources(func(path string) { used[path] = true })
		}
	}
	for _, g := range r.Gaps {
		switch {
		case g.Status != arch.Changed || weights[g.Path] == nil:
			t.Errorf("%s: %s %s: %s", m.config, g.Status, g.Path, g.Reason)
		case !strings.Contains(g.Reason, name) || g.Remedy == "":
			t.Errorf("%s: %s is called %q (%s), want %s", m.config, g.Path, g.Reason, g.Remedy, name)
		}
		named++
		delete(weights, g.Path)
	}
	for path, parts := range weights {
		if !slices.ContainsFunc(parts, func(p string) bool { return used[p] }) {
			t.Errorf("%s: nothing is said of %s", m.config, path)
		}
	}
	for _, path := range r.Unused {
		if !slices.Contains(before.Unused, path) {
			t.Errorf("%s: %s is called unused", m.config, path)
		}
	}
	return named, any
}

// storedBy is a list with its matrices stored by a method, and the paths that each
// became.
func storedBy(list []tensor.Info, skip map[string]bool, by func(o, i int64) stored) (out []tensor.Info, weights map[string][]string) {
	weights = map[string][]string{}
	for _, info := range list {
		module, ok := strings.CutSuffix(info.Path, ".weight")
		if !ok && len(info.Shape) == 3 && info.DType.Float() && !skip[info.Path] { // a stack of experts, as a parameter
			parts := by(info.Shape[1], info.Shape[2])
			if !slices.ContainsFunc(slices.Collect(maps.Keys(parts)), func(name string) bool { return !strings.HasPrefix(name, "weight.") && name != "weight" }) {
				for _, name := range slices.Sorted(maps.Keys(parts)) {
					p := tensor.Info{Path: info.Path + strings.TrimPrefix(name, "weight"), DType: parts[name].dtype, Shape: append(tensor.Shape{info.Shape[0]}, parts[name].shape...)}
					p.Bytes, _ = p.Shape.Bytes(p.DType)
					out = append(out, p)
					weights[info.Path] = append(weights[info.Path], p.Path)
				}
				continue
			}
		}
		if !ok || len(info.Shape) != 2 || !info.DType.Float() || info.DType == tensor.F8E4M3 || skip[info.Path] {
			out = append(out, info)
			continue
		}
		parts := by(info.Shape[0], info.Shape[1])
		for _, name := range slices.Sorted(maps.Keys(parts)) {
			p := tensor.Info{Path: module + "." + name, DType: parts[name].dtype, Shape: parts[name].shape}
			p.Bytes, _ = p.Shape.Bytes(p.DType)
			out = append(out, p)
			weights[info.Path] = append(weights[info.Path], p.Path)
		}
	}
	return out, weights
}

// claiming is a config.json with a quantization_config.
func claiming(t *testing.T, config []byte, block string) []byte {
	t.Helper()
	doc, err := pyjson.Parse(config)
	if err != nil {
		t.Fatal(err)
	}
	q, err := pyjson.Parse([]byte(block))
	if err != nil {
		t.Fatal(err)
	}
	doc.Set("quantization_config", q)
	text, err := doc.Python()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Floats of types that mlx does not have are not passed on as if they were others: not
// alone, not in a stack, and not where an operation would read them.
func TestTypesThatMLXLacks(t *testing.T) {
	for _, golden := range []string{"llama", "olmoe", "gpt_oss", "deepseek_v3"} {
		c := goldens(t)[golden]
		for _, d := range []tensor.DType{tensor.F8E5M2, tensor.F8E4M3FNUZ, tensor.F8E5M2FNUZ, tensor.F8E8M0, tensor.F6E2M3, tensor.F6E3M2, tensor.F4} {
			list, at := slices.Clone(c.Source), ""
			for k, i := range list {
				if at == "" && len(i.Shape) > 1 && i.DType.Float() && strings.Contains(i.Path, ".layers.1.") {
					list[k].DType, at = d, i.Path
				}
			}
			_, _, r := resolve(t, c, list)
			if len(r.Gaps) != 1 || r.Gaps[0].Path != at || !strings.Contains(r.Gaps[0].Reason, "stored as "+d.String()) || r.Gaps[0].Remedy == "" {
				t.Errorf("%s, %s as %v: %+v", golden, at, d, r.Gaps)
			}
		}
	}
}

// A wrapper around the names is told where other software quantized the weights as well,
// and no wrapper is told where there is none.
func TestWrappedForeign(t *testing.T) {
	c := goldens(t)["llama"]
	for _, m := range methods {
		if m.alone == "" {
			continue
		}
		list, _ := storedBy(c.Source, nil, m.stored)
		_, _, r := resolve(t, c, list)
		if slices.ContainsFunc(r.Gaps, func(g arch.Gap) bool { return g.All }) {
			t.Errorf("%s: %s", m.config, r.Gaps[0].Reason)
		}
		for i := range list {
			list[i].Path = "_orig_mod." + list[i].Path
		}
		_, _, r = resolve(t, c, list)
		if len(r.Gaps) != 1 || !r.Gaps[0].All || !strings.Contains(r.Gaps[0].Reason, "_orig_mod.") {
			t.Errorf("%s, wrapped: %d gaps: %+v", m.config, len(r.Gaps), first(r.Gaps))
		}
	}
}
