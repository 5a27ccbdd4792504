//go:build browser

package report

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"wreg/registry"
	"wreg/registry/tensor"
	"wreg/web/webtest"
)

// Models that are nearly nothing, or nothing but what is not a number, or as large and as deep as
// numbers go, have a report like others: each of its maps is drawn, and no text of it was meant for
// a program.
func TestOddModels(t *testing.T) {
	one := func(path string, shape tensor.Shape, s *tensor.Stats) tensor.Info {
		n, err := shape.Numel()
		if err != nil {
			t.Fatal(err)
		}
		return tensor.Info{Path: path, DType: tensor.F64, Shape: shape, Bytes: 8 * n, File: "model.safetensors", Stats: s}
	}
	plain := func(list ...tensor.Info) (registry.Revision, []tensor.Info) {
		return registry.Revision{Model: "m", Root: "/m"}, list
	}
	of := func(v registry.Revision, list []tensor.Info) []any { return []any{v, list} }
	layers := func(n int, s func(i int) *tensor.Stats) (list []tensor.Info) {
		for i := range n {
			for _, name := range []string{"self_attn.q_proj", "mlp.up_proj"} {
				list = append(list, one(fmt.Sprintf("model.layers.%d.%s.weight", i, name), tensor.Shape{2}, s(i)))
			}
		}
		return list
	}
	golden := func(name, as string) []any {
		v, list := model(t, name)
		v.Model = as
		return of(v, list)
	}
	for name, models := range map[string][]any{
		"nothing":    of(plain()),
		"one":        of(plain(one("w", tensor.Shape{3}, nil))),
		"empty":      of(plain(one("w", tensor.Shape{0, 5}, &tensor.Stats{}), one("s", nil, &tensor.Stats{AbsMax: 1}))),
		"not finite": of(plain(layers(6, func(i int) *tensor.Stats { return &tensor.Stats{NaNs: int64(2 - i%3), Infs: int64(i % 3)} })...)),
		"extremes": of(plain(layers(6, func(i int) *tensor.Stats {
			return &tensor.Stats{AbsMax: []float64{math.MaxFloat64, 5e-324, 0}[i%3], Zeros: 2}
		})...)),
		"200 layers":  of(plain(layers(200, func(i int) *tensor.Stats { return &tensor.Stats{AbsMax: float64(1 + i)} })...)),
		"far numbers": of(plain(one("model.layers.999999999999.a.weight", tensor.Shape{1}, nil), one("model.layers.9007199254740993.a.weight", tensor.Shape{1}, nil))),
		"itself":      append(golden("llama", "m"), golden("llama", "other")...),
		"another":     append(golden("llama", "m"), golden("hunyuan", "other")...),
		"of nothing":  append(golden("llama", "m"), of(registry.Revision{Model: "other", Root: "/o"}, []tensor.Info{one("w", tensor.Shape{3}, nil)})...),
	} {
		t.Run(name, func(t *testing.T) {
			p, url := open(t, gather(t, Options{}, models...), webtest.Look{})
			for _, look := range []webtest.Look{{}, {Dark: true}, {Media: "print"}} {
				p.Show(look)
				for _, map_ := range []string{"#map", "#against"} {
					for range webtest.Eval[int](p, "document.querySelectorAll('"+map_+" [role=radio]').length") {
						webtest.Eval[any](p, "(document.querySelector('"+map_+" [role=radio][aria-checked=true]').nextElementSibling ?? document.querySelector('"+map_+" [role=radio]')).click()")
					}
				}
			}
			p.Show(webtest.Look{})
			p.Key("/", "w absmax>1", webtest.Escape)
			webtest.Eval[any](p, "document.querySelectorAll('[aria-pressed=false]').forEach((b) => b.click())")
			text := webtest.Eval[string](p, "document.body.innerText")
			for _, line := range strings.Split(text, "\n") {
				words := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' || r == ',' })
				if slices.ContainsFunc(words, func(w string) bool {
					return slices.Contains([]string{"undefined", "null", "Infinity", "[object", "false", "true", "-1"}, w)
				}) {
					t.Errorf("the page says %q", line)
				}
				if strings.Contains(line, "NaN") && !strings.Contains(line, "NaN, Inf") && line != "NaN" && !strings.Contains(line, "no NaN") && !strings.Contains(line, " NaN, ") {
					t.Errorf("the page says %q", line)
				}
			}
			if loose := webtest.Eval[[]string](p, `[...document.querySelectorAll("main, section, figure, .columns")].flatMap((e) => [...e.childNodes]).filter((n) => n.nodeType === 3 && n.textContent.trim()).map((n) => n.textContent)`); len(loose) > 0 {
				t.Errorf("the page has %q outside of every paragraph", loose)
			}
			p.Shot("odd-"+strings.ReplaceAll(name, " ", "-"), true)
			p.Quiet(url)
		})
	}
}
