package text

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"wreg/view"
)

// tuned is a comparison of some layers and modules, each changed a little.
func tuned(layers int, measured bool, modules ...string) *view.Comparison {
	c := &view.Comparison{A: "base@1", B: "tuned@1", Arch: "llama", Measured: measured, Differs: true, Bytes: 3 << 20}
	for i := range layers {
		c.Layers = append(c.Layers, int64(i))
	}
	change := func(x float64) *view.Change {
		if !measured {
			return nil
		}
		most := x / 4
		return &view.Change{Relative: &x, Max: &most, Elements: 1000, Changed: 116}
	}
	for k, m := range modules {
		p := view.Part{Component: m}
		for i := range layers {
			x := &view.Patch{Changed: 1, Change: change(0.0005 * math.Pow(10, float64(i)/float64(layers))), BitsA: 16, BitsB: 16}
			p.Patches = append(p.Patches, x)
			p.Total.Changed++
		}
		p.Total.Change = change(0.0005 + 0.0001*float64(k))
		c.Parts = append(c.Parts, p)
		c.Changed += p.Total.Changed
	}
	still := view.Part{Component: "input_layernorm", Total: view.Patch{Equal: int64(layers)}}
	for range layers {
		still.Patches = append(still.Patches, &view.Patch{Equal: 1})
	}
	c.Parts = append(c.Parts, still, view.Part{Component: "lm_head", Outside: &view.Patch{Equal: 1}, Total: view.Patch{Equal: 1}})
	c.Equal = int64(layers) + 1
	c.Total = change(0.0005)
	if measured {
		c.Total.At, c.Total.AtPath = []int64{3, 17}, "model.layers.1.mlp.up_proj.weight"
	}
	return c
}

func TestComparisonIsDrawn(t *testing.T) {
	one, two := tuned(2, false, "mlp.down_proj", "mlp.up_proj", "self_attn.k_proj"), tuned(2, true, "mlp.down_proj", "mlp.up_proj")
	one.Parts[0].Patches[1] = &view.Patch{Missing: 1}
	one.Parts[0].Total = view.Patch{Changed: 1, Missing: 1}
	one.Changed, one.Missing = 5, 1
	one.Lines = []view.Line{{Path: "model.layers.1.mlp.down_proj.weight", Status: "missing", Reason: "not in tuned@1", Remedy: "base@1 has one of this name and shape", Tensors: 1}}
	packed := tuned(1, true, "mlp.up_proj")
	packed.Quantized = &view.Patch{Changed: 1, BitsA: 16, BitsB: 4.5, Change: packed.Total}
	packed.BitsA, packed.BitsB = 16, 4.53
	packed.Parts[0].Total.BitsB = 4.5
	for _, c := range []struct {
		c    *view.Comparison
		want string
	}{
		{one, `base@1 → tuned@1  5 changed · 1 missing · 0 extra · 3 equal · llama · 2 layers
by layer                         0
X mlp.down_proj                  ~X
~ mlp.up_proj, self_attn.k_proj  ~~
X missing  ~ changed
= equal: input_layernorm, lm_head
missing model.layers.1.mlp.down_proj.weight
    not in tuned@1; base@1 has one of this name and shape
which, not how much: wreg diff base@1 tuned@1 --values reads 3 MiB of both`},
		{two, `base@1 → tuned@1  4 changed · 0 missing · 0 extra · 3 equal · llama · 2 layers
‖Δ‖/‖W‖ by layer (log)  0   ‖Δ‖/‖W‖   max|Δ|  changed
~ mlp.down_proj         ▁▅   0.05 % 0.000125   11.6 %
~ mlp.up_proj           ▁▅   0.06 %  0.00015   11.6 %
= equal: input_layernorm, lm_head
changed: ‖Δ‖/‖W‖ 0.05 %, max |Δ| 0.000125 in model.layers.1.mlp.up_proj.weight
  [3,17], 11.6 % of the elements of 4 tensors`},
		{packed, `base@1 → tuned@1  1 changed · 0 missing · 0 extra · 2 equal · llama · 1 layer
‖Δ‖/‖W‖ by layer (log)  0  ‖Δ‖/‖W‖   max|Δ|  changed     bits
~ mlp.up_proj           ▁   0.05 % 0.000125   11.6 %      4.5
= equal: input_layernorm, lm_head
changed: ‖Δ‖/‖W‖ 0.05 %, max |Δ| 0.000125 in model.layers.1.mlp.up_proj.weight
  [3,17], 11.6 % of the elements of 1 tensor
quantized: 1 weight, error ‖Δ‖/‖W‖ 0.05 %, 16 → 4.5 bits a weight; of the whole
  model 16 → 4.53`},
	} {
		if got := strings.Join(Comparison(c.c, Options{Width: 80}), "\n"); got != c.want {
			t.Errorf("got\n%s\nwant\n%s", got, c.want)
		}
	}
}

// Whatever differs, and on whatever terminal, no line is too wide or empty, or ends in a
// space, and no name acts.
func TestComparisonFits(t *testing.T) {
	var many []string
	for i := range 90 {
		many = append(many, fmt.Sprintf("part%d.x_proj", i))
	}
	odd := tuned(7, true, "a", "mlp.b")
	odd.Total.NaNs, odd.Total.Infs = 3, 1
	odd.Parts[0].Total.Change.NaNs = 3
	odd.Parts[1].Patches[2].Change.Relative = nil // A's is zero
	odd.Parts[1].Patches[3] = nil
	odd.Parts[1].Patches[4] = &view.Patch{Uncompared: 1}
	odd.Parts[1].Total.Change.Max = nil
	odd.Uncompared, odd.Extra = 1, 4
	odd.Total.Relative, odd.Total.Max = nil, nil
	odd.Quantized = &view.Patch{Changed: 1, BitsA: 16, BitsB: 4.5}
	for i := range 20 {
		x := 0.1
		odd.Lines = append(odd.Lines, view.Line{Path: fmt.Sprintf("extra%d.%s", i, strings.Repeat("x", 90)), Status: "extra", Reason: "not in base@1", Tensors: int64(i)})
		odd.Tensors = append(odd.Tensors, view.Difference{Path: "model.layers.1.mlp.up_proj.weight", Status: "changed", Change: &view.Change{Relative: &x, Changed: 1, Elements: 4}})
	}
	equal := &view.Comparison{A: "a@1", B: "b@1", Parts: []view.Part{{Component: "w", Outside: &view.Patch{Equal: 1}, Total: view.Patch{Equal: 1}}}, Equal: 1}
	hostile := tuned(3, true, "\x1b[31mred\n", strings.Repeat("long.", 60), "层层层层层层.up_proj")
	hostile.A = "\x1b[2Jx@1"
	for name, c := range map[string]*view.Comparison{"odd": odd, "equal": equal, "hostile": hostile, "many": tuned(3, true, many...), "deep": tuned(200, true, "a.b", "a.c"), "which": tuned(61, false, many...), "nothing": {A: "a@1", B: "b@1"}} {
		for _, width := range []int{20, 30, 47, 80, 120, 200} {
			for _, colours := range []bool{false, true} {
				lines := Comparison(c, Options{Width: width, Colours: colours})
				fits(t, name, lines, width)
				if all := strings.Join(lines, "\n"); strings.Contains(all, "\x1b[31mred") || strings.Contains(all, "\x1b[2J") {
					t.Errorf("%s: a name acts", name)
				}
			}
		}
	}
	text := strings.Join(Comparison(odd, Options{Width: 100}), "\n")
	for _, want := range []string{"? not compared", "3 elements not a number and 1 infinite", "more lines; --json", "largest errors", "1 tensor not compared"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func TestBraced(t *testing.T) {
	for names, want := range map[string]string{
		"a.q_proj a.k_proj b.q_proj":   "a.{q,k}_proj b.q_proj",
		"lm_head norm":                 "lm_head norm",
		"a.w1 a.w2":                    "a.{w1,w2}",
		"mlp.up_proj mlp.gate":         "mlp.up_proj mlp.gate",
		"a.q_proj.bias a.q_proj.scale": "a.q_proj.{bias,scale}",
	} {
		if got := strings.Join(braced(strings.Fields(names)), " "); got != want {
			t.Errorf("%s: %s, want %s", names, got, want)
		}
	}
	for x, want := range map[[2]int64]string{{0, 10}: "0 %", {10, 10}: "100 %", {1, 1e6}: "<0.01 %", {999999, 1e6}: ">99.9 %", {116, 1000}: "11.6 %", {0, 0}: "0 %"} {
		if got := share(&view.Change{Changed: x[0], Elements: x[1]}); got != want {
			t.Errorf("%v: %s, want %s", x, got, want)
		}
	}
}
