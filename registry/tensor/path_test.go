package tensor

import (
	"slices"
	"strconv"
	"strings"
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

// TestPlaceholders: what numbers count, whatever a template was stored as; L and E are
// layers and experts.
func TestPlaceholders(t *testing.T) {
	for path, want := range map[string]string{
		"model.layers.3.mlp.experts.9.w":                              "L E",
		"layers._modules.3._parameters.weight":                        "L",
		"_modules.layers._modules.3.experts._modules.2._parameters.w": "L E",
		"net._orig_mod.blocks.module.2.w":                             "L",
		"angle_layers.1.w":                                            "L",
		"encoder_layers.1.attn.heads.2.w":                             "L n",
		"_blocks.4.w":                                                 "L",
		"resblocks.4.w":                                               "L",
		"transformer_blocks.4.ff.net.0.proj.weight":                   "L n",
		"encoder.hiddenLayers.4.w":                                    "L",
		"features.0.weight":                                           "L",
		"features.3.0.weight":                                         "L n",
		"stages.1.downsample.0.weight":                                "L n",
		"stages.1.blocks.2.w":                                         "n L", // as it always was
		"blocks.1.0.w":                                                "L n",
		"layers.1.blocks.2.w":                                         "L L",
		"encoder.encoders.2.w":                                        "L",
		"mlp.0.weight":                                                "n",
		"classifier.6.weight":                                         "n",
		"0.weight":                                                    "n",
		"attn.heads.3.w":                                              "n",
		"_modules.0._parameters.weight":                               "n",
		"experts.3.0.w":                                               "E n",
		"layer1.0.conv1.weight":                                       "n", // the number of the layer is in the word
		"mlp_block.0.weight":                                          "n",
		"lora_A.0.weight":                                             "n",
		"conv.weight":                                                 "",
	} {
		template, index := SplitPath(path)
		names := Placeholders(template)
		got := strings.NewReplacer("layer", "L", "expert", "E").Replace(strings.Join(names, " "))
		if got != want || len(names) != len(index) {
			t.Errorf("%s (%s): %q, want %q", path, template, got, want)
		}
		k, from, to := LayerOf(template)
		if k != slices.Index(names, "layer") || k >= 0 && JoinPath(template[:from], index[:k])+strconv.FormatInt(index[k], 10)+JoinPath(template[to:], index[k+1:]) != path {
			t.Errorf("%s (%s): layer is number %d at %d to %d", path, template, k, from, to)
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
