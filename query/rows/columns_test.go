package rows

import (
	"fmt"
	"path/filepath"
	"testing"

	"wreg/registry"
	"wreg/registry/arch"
	"wreg/registry/expr"
	"wreg/registry/tensor"
)

// A column is the same of a tensor in a block and of a gap that has the tensor, and
// where a block claims one value for all its rows, there is one.
func TestColumnsAgree(t *testing.T) {
	info := func(path string, rows int64, d tensor.DType, n int, s *tensor.Stats) tensor.Info {
		i := tensor.Info{Path: path, DType: d, Shape: tensor.Shape{rows, 2}, File: fmt.Sprintf("f%d", n/3), Format: "safetensors", Offset: int64(n) * 64, Stats: s}
		i.Bytes, _ = i.Shape.Bytes(d)
		if n%3 > 0 {
			i.Hash = tensor.Hash{byte(n)}
		}
		return i
	}
	var list []tensor.Info
	for layer := range 4 {
		for expert := range 3 {
			n := 3*layer + expert
			stats := &tensor.Stats{Min: -float64(n), Max: 1, AbsMax: float64(n), NaNs: int64(n % 2)}
			if n%5 == 0 {
				stats = nil
			}
			list = append(list, info(fmt.Sprintf("layers.%d.experts.%d.w", layer, expert), int64(4+layer/2), tensor.BF16, n, stats))
		}
		nothing := &tensor.Stats{NaNs: 8}
		list = append(list, info(fmt.Sprintf("layers.%d.same", layer), 4, tensor.F32, 4, &tensor.Stats{Min: 1, Max: 1, AbsMax: 1}),
			info(fmt.Sprintf("layers.%d.nan", layer), 4, tensor.F32, 4, nothing), info(fmt.Sprintf("layers.%d.bare", layer), 4, tensor.I8, 3, nil))
	}
	list = append(list, info("layers.{layer}.w", 0, tensor.F32, 1, &tensor.Stats{}), info("step", 1, tensor.I64, 2, nil))
	r, err := registry.Open(filepath.Join(t.TempDir(), "registry.db"), registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	digest := tensor.Hash{1}.String()
	v, err := r.Put(t.Context(), registry.Revision{Model: "m", Files: []tensor.File{ // f3 is not listed
		{Name: "f0"}, {Name: "f1", Digest: digest, Trust: tensor.TrustVerified}, {Name: "f2", Digest: digest, Trust: tensor.TrustInherited}, {Name: "x", Format: "json"},
	}}, list)
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	err = r.View(func(s *registry.Snapshot) error {
		m, of := newMatcher(nil), &source{Revision: v}
		for b, err := range s.Blocks(t.Context(), v) {
			if err != nil {
				return err
			}
			p := &part{}
			p.open(t.Context(), b, of, m.shape(b.Template()))
			p.list()
			for c := range numColumns {
				if c.OfGaps() {
					continue
				}
				loaded := p.load(c, p.rows)
				for i := range p.rows {
					tensor := b.Info(i)
					got := loaded.value(i)
					want := columns[c].of(&arch.Gap{Want: arch.Want{Path: tensor.Path}, Have: &tensor}, of)
					if order(got, want) != 0 || got.Kind() != want.Kind() || !got.IsNull() && got.Kind() != c.Kind() {
						t.Errorf("%v of %s: %v in its block, %v in a gap", c, tensor.Path, got, want)
					}
					if columns[c].axis == nil && p.constant(c) && order(got, loaded.value(0)) != 0 {
						t.Errorf("%v of block %s is said to be constant: %v and %v", c, b.Template(), loaded.value(0), got)
					}
					seen++
				}
			}
		}
		return nil
	})
	if err != nil || seen != len(list)*21 {
		t.Errorf("%d values seen of %d tensors: %v", seen, len(list), err)
	}
	for c := range numColumns {
		found, ok := ColumnNamed(c.String())
		if row := columns[c]; !ok || found != c || row.about == "" || row.of == nil || row.kind == expr.NullKind {
			t.Errorf("the row of column %d is not complete: %+v", c, row.name)
		}
	}
}
