package arch_test

import (
	"slices"
	"strings"
	"testing"

	"wreg/registry/arch"
	"wreg/registry/arch/op"
	"wreg/registry/tensor"
	"wreg/synth"
)

// expertOf finds the golden's experts: the path of one, cut at its number, and how
// many there are.
func expertOf(c *synth.Case) (prefix, suffix string, n int) {
	for _, i := range c.Source {
		prefix, rest, ok := strings.Cut(i.Path, ".experts.0.")
		if ok && strings.HasSuffix(rest, "weight") {
			for _, j := range c.Source {
				if strings.HasPrefix(j.Path, prefix+".experts.") && strings.HasSuffix(j.Path, "."+rest) {
					n++
				}
			}
			return prefix + ".experts.", "." + rest, n
		}
	}
	return "", "", 0
}

func find(list []tensor.Info, path string) int {
	return slices.IndexFunc(list, func(i tensor.Info) bool { return i.Path == path })
}

// faults breaks a checkpoint of experts in one way each, and says which gap must
// tell it.
var faults = []struct {
	name   string
	status string
	path   func(prefix, suffix string, n int) string
	reason string
	break_ func(list []tensor.Info, prefix, suffix string, n int, made []tensor.Info) []tensor.Info
}{
	{"a missing expert", arch.Missing, func(p, s string, n int) string { return p + "1" + s }, "expert 1 of ",
		func(list []tensor.Info, p, s string, n int, _ []tensor.Info) []tensor.Info {
			return slices.Delete(list, find(list, p+"1"+s), find(list, p+"1"+s)+1)
		}},
	{"one expert too many", arch.Extra, func(p, s string, n int) string { return p + digits(n) + s }, "expert ",
		func(list []tensor.Info, p, s string, n int, _ []tensor.Info) []tensor.Info {
			extra := list[find(list, p+"0"+s)]
			extra.Path = p + digits(n) + s
			return append(list, extra)
		}},
	{"experts numbered from 1", arch.Missing, func(p, s string, n int) string { return p + "0" + s }, "expert 0 of ",
		func(list []tensor.Info, p, s string, n int, _ []tensor.Info) []tensor.Info {
			list[find(list, p+"0"+s)].Path = p + digits(n) + s
			return list
		}},
	{"an expert of another shape", arch.Changed, func(p, s string, n int) string { return p + "1" + s }, "",
		func(list []tensor.Info, p, s string, n int, _ []tensor.Info) []tensor.Info {
			i := &list[find(list, p+"1"+s)]
			i.Shape = tensor.Shape{i.Shape[1] + 1, i.Shape[0]}
			return list
		}},
	{"an expert of another dtype", arch.Changed, func(p, s string, n int) string { return p + "1" + s }, "",
		func(list []tensor.Info, p, s string, n int, _ []tensor.Info) []tensor.Info {
			list[find(list, p+"1"+s)].DType = tensor.F64
			return list
		}},
	{"stacked copies beside the experts", arch.Extra, func(p, s string, n int) string { return "" /* either of the two */ }, "a second copy",
		func(list []tensor.Info, p, s string, n int, made []tensor.Info) []tensor.Info {
			return append(list, made...)
		}},
}

func digits(n int) string { return string(rune('0' + n)) }

// Every family of experts: each fault is found before anything is written.
func TestExpertFaults(t *testing.T) {
	for name, c := range goldens(t) {
		prefix, suffix, n := expertOf(c)
		if n == 0 || strings.Contains(name, "-int4") || strings.Contains(name, "-fp8") {
			continue
		}
		_, _, whole := resolve(t, c, c.Source)
		var stacks []tensor.Info
		for _, target := range whole.Targets {
			if target.Make.Op == op.Stack {
				stacks = append(stacks, tensor.Info{Path: target.Path, DType: target.Make.DType, Shape: target.Make.Shape})
			}
		}
		for _, f := range faults {
			if strings.HasPrefix(f.name, "stacked") && len(stacks) == 0 {
				continue // no stack in this family's mlx layout
			}
			t.Run(name+"/"+f.name, func(t *testing.T) {
				broken := f.break_(slices.Clone(c.Source), prefix, suffix, n, stacks)
				_, _, r := resolve(t, c, broken)
				want := f.path(prefix, suffix, n)
				for _, g := range r.Gaps {
					path := g.Path
					if g.Have != nil && path == "" {
						path = g.Have.Path
					}
					if g.Status == f.status && (path == want || want == "") && strings.HasPrefix(g.Reason, f.reason) {
						return
					}
				}
				t.Errorf("no gap %s %s %q among %d: %+v", f.status, want, f.reason, len(r.Gaps), first(r.Gaps))
			})
		}
	}
}

func first(gaps []arch.Gap) any {
	if len(gaps) == 0 {
		return "none"
	}
	return gaps[0]
}

// A scale that a coded weight needs is a gap when it is not there; and a tensor
// nobody knows is unused.
func TestScaleFaults(t *testing.T) {
	all := goldens(t)
	for name, scale := range map[string]string{
		"deepseek_v3-fp8":  "self_attn.o_proj.weight_scale_inv",
		"minimax_m2-fp8":   "self_attn.o_proj.weight_scale_inv",
		"deepseek_v3-int4": "experts.1.up_proj.weight_scale",
		"gpt_oss":          "experts.down_proj_scales",
		"qwen2-awq":        "self_attn.q_proj.scales",
	} {
		c := all[name]
		if c == nil {
			t.Fatal("no golden", name)
		}
		k := slices.IndexFunc(c.Source, func(i tensor.Info) bool { return strings.HasSuffix(i.Path, scale) })
		if k < 0 {
			t.Fatalf("%s: no %s", name, scale)
		}
		gone := c.Source[k].Path
		list := slices.Delete(slices.Clone(c.Source), k, k+1)
		stranger := tensor.Info{Path: "model.stranger.weight", DType: tensor.F32, Shape: tensor.Shape{1}}
		a, config, r := resolve(t, c, append(list, stranger))
		if !slices.ContainsFunc(r.Gaps, func(g arch.Gap) bool { return g.Status == arch.Missing && g.Path == gone }) {
			t.Errorf("%s: no gap for %s: %+v", name, gone, first(r.Gaps))
		}
		if !slices.Contains(r.Unused, stranger.Path) {
			t.Errorf("%s: %s is not unused: %v", name, stranger.Path, r.Unused)
		}
		gaps, err := a.Against(t.Context(), config, arch.HF, newSource(list))
		if err != nil || len(gaps) != 1 || gaps[0].Path != gone {
			t.Errorf("%s against hf: %d gaps, %v: %+v", name, len(gaps), err, first(gaps))
		}
	}
}

// Zeros of another shape than the scales call for are the tensor that is wrong, not the
// scales.
func TestZerosOfAnotherShape(t *testing.T) {
	c := goldens(t)["qwen2-awq"]
	list := slices.Clone(c.Source)
	k := slices.IndexFunc(list, func(i tensor.Info) bool { return strings.HasSuffix(i.Path, "self_attn.q_proj.qzeros") })
	list[k].Shape = tensor.Shape{list[k].Shape[0], list[k].Shape[1] + 1}
	_, _, r := resolve(t, c, list)
	if len(r.Gaps) != 1 || r.Gaps[0].Have == nil || r.Gaps[0].Have.Path != list[k].Path || !strings.Contains(r.Gaps[0].Reason, "its zeros have shape") {
		t.Errorf("%s: %+v", list[k].Path, first(r.Gaps))
	}
}

// Codes without scales, and types that mlx does not have, say what to do.
func TestCodesWithoutScales(t *testing.T) {
	for name, c := range goldens(t) {
		if !slices.Contains([]string{"llama", "qwen3_moe", "gemma2", "deepseek_v3"}, name) {
			continue
		}
		for _, dtype := range []tensor.DType{tensor.I8, tensor.U8, tensor.I32, tensor.U32, tensor.F8E4M3, tensor.F8E5M2} {
			list := slices.Clone(c.Source)
			for i := range list {
				if strings.HasSuffix(list[i].Path, "o_proj.weight") {
					list[i].DType = dtype
					list[i].Bytes, _ = list[i].Shape.Bytes(dtype)
				}
			}
			_, _, r := resolve(t, c, list)
			for _, g := range r.Gaps {
				if g.Remedy == "" && g.Status == arch.Changed {
					t.Errorf("%s %v: %s: %s: no remedy", name, dtype, g.Path, g.Reason)
				}
			}
			if len(r.Gaps) == 0 {
				t.Errorf("%s %v: no gaps", name, dtype)
			}
		}
	}
}
