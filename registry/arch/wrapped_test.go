package arch_test

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"wreg/registry/arch"
	"wreg/registry/tensor"
)

// What training puts before the names of a checkpoint, or into them, is one gap, in
// every architecture and both layouts, and what that advises makes it whole again.
func TestWrappedNames(t *testing.T) {
	prefixed := func(prefix string) func(string) string { return func(path string) string { return prefix + path } }
	training := []tensor.Info{{Path: "epoch", DType: tensor.I64}, {Path: "optimizer_states.0.state.0.exp_avg", DType: tensor.F32, Shape: tensor.Shape{4}, Bytes: 16}}
	ways := []struct {
		name, flags string
		wrap        func(path string) string
		beside      []tensor.Info
	}{
		{"compile", "--strip _orig_mod.", prefixed("_orig_mod."), nil},
		{"ddp", "--strip _orig_mod.module.", prefixed("_orig_mod.module."), nil},
		{"trainer", "--strip net.", prefixed("net."), training},
		{"lightning", "--strip state_dict.model.", prefixed("state_dict.model."), training},
		{"peft", "--strip base_model.model.", prefixed("base_model.model."), nil},
		{"fsdp", "--strip _fsdp_wrapped_module.", func(path string) string {
			return "_fsdp_wrapped_module." + strings.ReplaceAll(path, ".0.", ".0._checkpoint_wrapped_module.")
		}, nil},
	}
	for name, c := range goldens(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for k, list := range [][]tensor.Info{c.Source, c.Variants[0].Tensors} {
				_, _, whole := resolve(t, c, list)
				for n, way := range ways[4*k:] {
					wrapped := slices.Concat(list, way.beside)
					for i := range list {
						wrapped[i].Path = way.wrap(list[i].Path)
					}
					a, config, r := resolve(t, c, wrapped)
					if len(r.Gaps) != 1 || !r.Gaps[0].All || r.Gaps[0].Remedy != "ingest again with "+way.flags || !strings.Contains(r.Gaps[0].Reason, "nothing is missing") {
						t.Errorf("%s: %d gaps, the first %v", way.name, len(r.Gaps), first(r.Gaps))
						continue
					}
					for _, layout := range []string{arch.HF, arch.MLX}[min(n, 1)*2:] { // one way stands for all
						against, err := a.Against(t.Context(), config, layout, newSource(wrapped))
						if err != nil || len(against) != 1 || against[0].Reason != r.Gaps[0].Reason {
							t.Errorf("%s against %s: %d gaps, %v: %v", way.name, layout, len(against), err, first(against))
						}
					}
					naming := tensor.Naming{Strip: strings.TrimPrefix(way.flags, "--strip ")}
					sorted := newSource(wrapped)
					renamed, _, left, err := naming.Renamed(sorted.list)
					if err != nil || len(left) != len(way.beside) {
						t.Errorf("%s: %v left out, %v", way.name, left, err)
					}
					if _, _, r := resolve(t, c, renamed); len(r.Gaps)+len(r.Unused) != len(whole.Gaps)+len(whole.Unused) || len(r.Drops) != len(whole.Drops) {
						t.Errorf("%s: read with %s it has other gaps: %v", way.name, way.flags, first(r.Gaps))
					}
				}
			}
		})
	}
}

// Where only some modules were wrapped, the others stay as they are.
func TestPartlyWrappedNames(t *testing.T) {
	for name, c := range goldens(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			segment := func(path string) string { return path[:strings.IndexByte(path+".", '.')] }
			_, _, whole := resolve(t, c, c.Source)
			list, inside := slices.Clone(c.Source), map[string]bool{}
			for i := range list {
				if name := segment(list[i].Path); i%3 > 0 || !inside[name] {
					inside[name] = true
					list[i].Path = "module." + list[i].Path
				}
			}
			_, _, r := resolve(t, c, list)
			if len(r.Gaps) != 1 || r.Gaps[0].Remedy != "ingest again with --strip module." || !strings.Contains(r.Gaps[0].Reason, "nothing is missing") || strings.Contains(r.Gaps[0].Reason, "left out") {
				t.Fatalf("%d gaps, the first %v", len(r.Gaps), first(r.Gaps))
			}
			renamed, _, left, err := tensor.Naming{Strip: "module."}.Renamed(newSource(list).list)
			if err != nil || len(left) > 0 {
				t.Fatalf("%v left out, %v", left, err)
			}
			if _, _, r := resolve(t, c, renamed); len(r.Gaps) != len(whole.Gaps) || len(r.Unused) != len(whole.Unused) {
				t.Errorf("read with --strip module. it has other gaps: %v", first(r.Gaps))
			}
		})
	}
}

// A decoder by itself lacks the prefix that it has in the whole model; what is missing
// besides is counted.
func TestBareNames(t *testing.T) {
	for name, c := range goldens(t) {
		if !slices.Contains([]string{"llama", "qwen3", "qwen3_moe", "gemma2", "phi3"}, name) {
			continue
		}
		bare := slices.Clone(c.Source)
		for i := range bare {
			bare[i].Path = strings.TrimPrefix(bare[i].Path, "model.")
		}
		_, _, r := resolve(t, c, bare)
		if len(r.Gaps) != 1 || r.Gaps[0].Remedy != "ingest again with --add model." || !strings.Contains(r.Gaps[0].Reason, "the names lack model., which those of "+r.Arch.Name+" begin with; with it nothing is missing") {
			t.Errorf("%s: %d gaps: %v", name, len(r.Gaps), first(r.Gaps))
		}
		for i := range bare {
			bare[i].Path = "state_dict.net." + bare[i].Path
		}
		bare = slices.DeleteFunc(bare, func(i tensor.Info) bool {
			return strings.HasSuffix(i.Path, "norm.weight") && !strings.Contains(i.Path, "layers")
		})
		_, _, r = resolve(t, c, bare)
		want := fmt.Sprintf("all %d names begin with state_dict.net. where those of %s begin with model.; with that 1 of", len(bare), r.Arch.Name)
		if len(r.Gaps) != 1 || r.Gaps[0].Remedy != "ingest again with --strip state_dict.net. --add model." || !strings.Contains(r.Gaps[0].Reason, want) {
			t.Errorf("%s in a trainer: %d gaps: %v", name, len(r.Gaps), first(r.Gaps))
		}
	}
}

// Flat parameters of one process are one gap, not everything lost.
func TestFlatParameters(t *testing.T) {
	c := goldens(t)["llama"]
	for _, at := range []string{"_fsdp_wrapped_module._flat_param", "fp32_flat_groups.0"} {
		var list []tensor.Info
		for _, before := range []string{"", "model.layers.0.", "model.layers.1."} {
			list = append(list, tensor.Info{Path: before + at, DType: tensor.F32, Shape: tensor.Shape{8224}, Bytes: 4 * 8224})
		}
		a, config, r := resolve(t, c, list)
		for _, layout := range []string{arch.HF, arch.MLX} {
			against, err := a.Against(t.Context(), config, layout, newSource(list))
			if err != nil || len(against) != 1 {
				t.Errorf("%s: %d gaps against %s, %v", at, len(against), layout, err)
			}
		}
		if len(r.Gaps) != 1 || !r.Gaps[0].All || !strings.Contains(r.Gaps[0].Reason, "3 of 3 tensors are ") || !strings.Contains(r.Gaps[0].Reason, "of one process") {
			t.Errorf("%s: %d gaps, the first %v", at, len(r.Gaps), first(r.Gaps))
		}
	}
}

// Names that are right but for a prefix are so whatever lies under them.
func TestWrappedPieces(t *testing.T) {
	c := goldens(t)["llama"]
	list := slices.Clone(c.Source)
	n := 0
	for i := range list {
		list[i].Path = "module." + list[i].Path
		if s := list[i].Shape; len(s) > 1 {
			list[i].Shape = tensor.Shape{s[0] / 2, s[1]}
			n++
		}
	}
	_, _, r := resolve(t, c, list)
	want := fmt.Sprintf("all %d names begin with module.; without it nothing is missing, and %d are there but not as expected", len(list), n)
	if len(r.Gaps) != 1 || r.Gaps[0].Reason != want {
		t.Errorf("%d gaps: %v", len(r.Gaps), first(r.Gaps))
	}
}

// A prefix that is on names which fit, and most do not, is not what is the matter.
func TestPrefixOfFew(t *testing.T) {
	c := goldens(t)["llama"]
	few := slices.Clone(c.Source)
	for i := range few {
		if strings.HasSuffix(few[i].Path, "_proj.weight") {
			few[i].Path = strings.ReplaceAll(few[i].Path, "_proj", "_other")
		}
		few[i].Path = "net." + few[i].Path
	}
	if _, _, r := resolve(t, c, few); len(r.Gaps) < len(few) || r.Gaps[0].All {
		t.Errorf("%d gaps: %v", len(r.Gaps), first(r.Gaps))
	}
}

// An adapter beside weights that are all there is one gap, too.
func TestAdapterBeside(t *testing.T) {
	c := goldens(t)["llama"]
	list := slices.Clone(c.Source)
	for _, i := range c.Source {
		if module, ok := strings.CutSuffix(i.Path, "q_proj.weight"); ok {
			for _, part := range []string{"A", "B"} {
				list = append(list, tensor.Info{Path: module + "q_proj.lora_" + part + ".default.weight", DType: tensor.F32, Shape: tensor.Shape{4, 4}, Bytes: 64})
			}
		}
	}
	_, _, r := resolve(t, c, list)
	n := len(list) - len(c.Source)
	want := fmt.Sprintf("%d of %d tensors are those of an adapter that was not merged", n, len(list))
	if len(r.Gaps) != 1 || !r.Gaps[0].All || r.Gaps[0].Status != arch.Extra || !strings.Contains(r.Gaps[0].Reason, want) || !strings.Contains(r.Gaps[0].Remedy, "merge_and_unload") {
		t.Errorf("%d gaps: %v", len(r.Gaps), first(r.Gaps))
	}
}

// Weights of no elements, pieces of weights and what training keeps are called so.
func TestSharesAndStates(t *testing.T) {
	c := goldens(t)["llama"]
	reshaped := func(change func(s tensor.Shape) tensor.Shape) []tensor.Info {
		list := slices.Clone(c.Source)
		for i := range list {
			if len(list[i].Shape) > 1 {
				list[i].Shape = change(slices.Clone(list[i].Shape))
				list[i].Bytes, _ = list[i].Shape.Bytes(list[i].DType)
			}
		}
		return list
	}
	one := slices.Clone(c.Source)
	for i := range one {
		if one[i].Path == "model.layers.0.mlp.up_proj.weight" {
			one[i].Shape = tensor.Shape{one[i].Shape[0] / 2, one[i].Shape[1]}
		}
	}
	with := func(path string) []tensor.Info {
		return append(slices.Clone(c.Source), tensor.Info{Path: path, DType: tensor.F32, Shape: tensor.Shape{4}, Bytes: 16})
	}
	for name, x := range map[string]struct {
		list           []tensor.Info
		reason, remedy string
	}{
		"zero":      {reshaped(func(tensor.Shape) tensor.Shape { return tensor.Shape{0} }), "it has no elements", "gather first"},
		"empty":     {reshaped(func(s tensor.Shape) tensor.Shape { return tensor.Shape{0, s[1]} }), "it has no elements", ""},
		"rows":      {reshaped(func(s tensor.Shape) tensor.Shape { return tensor.Shape{s[0] / 4, s[1]} }), "one of 4 pieces along axis 0, as tensor parallelism cuts weights", "merge the checkpoints of all 4 ranks first"},
		"axis 1":    {reshaped(func(s tensor.Shape) tensor.Shape { return tensor.Shape{s[0], s[1] / 2} }), "one of 2 pieces along axis 1", "all 2 ranks"},
		"one":       {one, "", ""},
		"optimizer": {with("optimizer.state.0.exp_avg"), "no rule of llama uses it: it belongs to an optimizer's state", ""},
		"moments":   {with("0.exp_avg_sq"), "optimizer's state", ""},
		"schedule":  {with("lr_schedulers.0.last_epoch"), "state of training", ""},
		"ema":       {with("ema.model.norm.weight"), "a second set of weights", ""},
		"zero 2":    {with("optimizer_state.fp32_flat_groups.0"), "optimizer's state", ""},
	} {
		_, _, r := resolve(t, c, x.list)
		if len(r.Gaps) == 0 {
			t.Errorf("%s: no gaps", name)
		}
		for _, g := range r.Gaps {
			if !strings.Contains(g.Reason, x.reason) || !strings.Contains(g.Remedy, x.remedy) || x.remedy == "" && (strings.Contains(g.Remedy, "ranks") || strings.Contains(g.Remedy, "ZeRO")) {
				t.Errorf("%s: %s: %q, %q", name, g.Path, g.Reason, g.Remedy)
			}
			if name == "one" && strings.Contains(g.Reason, "pieces") {
				t.Errorf("one tensor of another shape is no piece: %s", g.Reason)
			}
		}
	}
}

// A config.json with other sizes than the weights have makes no pieces of them: what
// tensor parallelism cuts lies in all blocks of a model.
func TestOtherSizesAreNoPieces(t *testing.T) {
	size := regexp.MustCompile(`"(\w*head_dim|\w*heads|\w*hidden_size|\w*intermediate_size|vocab_size|d_model|n_embd|n_head|n_inner|d_inner)": *(\d+)`)
	var changed atomic.Int64
	t.Run("architectures", func(t *testing.T) {
		for name, c := range goldens(t) {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				keys := map[string]bool{}
				for _, m := range size.FindAllStringSubmatch(string(c.Config), -1) {
					keys[m[1]] = true
				}
				for key := range keys {
					text := regexp.MustCompile(`"`+key+`": *(\d+)`).ReplaceAllStringFunc(string(c.Config), func(was string) string {
						n, _ := strconv.Atoi(was[strings.LastIndexAny(was, ": ")+1:])
						return fmt.Sprintf("%q: %d", key, 4*n)
					})
					config, err := arch.ParseConfig([]byte(text))
					if err != nil {
						t.Fatal(err)
					}
					a, err := arch.Find(config)
					if err != nil {
						t.Fatal(err)
					}
					r, err := a.Resolve(t.Context(), config, newSource(c.Source))
					if err != nil {
						continue // sizes that cannot be
					}
					for _, g := range r.Gaps {
						if g.Status == arch.Changed {
							changed.Add(1)
						}
						if strings.Contains(g.Reason, "pieces") {
							t.Errorf("%s is 4 times as large: %s: %s; %s", key, g.Path, g.Reason, g.Remedy)
							break
						}
					}
				}
			})
		}
	})
	if n := changed.Load(); n < 5000 {
		t.Errorf("%d weights of another shape", n)
	}
}
