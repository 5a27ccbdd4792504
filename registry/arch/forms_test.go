package arch_test

import (
	"fmt"
	"strings"
	"testing"

	"wreg/registry/arch"
	"wreg/registry/tensor"
)

// Every stored form of a matrix of 4 rows of 64: what is read whole, and that each of
// its tensors is missed alone.
func TestStoredForms(t *testing.T) {
	of := func(name string, d tensor.DType, shape ...int64) tensor.Info {
		n, _ := tensor.Shape(shape).Bytes(d)
		return tensor.Info{Path: name, DType: d, Shape: shape, Bytes: n}
	}
	for _, c := range []struct {
		read   string
		stored []tensor.Info
		packed string // bits and group of what it becomes
		lacks  string // what is missing without the first, and without the second
	}{
		{"fp8(scale = scale, block = 2)", []tensor.Info{of("a.weight", tensor.F8E4M3, 4, 64), of("a.scale", tensor.F32, 2, 32)}, "", "a.weight a.scale"},
		{"mxfp8(scale = scale)", []tensor.Info{of("a.weight", tensor.F8E4M3, 4, 64), of("a.scale", tensor.F8E8M0, 4, 2)}, "8/32", "a.weight a.scale"},
		{"nvfp4(scale = scale)", []tensor.Info{of("a.weight", tensor.U8, 4, 32), of("a.scale", tensor.F8E4M3, 4, 4)}, "4/16", "a.weight"},
		{"tiles(scale = scale)", []tensor.Info{of("a.weight", tensor.F8E4M3, 4, 64), of("a.scale", tensor.F8E8M0, 4, 2)}, "8/32", "a.weight"},
		{"int4(packed = codes, scale = scale)", []tensor.Info{of("a.codes", tensor.I32, 4, 8), of("a.scale", tensor.BF16, 4, 2)}, "4/32", "a.codes a.scale"},
		{"int4(packed = codes, scale = scale)", []tensor.Info{of("a.codes", tensor.I32, 4, 8), of("a.scale", tensor.BF16, 4, 1)}, "4/64", "a.codes a.scale"},
		{"fp4(packed = codes, scale = scale)", []tensor.Info{of("a.codes", tensor.U8, 4, 32), of("a.scale", tensor.U8, 4, 2)}, "4/32", "a.codes a.scale"},
		{"mxfp4(blocks = codes, scales = scale)", []tensor.Info{of("a.codes", tensor.U8, 4, 2, 16), of("a.scale", tensor.U8, 4, 2)}, "4/32", "a.codes a.scale"},
	} {
		a, err := arch.Parse("x.arch", "arch x\ntensor a.weight [4, 64]\nread a.weight as "+c.read+"\n")
		if err != nil {
			t.Fatal(err)
		}
		config, err := arch.ParseConfig([]byte(`{"quantization": {"group_size": 64, "bits": 4}}`))
		if err != nil {
			t.Fatal(err)
		}
		r, err := a.Resolve(t.Context(), config, newSource(c.stored))
		if err != nil {
			t.Fatal(err)
		}
		complain(t, r)
		if p := r.Targets[0].Packed; c.packed != "" && fmt.Sprintf("%d/%d", p.Bits, p.GroupSize) != c.packed {
			t.Errorf("%s: packed as %+v, want %s", c.read, p, c.packed)
		}
		wants, err := a.Expect(t.Context(), config, arch.HF, newSource(c.stored))
		if err != nil || len(wants) != 2 {
			t.Fatalf("%s: hf wants %+v, %v", c.read, wants, err)
		}
		var lacks []string
		for i, have := range c.stored {
			if w := wants[i]; w.Path != have.Path || !w.Shape.Equal(have.Shape) || w.DType != tensor.Invalid && w.DType != have.DType {
				t.Errorf("%s: hf wants %+v, stored is %+v", c.read, w, have)
			}
			gaps, err := a.Lacks(t.Context(), config, newSource(c.stored[1-i:2-i]))
			if err != nil {
				t.Fatal(err)
			}
			for _, g := range gaps {
				if g.Status == arch.Missing {
					lacks = append(lacks, g.Path)
				}
			}
		}
		if got := strings.Join(lacks, " "); got != c.lacks {
			t.Errorf("%s: lacks %q, want %q", c.read, got, c.lacks)
		}
	}
}

// Codes need a block that mlx_lm uses, as it was seen to: an object, of which quantization
// has both keys, whatever their values, and quantization_config a method that it knows. What
// the block says of a module by name is believed.
func TestCodesNeedABlock(t *testing.T) {
	stored := []tensor.Info{{Path: "a.weight", DType: tensor.U32, Shape: tensor.Shape{4, 8}, Bytes: 128}, {Path: "a.scales", DType: tensor.F16, Shape: tensor.Shape{4, 1}, Bytes: 8},
		{Path: "a.biases", DType: tensor.F16, Shape: tensor.Shape{4, 1}, Bytes: 8}}
	a, err := arch.Parse("x.arch", "arch x\ntensor a.weight [4, 64]\n")
	if err != nil {
		t.Fatal(err)
	}
	const none, add = "stored in 4-bit codes, and config.json has no quantization block, without which mlx_lm refuses them", `add "quantization": {"group_size": 64, "bits": 4, "mode": "affine"} to config.json and ingest again, or export with -d`
	const other = "stored in 4-bit codes, and config.json has no quantization block, %s, without which mlx_lm refuses them"
	const misread = "stored as affine codes of 4 bits, group size 64, and quantization of config.json says of this module: %s; mlx_lm believes that"
	const out = "take the module's entry out of the block, as mlx_lm then asks the shapes, and ingest again"
	const lacks, put = "stored in 4-bit codes, and the quantization block of config.json has no %s, without which mlx_lm refuses them", `put "group_size": 64, "bits": 4 into "quantization" of config.json and ingest again, or export with -d`
	for _, c := range []struct{ config, reason, remedy string }{
		{`{"quantization": {"group_size": 64, "bits": 4}}`, "", ""},
		{`{"quantization": {"group_size": 32, "bits": 8}}`, "", ""}, // the shapes say what is so
		{`{"quantization_config": {"quant_method": "mxfp4"}}`, "", ""},
		{`{"quantization_config": {"quant_method": "x"}}`, fmt.Sprintf(other, `and mlx_lm does not know the quant_method "x" of its quantization_config`), add},
		{`{"quantization": null, "quantization_config": {"bits": 4}}`, fmt.Sprintf(other, "and its quantization_config no quant_method"), add},
		{`{"text_config": {"quantization_config": {"bits": 4}}}`, fmt.Sprintf(other, "and its text_config.quantization_config no quant_method"), add},
		{`{"quantization": {"group_size": 64, "bits": 4, "a": {"bits": 4}}}`, "", ""},
		{`{"quantization": {"group_size": 64, "bits": 4, "a": {"bits": 4, "group_size": 64, "mode": "affine"}}}`, "", ""},
		{`{"quantization": {"group_size": 64, "bits": 4, "a": true}}`, "", ""},
		{`{"quantization": {"group_size": 64, "bits": 4, "b": {"bits": 8}}}`, "", ""}, // of no module
		{`{"quantization": {"group_size": 64, "bits": 8, "a": true}}`, fmt.Sprintf(misread, "affine codes of 8 bits, group size 64"), out},
		{`{"quantization": {"group_size": 64, "bits": 4, "a": {"bits": 8}}}`, fmt.Sprintf(misread, "affine codes of 8 bits, group size 64"), out},
		{`{"quantization": {"group_size": 64, "bits": 4, "a": {"group_size": 32}}}`, fmt.Sprintf(misread, "affine codes of 4 bits, group size 32"), out},
		{`{"quantization": {"group_size": 64, "bits": 4, "a": {"mode": "mxfp4"}}}`, fmt.Sprintf(misread, "mxfp4 codes of 4 bits, group size 32"), out},
		{`{"quantization": {"group_size": 64, "bits": 4, "a": {"mode": "x"}}}`, fmt.Sprintf(misread, `mode "x", which mlx does not have`), out},
		{`{"quantization": {"group_size": 64, "bits": 4, "a": false}}`, fmt.Sprintf(misread, "floats"), out},
		{`{"quantization": {"group_size": 64, "bits": 4, "a": null}}`, fmt.Sprintf(misread, "floats"), out},
		{`{"quantization": {"group_size": 64, "bits": 4, "a": "4"}}`, fmt.Sprintf(misread, "neither an object nor true or false"), out},
		{`{}`, none, add},
		{`{"quantization": null}`, none, add},
		{`{"quantization_config": {}}`, none, add},
		{`{"quantization": null, "quantization_config": {}}`, none, add},
		{`{"text_config": {"quantization_config": {}}}`, none, add},
		{`{"quantization": {}}`, fmt.Sprintf(lacks, "group_size"), put},
		{`{"quantization": {"bits": 4}}`, fmt.Sprintf(lacks, "group_size"), put},
		{`{"quantization": {"group_size": 64}, "quantization_config": {"quant_method": "x"}}`, fmt.Sprintf(lacks, "bits"), put},
	} {
		config, err := arch.ParseConfig([]byte(c.config))
		if err != nil {
			t.Fatal(err)
		}
		r, err := a.Resolve(t.Context(), config, newSource(stored))
		if err != nil {
			t.Fatal(err)
		}
		var reason, remedy string
		if len(r.Gaps) == 1 {
			reason, remedy = r.Gaps[0].Reason, r.Gaps[0].Remedy
		}
		if len(r.Gaps) > 1 || reason != c.reason || remedy != c.remedy {
			t.Errorf("%s: %d gaps, %q, %q, want %q, %q", c.config, len(r.Gaps), reason, remedy, c.reason, c.remedy)
		}
	}
}
