package text

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"wreg/view"
)

// grown is a model whose values grow with depth, and jump in one layer of one module.
func grown(layers int, modules ...string) *view.Spread {
	r := &view.Spread{Ref: "m@1", Arch: "llama", Tensors: int64(layers * len(modules))}
	for i := range layers {
		r.Layers = append(r.Layers, int64(i))
	}
	for k, m := range modules {
		b := view.Band{Component: m, Least: 0.07}
		for i := range layers {
			x := 0.07 * math.Pow(3, float64(i)/float64(layers))
			if k == 0 && i == layers/8 {
				x = 3.56
				b.Stands = &view.Stand{Layer: int64(i), AbsMax: x, Beside: 0.08, Times: x / 0.08}
			}
			b.Most = max(b.Most, x)
			b.Spans = append(b.Spans, &view.Span{AbsMax: &x, Tensors: 1})
		}
		r.Bands = append(r.Bands, b)
	}
	one := 1.0
	r.Bands = append(r.Bands, view.Band{Component: "lm_head", Outside: &view.Span{AbsMax: &one, Tensors: 1}, Least: 1, Most: 1})
	r.Advice = []view.Advice{{Module: "model.layers.4.mlp.down_proj", Stand: view.Stand{Layer: 4, Times: 44.5}, Override: "model.layers.4.mlp.down_proj=8"}}
	return r
}

func TestRangesAreDrawn(t *testing.T) {
	r := grown(32, "mlp.down_proj", "mlp.up_proj")
	want := `m@1  llama · 32 layers · 64 tensors with statistics
absmax by layer (log)  0         10        20        30    least     most
mlp.down_proj          ▁▁▁▁█▁▁▁▁▁▁▁▁▁▁▂▂▂▂▂▂▂▂▂▂▂▂▂▂▃▃▃     0.07     3.56  ← 4
mlp.up_proj            ▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▂▂▂▂▂▂▂▂▂▂▂▂▂▂▃▃▃     0.07    0.203
outside of the layers: lm_head 1
float16: every weight fits (at most 65504)
4 bits: far wider than the layers beside them; to keep them at 8 bits:
  --q-override 'model.layers.4.mlp.down_proj=8'  45 × its neighbours`
	if got := strings.Join(Ranges(r, Options{Width: 80}), "\n"); got != want {
		t.Errorf("80 columns:\n%s\nwant\n%s", got, want)
	}
	wide := Ranges(grown(200, "mlp.down_proj"), Options{Width: 80})
	if !strings.HasPrefix(wide[1], "6 layers a column      0         60        120       180") {
		t.Errorf("200 layers:\n%s", strings.Join(wide, "\n"))
	}
	if line := wide[2]; strings.Count(line, "█") != 1 || !strings.Contains(line, "3.56") {
		t.Errorf("a layer that stands out is lost when columns fold: %q", line)
	}
}

// Whatever the model and the terminal, no line is too wide or empty, or ends in a space.
func TestRangesFit(t *testing.T) {
	var many []string
	for i := range 90 {
		many = append(many, fmt.Sprintf("part.%d", i))
	}
	nan := grown(9, "a")
	nan.Bands[0].Spans[2] = &view.Span{NaNs: 3, Tensors: 1}
	zero := 0.0
	nan.Bands[0].Spans[3] = &view.Span{AbsMax: &zero, Tensors: 1}
	nan.Bands[0].Spans[4] = nil
	nan.NaNs, nan.Unknown, nan.Codes, nan.Why = 3, 5, 7, "m@1 has no config.json, so its architecture is unknown; put that of the model into a folder"
	nan.Float16.Overflow = []view.Reach{{Path: "model.layers.0.self_attn.q_proj.weight", AbsMax: 1e6}, {Path: "b", AbsMax: 7e4}, {Path: "c", AbsMax: 7e4}, {Path: "d", AbsMax: 7e4}}
	nan.Float16.Vanish = []view.Reach{{Path: "model.layers.1.self_attn.q_proj.weight", AbsMax: 1e-9}}
	hostile := grown(3, "\x1b[31mred\n", strings.Repeat("long.", 60), "层层层层层层")
	empty := &view.Spread{Ref: "m@1", Codes: 4}
	for name, r := range map[string]*view.Spread{"nan": nan, "hostile": hostile, "deep": grown(200, "a", "b"), "one": grown(1, "a"), "many": grown(5, many...), "empty": empty, "odd": grown(61, "mlp.shared_experts.down_proj")} {
		for _, width := range []int{20, 30, 47, 80, 81, 120, 200} {
			for _, colours := range []bool{false, true} {
				lines := Ranges(r, Options{Width: width, Colours: colours})
				fits(t, name, lines, width)
				if all := strings.Join(lines, "\n"); strings.Contains(all, "\x1b[31mred") {
					t.Errorf("%s: a name acts", name)
				}
			}
		}
	}
	text := strings.Join(Ranges(nan, Options{Width: 100}), "\n")
	for _, want := range []string{"! NaN or infinite", "_ all zero", "4 tensors would overflow", "… 1 more", "1 tensor would become all zero", "has no config.json", "7 tensors of codes"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if lines := Ranges(grown(5, many...), Options{Width: 80}); !slices.Contains(lines, "… 50 more components; --json has them") {
		t.Errorf("90 modules: %d lines", len(lines))
	}
}
