package arch_test

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"

	"wreg/registry/arch"
	"wreg/registry/tensor"
	"wreg/synth"
)

// notInvertible lists all that does not come back to the hf layout, of each golden,
// and a word of the reason that Invert gives for it by name; numbers says that it
// comes back as the floats that the codes stood for.
var notInvertible = map[string]map[string]string{
	"falcon_h1":          {"**.mamba.in_proj.weight": "multiplied"},
	"baichuan_m1":        {"lm_head.weight": "divided by its length"},
	"bailing_moe":        {"lm_head.weight": "divided by its length"},
	"bailing_moe_linear": {"lm_head.weight": "divided by its length"},
	"qwen3_next":         plusOne,
	"qwen3_5":            plusOne,
	"qwen3_5_moe":        plusOne,
	"step3p5":            plusOne,
	"muse_spark":         {"**.*_residual_gate.gate": "sigmoid", "**.{input,pre_feedforward,post_feedforward}_layernorm.weight": "cast to bf16", "**.{pre,post}_expert_norm.weight": "cast to bf16"},
	"deepseek_v3-fp8":    {"**.weight": numbers, "**.weight_scale_inv": numbers},
	"minimax_m2-fp8":     {"**.weight": numbers, "**.weight_scale_inv": numbers},
	"deepseek_v3-int4":   {"**.experts.**.weight_{packed,scale}": "quantized"},
	"qwen2-awq":          {"**.{qweight,qzeros,scales}": "quantized", "**.{embed_tokens,lm_head,norm,*_layernorm}.weight": numbers, "**.bias": numbers}, // its loader casts floats
}

var plusOne = map[string]string{"**.{input,post_attention}_layernorm.weight": "1 was added", "**.{q,k}_norm.weight": "1 was added", "**.norm.weight": "1 was added"}

const numbers = "as numbers of another dtype"

// hf → mlx → hf gives every invertible tensor back, byte for byte; of the others
// the reason is told.
func TestInvert(t *testing.T) {
	for name, c := range goldens(t) {
		t.Run(name, func(t *testing.T) {
			a, config, r := resolve(t, c, c.Source)
			stored := newSource(c.Source)
			made := map[string][]byte{}
			var list []tensor.Info
			for _, target := range r.Targets {
				if target.Make == nil {
					t.Fatal("a gap")
				}
				b, err := interpret(target.Make, func(path string) ([]byte, error) {
					i, _ := stored.Lookup(path)
					b := make([]byte, i.Bytes)
					return b, synth.Fill(b, path, c.Seed, i.DType, 0)
				})
				if err != nil {
					t.Fatal(err)
				}
				made[target.Path] = b
				list = append(list, tensor.Info{Path: target.Path, DType: target.Make.DType, Shape: target.Make.Shape, Bytes: int64(len(b))})
			}
			back, err := a.Invert(t.Context(), config, newSource(list))
			if err != nil {
				t.Fatal(err)
			}
			reasons := map[string]string{}
			for _, g := range back.Gaps {
				reasons[g.Path] = g.Reason
			}
			given := map[string]bool{}
			for _, target := range back.Targets {
				if target.Make == nil {
					continue
				}
				given[target.Path] = true
				i, ok := stored.Lookup(target.Path)
				if !ok {
					t.Errorf("%s was not there", target.Path)
					continue
				}
				b, err := interpret(target.Make, func(path string) ([]byte, error) { return made[path], nil })
				if err != nil {
					t.Fatal(err)
				}
				want := make([]byte, i.Bytes)
				if err := synth.Fill(want, target.Path, c.Seed, i.DType, 0); err != nil {
					t.Fatal(err)
				}
				switch {
				case target.Make.DType != i.DType:
					given[target.Path] = false
					reasons[target.Path] = numbers
				case !bytes.Equal(b, want) || !target.Make.Shape.Equal(i.Shape):
					t.Errorf("%s comes back otherwise, by %v", target.Path, target.Rule)
				}
			}
			for _, d := range r.Drops {
				given[d.Path] = true // on purpose, and said in the receipt
			}
			said := map[string]bool{}
			for _, i := range c.Source {
				if given[i.Path] {
					continue
				}
				reason := reasons[i.Path]
				if reason == "" { // a part of what is stored in several goes by the weight's name
					reason = reasons[i.Path[:strings.LastIndexByte(i.Path, '.')]+".weight"]
				}
				listed := false
				for text, want := range notInvertible[name] {
					p, err := tensor.ParsePattern(text)
					if err != nil {
						t.Fatal(err)
					}
					if p.Match(i.Path) && strings.Contains(reason, want) {
						listed, said[text] = true, true
					}
				}
				if !listed {
					t.Errorf("%s does not come back (%s)", i.Path, reason)
				}
			}
			for text := range notInvertible[name] {
				if !said[text] {
					t.Errorf("%s comes back: take it off the list", text)
				}
			}
		})
	}
}

// Codes whose last axis a step turns do not go back as they are: a wrong shape would be
// written of them.
func TestInvertTurnedCodes(t *testing.T) {
	text, err := os.ReadFile("archs/gpt_oss.arch")
	if err != nil {
		t.Fatal(err)
	}
	let := regexp.MustCompile(`let packed = .*`)
	if !let.Match(text) {
		t.Fatal("gpt_oss.arch says otherwise which experts are turned: the test needs another file")
	}
	turned, err := arch.Parse("turned.arch", string(let.ReplaceAll(text, []byte("let packed = false"))))
	if err != nil {
		t.Fatal(err)
	}
	c := goldens(t)["gpt_oss"]
	_, config, r := resolve(t, c, c.Source)
	var list []tensor.Info
	for _, target := range r.Targets {
		list = append(list, tensor.Info{Path: target.Path, DType: target.Make.DType, Shape: target.Make.Shape})
	}
	back, err := turned.Invert(t.Context(), config, newSource(list))
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for _, g := range back.Gaps {
		if strings.Contains(g.Reason, "is quantized: dequantize it first") {
			refused++
		}
	}
	for _, target := range back.Targets {
		if target.Make != nil && strings.Contains(target.Path, "_proj_") && target.Make.DType == tensor.U8 {
			t.Errorf("%s is made, %v", target.Path, target.Make.Shape)
		}
	}
	if refused == 0 {
		t.Errorf("nothing is refused: %v", back.Gaps)
	}
}
