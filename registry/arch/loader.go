package arch

import (
	"fmt"
	"strings"

	"wreg/registry/arch/op"
	"wreg/registry/tensor"
)

// loader takes what config.json's quantization_config says about every
// architecture alike: mlx_lm's loader repacks AWQ after the architecture's own
// steps, and casts all other floats to the dtype of the scales.
func (r *run) loader() error {
	method, ok := r.quantMethod()
	if !ok || method != "awq" && method != "gptq" {
		return nil
	}
	if v, ok := r.config.get("quantization_config.bits"); ok {
		if bits, _ := v.Int(); bits != 4 {
			return fmt.Errorf("config.json: quantization_config: %s of %v bits cannot be converted, only of 4; give an unquantized checkpoint", method, v)
		}
	}
	pattern, err := tensor.ParsePattern("**.weight")
	if err != nil {
		return err
	}
	r.reads.add("", &codec{kind: "awq", pattern: pattern, rule: "quantization_config",
		parts: map[string]string{"qweight": "qweight", "scales": "scales", "zeros": "qzeros"}})
	r.asked = true
	if r.src == nil {
		return nil
	}
	r.src.All(func(i tensor.Info) bool {
		switch {
		case strings.HasSuffix(i.Path, ".g_idx"):
			err = fmt.Errorf("%s: GPTQ with group indices cannot be converted; give an unquantized checkpoint", i.Path)
		case strings.HasSuffix(i.Path, ".qweight"): // of several the last counts, as in mlx_lm
			if scales, ok := r.src.Lookup(sibling(i.Path, "scales")); ok {
				r.loaderCast = scales.DType
			}
		}
		return err == nil
	})
	return err
}

func (r *run) quantMethod() (string, bool) {
	for _, key := range []string{"quantization_config.quant_method", "text_config.quantization_config.quant_method"} {
		if v, ok := r.config.get(key); ok {
			return v.Text()
		}
	}
	return "", false
}

// cast puts the loader's cast behind a plain float.
func (r *run) cast(n *op.Node) *op.Node {
	if r.loaderCast == tensor.Invalid || n == nil || !n.DType.Float() || n.DType == r.loaderCast {
		return n
	}
	return &op.Node{Step: op.Step{Op: op.Cast, To: r.loaderCast}, DType: r.loaderCast, Shape: n.Shape, In: []*op.Node{n}}
}
