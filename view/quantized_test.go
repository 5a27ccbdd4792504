package view

import (
	"fmt"
	"math"
	"testing"

	"wreg/registry"
	"wreg/registry/tensor"
)

// errorsOnMap holds a map of the model to the error of each cell.
func (b *bench) errorsOnMap(c *Comparison, name string, squares, of map[string]float64) {
	b.Helper()
	if err := b.Registry.View(func(s *registry.Snapshot) error {
		v, err := s.Find(name)
		if err != nil {
			return err
		}
		m, err := Coverage(b.Context(), s, v, nil)
		if err != nil {
			return err
		}
		c.Errors(m)
		found := 0
		check := func(cell string, at *Cell) {
			if at.Error == nil {
				return
			}
			found++
			if want := math.Sqrt(squares[cell]) / math.Sqrt(of[cell]); !(math.Abs(*at.Error-want) <= 1e-12*want) {
				b.Errorf("%s: %s has an error of %g, want %g", name, cell, *at.Error, want)
			}
		}
		for i := range m.Rows {
			for k := range m.Rows[i].Cells {
				check(fmt.Sprintf("layers.%d.%s", m.Layers[k], m.Rows[i].Component), &m.Rows[i].Cells[k])
			}
			if out := m.Rows[i].Outside; out != nil {
				check(m.Rows[i].Component, out)
			}
		}
		if found != len(of) || found < 5 {
			b.Errorf("%s: %d cells have an error, want %d: %v", name, found, len(of), of)
		}
		return nil
	}); err != nil {
		b.Fatal(err)
	}
}

// How large codes are is told nowhere: it says nothing of the weights that they stand for.
func TestCodesHaveNoRange(t *testing.T) {
	b := newBench(t)
	b.Write("moe", "qwen3_moe", nil)
	b.Ingest("moe", false)
	b.Quantize("moe", "moe-4bit")
	if err := b.Registry.View(func(s *registry.Snapshot) error {
		v, err := s.Find("moe-4bit")
		if err != nil {
			return err
		}
		var codes, numbers float64
		var list []tensor.Info
		for x, err := range s.Tensors(t.Context(), v) {
			if err != nil {
				return err
			}
			list = append(list, x)
			if x.DType.Floating() {
				numbers = max(numbers, x.Stats.AbsMax)
			} else {
				codes = max(codes, x.Stats.AbsMax)
			}
		}
		if codes < 1000*numbers {
			t.Fatalf("codes reach %g, numbers %g", codes, numbers)
		}
		m, err := Of(t.Context(), s, v, nil)
		if err != nil {
			return err
		}
		brief := Brief(v, nil, "", list)
		cover, err := Coverage(t.Context(), s, v, nil)
		if err != nil {
			return err
		}
		if m.Values.AbsMax != numbers || brief.Values.AbsMax != numbers || *cover.Total.AbsMax != numbers || m.Values.Tensors != int64(len(list)) {
			t.Errorf("a glance says %+v, an ingest %+v, the map %g; want %g", m.Values, brief.Values, *cover.Total.AbsMax, numbers)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}
