package ingest

import (
	"slices"
	"strings"

	"wreg/registry/pyjson"
	"wreg/registry/tensor"
)

// quantizationKeys are where a config.json says that weights are stored in codes:
// mlx's own block and transformers'.
var quantizationKeys = []string{"quantization", "quantization_config"}

// SaysQuantized finds the key of config.json that says that weights are stored in
// codes, at the top or one object further in, and the method it names; "" when
// there is none.
func SaysQuantized(config *pyjson.Object) (key, method string) {
	eachClaim(config, func(o *pyjson.Object, at, k string) {
		if claim := o.Object(k); key == "" && claim != nil {
			key = at + k
			if method, _ = claim.Text("quant_method"); method == "" {
				method, _ = claim.Text("mode")
			}
		}
	})
	return key, method
}

// RemoveQuantized takes out of config.json what SaysQuantized finds.
func RemoveQuantized(config *pyjson.Object) {
	eachClaim(config, func(o *pyjson.Object, _, k string) { o.Remove(k) })
}

func eachClaim(config *pyjson.Object, visit func(o *pyjson.Object, at, key string)) {
	for _, key := range quantizationKeys {
		if config.Has(key) {
			visit(config, "", key)
		}
		for _, name := range config.Keys() {
			if o := config.Object(name); o.Has(key) && !slices.Contains(quantizationKeys, name) {
				visit(o, name+".", key)
			}
		}
	}
}

// Coded reports that a tensor can be a weight stored in codes. What a GGUF holds in
// blocks is not: no config.json speaks of it.
func Coded(t *tensor.Info) bool {
	switch t.DType {
	case tensor.F8E4M3, tensor.F8E5M2, tensor.F8E4M3FNUZ, tensor.F8E5M2FNUZ, tensor.F8E8M0, tensor.F6E2M3, tensor.F6E3M2, tensor.F4,
		tensor.I8, tensor.U8, tensor.I16, tensor.U16, tensor.I32, tensor.U32:
		return len(t.Shape) >= 2
	}
	return false
}

// wroteMLX reports that the weights say of themselves that mlx wrote them.
func (c *Checkpoint) wroteMLX() bool {
	return slices.ContainsFunc(c.open, func(f *file) bool {
		s, ok := f.reader.(interface{ Metadata() map[string]string })
		return ok && s.Metadata()["format"] == "mlx"
	})
}

// noteLeftover reports a config.json that says quantized of weights that are not.
func (c *Checkpoint) noteLeftover() {
	if c.doc == nil || slices.ContainsFunc(c.tensors, func(t tensor.Info) bool { return Coded(&t) }) {
		return
	}
	// mlx_lm leaves transformers' block of an fp8 source beside the floats it made of
	// it, and passes over it: in what mlx wrote only mlx's own block means something.
	if key, method := SaysQuantized(c.doc); key != "" && len(c.tensors) > 0 && (strings.HasSuffix(key, "quantization") || !c.wroteMLX()) {
		if method != "" {
			method = " (" + method + ")"
		}
		c.note("leftover-quantization", "config.json", "",
			"config.json: %s%s says that weights are quantized, and none is: transformers would look for scales, mlx_lm may decode floats; an export leaves the block out", key, method)
	}
}
