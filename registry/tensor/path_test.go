package tensor

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestSplitPath(t *testing.T) {
	for _, c := range []struct {
		path, template string
		index          []int64
	}{
		{"model.embed_tokens.weight", "model.embed_tokens.weight", nil},
		{"model.layers.3.mlp.experts.9.up_proj.weight", "model.layers.{layer}.mlp.experts.{expert}.up_proj.weight", []int64{3, 9}},
		{"transformer.h.0.attn.1.w", "transformer.h.{layer}.attn.{n}.w", []int64{0, 1}},
		{"experts.00.w", "experts.00.w", nil},                                   // not canonical: 0 and 00 stay apart
		{"experts.1234567890123456789.w", "experts.1234567890123456789.w", nil}, // 19 digits
		{"{layer}.3.w", "{layer}.3.w", nil},
		{"{x}.3.w", "{x}.{n}.w", []int64{3}},
		{"", "", nil},
		{"7", "{n}", []int64{7}},
	} {
		template, index := SplitPath(c.path)
		if template != c.template || !slices.Equal(index, c.index) {
			t.Errorf("SplitPath(%q) = %q %v, want %q %v", c.path, template, index, c.template, c.index)
		}
	}
}

func TestJoinPathInvertsSplitPath(t *testing.T) {
	seg := rapid.SampledFrom([]string{"layers", "experts", "3", "00", "12", "w", "{layer}", "{n}", "{expert}", "", "{x}", "-1"})
	rapid.Check(t, func(t *rapid.T) {
		path := rapid.Custom(func(t *rapid.T) string {
			s := ""
			for i, p := range rapid.SliceOfN(seg, 1, 8).Draw(t, "segments") {
				if i > 0 {
					s += "."
				}
				s += p
			}
			return s
		}).Draw(t, "path")
		if got := JoinPath(SplitPath(path)); got != path {
			t.Fatalf("JoinPath(SplitPath(%q)) = %q", path, got)
		}
	})
}

func TestNumel(t *testing.T) {
	for _, c := range []struct {
		shape Shape
		n     int64
		ok    bool
	}{
		{nil, 1, true}, {Shape{0, 5}, 0, true}, {Shape{4, 96, 64}, 24576, true},
		{Shape{-1}, 0, false}, {Shape{-2, -1}, 0, false}, {Shape{1 << 32, 1 << 32}, 0, false},
		{Shape{0, 1 << 32, 1 << 32}, 0, false}, {make(Shape, MaxRank+1), 0, false},
	} {
		if n, err := c.shape.Numel(); n != c.n || (err == nil) != c.ok {
			t.Errorf("%v.Numel() = %d, %v", c.shape, n, err)
		}
	}
}

func TestDTypeSize(t *testing.T) {
	for _, c := range []struct {
		dt   DType
		n    int64
		size int64
		ok   bool
	}{
		{BF16, 3, 6, true}, {F4, 4, 2, true}, {F4, 3, 0, false}, {F6E2M3, 4, 3, true},
		{C128, 1 << 59, 1 << 63 >> 1, false}, {F64, 1 << 60, 0, false}, {Invalid, 1, 0, false}, {U8, -1, 0, false},
	} {
		if size, err := c.dt.Size(c.n); (err == nil) != c.ok || c.ok && size != c.size {
			t.Errorf("%v.Size(%d) = %d, %v", c.dt, c.n, size, err)
		}
	}
}
