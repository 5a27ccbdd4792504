//go:build browser

package report

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"wreg/registry"
	"wreg/view"
	"wreg/view/measure"
	"wreg/view/viewtest"
	"wreg/web/webtest"
)

// quantized is a report of a 4-bit export, measured against what it was made of.
func quantized(t *testing.T) (d *Data) {
	t.Helper()
	b := viewtest.New(t, goldens)
	b.Write("base", "hunyuan", nil)
	b.Ingest("base", false)
	b.Quantize("base", "base-4bit")
	if err := b.Registry.View(func(s *registry.Snapshot) error {
		is, err := s.Find("base-4bit")
		if err != nil {
			return err
		}
		was, err := s.Find("base")
		if err != nil {
			return err
		}
		c, err := view.Compare(t.Context(), s, was, is, nil)
		if err != nil {
			return err
		}
		if err := c.Measure(t.Context(), measure.Options{}); err != nil {
			return err
		}
		d, err = Gather(t.Context(), s, is, Options{Against: c})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return d
}

// The map of a quantized model has the error of each cell, and the comparison that of each
// module in each layer, with the bits that a weight takes; in both themes.
func TestQuantizationErrorIsShown(t *testing.T) {
	d := quantized(t)
	p, url := open(t, d, webtest.Look{})
	rows := drawn(d.layers.Map)
	least, most, seen := math.Inf(1), 0.0, 0
	for _, row := range rows {
		for _, c := range row.cells {
			if c.Error != nil {
				least, most, seen = min(least, *c.Error), max(most, *c.Error), seen+1
			}
		}
	}
	if seen < 5 || least < 0.01 || most > 0.2 || least == most {
		t.Fatalf("%d cells have errors from %g to %g", seen, least, most)
	}
	for _, dark := range []bool{false, true} {
		p.Show(webtest.Look{Dark: dark})
		webtest.Eval[any](p, "document.querySelector('#map [data-key=error]').click()")
		colours(t, p, "#map", rows, func(c view.Cell) string {
			if c.Error == nil {
				return "hollow"
			}
			return fmt.Sprint("seq", min(6, int(7*math.Log(*c.Error/least)/math.Log(most/least))))
		})
		p.Shot(fmt.Sprintf("error-dark-%v", dark), true)
	}
	webtest.Eval[any](p, "document.querySelector('#map .map-cells').focus()")
	for _, row := range rows {
		for l, c := range row.cells {
			said := webtest.Eval[string](p, "document.querySelector('#map .map-readout').textContent")
			want := ""
			if c.Error != nil {
				want = "error " + webtest.Eval[string](p, fmt.Sprintf("wreg.value(%v)", 100**c.Error)) + " %"
			}
			if !strings.Contains(said, row.name) || !strings.Contains(said, want) || (want == "") == strings.Contains(said, "error ") {
				t.Errorf("%s, column %d says %q, want %q", row.name, l, said, want)
			}
			if l < len(row.cells)-1 {
				p.Key(webtest.Right)
			}
		}
		p.Key(webtest.Home, webtest.Down)
	}
	// As a table: each module in each layer.
	webtest.Eval[any](p, "document.querySelector('#against [aria-pressed]').click()")
	table := webtest.Eval[string](p, "[...document.querySelectorAll('#against table')].map((t) => t.textContent).join(' ')")
	modules := 0
	for _, part := range d.layers.Against.Parts {
		for _, at := range append(part.Patches, part.Outside) {
			if at == nil || at.BitsB >= 16 {
				continue
			}
			modules++
			want := fmt.Sprintf("changed by %s %% · %s bits a weight, were 16", webtest.Eval[string](p, fmt.Sprintf("wreg.value(%v)", 100**at.Change.Relative)), webtest.Eval[string](p, fmt.Sprintf("String(Number((%v).toPrecision(3)))", at.BitsB)))
			if !strings.Contains(table, want) {
				t.Errorf("%s: no %q", part.Component, want)
			}
		}
	}
	if text := webtest.Eval[string](p, "document.querySelector('#against').innerText"); modules < 20 || !strings.Contains(text, fmt.Sprintf("16 → %.3g", d.layers.Against.BitsB)) {
		t.Errorf("%d modules; the page does not say how many bits a weight takes:\n%s", modules, text)
	}
	p.Quiet(url)
}
