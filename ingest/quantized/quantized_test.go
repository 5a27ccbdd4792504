package quantized

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"wreg/registry/tensor"
)

func TestFindQuantized(t *testing.T) {
	info := func(path string, d tensor.DType, shape ...int64) tensor.Info {
		n, err := tensor.Shape(shape).Bytes(d)
		if err != nil {
			t.Fatal(err)
		}
		return tensor.Info{Path: path, DType: d, Shape: shape, Bytes: n}
	}
	triplet := func(words, groups int64) []tensor.Info {
		return []tensor.Info{info("a.biases", tensor.BF16, 4, groups), info("a.scales", tensor.BF16, 4, groups), info("a.weight", tensor.U32, 4, words)}
	}
	for _, c := range []struct {
		name    string
		tensors []tensor.Info
		config  string
		want    string // path shape mode bits group, ~ when assumed
	}{
		{"4 bits, no config", triplet(16, 2), "", "a.weight [4, 128] affine 4 64 ~"},
		{"8 bits, no config", triplet(32, 2), "", "a.weight [4, 128] affine 8 64 ~"},
		{"config decides between 4/64 and 8/32", triplet(16, 2), `{"quantization":{"bits":8,"group_size":32}}`, "a.weight [4, 64] affine 8 32"},
		{"one path of its own", triplet(16, 2), `{"quantization":{"bits":4,"group_size":64,"a":{"bits":8,"group_size":32}}}`, "a.weight [4, 64] affine 8 32"},
		{"config that does not fit", triplet(16, 2), `{"quantization":{"bits":3,"group_size":64}}`, "a.weight [4, 128] affine 4 64 ~"},
		{"config with a path set false", triplet(16, 2), `{"quantization":{"bits":4,"group_size":64,"b":false}}`, "a.weight [4, 128] affine 4 64"},
		{"3 bits", triplet(12, 2), `{"quantization":{"bits":3,"group_size":64}}`, "a.weight [4, 128] affine 3 64"},
		{"stack", []tensor.Info{info("a.biases", tensor.F16, 2, 4, 2), info("a.scales", tensor.F16, 2, 4, 2), info("a.weight", tensor.U32, 2, 4, 16)}, "", "a.weight [2, 4, 128] affine 4 64 ~"},
		{"mxfp4", []tensor.Info{info("a.scales", tensor.U8, 4, 4), info("a.weight", tensor.U32, 4, 16)}, `{"quantization":{"bits":4,"group_size":32,"mode":"mxfp4"}}`, "a.weight [4, 128] mxfp4 4 32"},
		{"nvfp4, no config", []tensor.Info{info("a.scales", tensor.U8, 4, 8), info("a.weight", tensor.U32, 4, 16)}, "", "a.weight [4, 128] nvfp4 4 16 ~"},
		{"without a module", []tensor.Info{info("biases", tensor.F16, 4, 2), info("scales", tensor.F16, 4, 2), info("weight", tensor.U32, 4, 16)}, "", "weight [4, 128] affine 4 64 ~"},
		{"no biases", []tensor.Info{info("a.scales", tensor.F16, 4, 2), info("a.weight", tensor.U32, 4, 16)}, "", ""},
		{"no scales", []tensor.Info{info("a.biases", tensor.F16, 4, 2), info("a.weight", tensor.U32, 4, 16)}, "", ""},
		{"other rows", []tensor.Info{info("a.biases", tensor.F16, 5, 2), info("a.scales", tensor.F16, 5, 2), info("a.weight", tensor.U32, 4, 16)}, "", ""},
		{"no weight is packed", []tensor.Info{info("a.biases", tensor.F16, 4, 2), info("a.scales", tensor.F16, 4, 2), info("a.weight", tensor.F16, 4, 16)}, "", ""},
		{"fits nothing", triplet(17, 2), "", ""},
		{"broken config", triplet(16, 2), `{"quantization":{"bits":"4"}}`, "a.weight [4, 128] affine 4 64 ~"},
	} {
		var got []string
		for _, q := range Find(c.tensors, []byte(c.config)) {
			s := fmt.Sprint(q.Path, " ", q.Shape, " ", q.Mode, " ", q.Bits, " ", q.Group)
			if q.Assumed {
				s += " ~"
			}
			got = append(got, s)
			var bytes int64
			for _, p := range q.Parts {
				i := slices.IndexFunc(c.tensors, func(t tensor.Info) bool { return t.Path == p })
				bytes += c.tensors[i].Bytes
			}
			if q.Bytes != bytes {
				t.Errorf("%s: %d bytes, its parts have %d", c.name, q.Bytes, bytes)
			}
		}
		if s := strings.Join(got, ", "); s != c.want {
			t.Errorf("%s: %q, want %q", c.name, s, c.want)
		}
	}
}
