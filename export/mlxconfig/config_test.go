package mlxconfig

import (
	"testing"

	"wreg/registry/pyjson"
	"wreg/registry/tensor"
)

// mlx_lm acts on three names, in one place of two, and on no alias of theirs.
func TestDType(t *testing.T) {
	for _, c := range []struct {
		config string
		want   tensor.DType
	}{
		{`{"torch_dtype": "float16"}`, tensor.F16},
		{`{"torch_dtype": "bfloat16"}`, tensor.BF16},
		{`{"torch_dtype": "float32"}`, tensor.F32},
		{`{"text_config": {"dtype": "bfloat16"}}`, tensor.BF16},
		{`{"torch_dtype": "bf16"}`, tensor.Invalid},
		{`{"torch_dtype": "f16"}`, tensor.Invalid},
		{`{"torch_dtype": "fp16"}`, tensor.Invalid},
		{`{"torch_dtype": "half"}`, tensor.Invalid},
		{`{"torch_dtype": "float"}`, tensor.Invalid},
		{`{"torch_dtype": "BFloat16"}`, tensor.Invalid},
		{`{"torch_dtype": "torch.bfloat16"}`, tensor.Invalid},
		{`{"torch_dtype": "float64"}`, tensor.Invalid},
		{`{"torch_dtype": "bf16", "text_config": {"dtype": "bfloat16"}}`, tensor.Invalid},
		{`{"dtype": "bfloat16"}`, tensor.Invalid},
		{`{"text_config": {"torch_dtype": "bfloat16"}}`, tensor.Invalid},
		{`{}`, tensor.Invalid},
	} {
		doc, err := pyjson.Parse([]byte(c.config))
		if err != nil {
			t.Fatal(err)
		}
		if got := DType(tensor.Invalid, doc); got != c.want {
			t.Errorf("%s: %v, want %v", c.config, got, c.want)
		}
		if got := DType(tensor.F32, doc); got != tensor.F32 {
			t.Errorf("%s: f32 was asked for, got %v", c.config, got)
		}
	}
}
