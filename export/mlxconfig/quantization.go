package mlxconfig

import (
	"fmt"

	"wreg/accel"
	"wreg/registry/pyjson"
)

// Stored is the quantization block that mlx_lm's loader makes of a
// source's quantization_config; nil when the weights become floats.
func Stored(c *pyjson.Object) (*pyjson.Object, error) {
	method, _ := c.Text("quant_method")
	spec := func(mode string, bits, group int) (*pyjson.Object, error) {
		return Spec(accel.QuantSpec{Mode: mode, Bits: bits, Group: group}, true), nil
	}
	switch method {
	case "mxfp4":
		return spec(accel.MXFP4, 4, 32)
	case "mxfp8":
		return spec(accel.MXFP8, 8, 32)
	case "fp8":
		// Power-of-two scales over 32 x 32 are mxfp8 and stay packed.
		if format, _ := c.Text("scale_fmt"); format == "ue8m0" && isBlock32(c) {
			return spec(accel.MXFP8, 8, 32)
		}
	case "compressed-tensors":
		switch format, _ := c.Text("format"); format {
		case "nvfp4-pack-quantized":
			return spec(accel.NVFP4, 4, 16)
		case "mxfp4-pack-quantized":
			return spec(accel.MXFP4, 4, 32)
		case "pack-quantized":
			return spec(accel.Affine, 4, 32)
		default:
			return nil, fmt.Errorf("quantization_config: compressed-tensors format %q is not known to mlx_lm", format)
		}
	case "modelopt":
		settings := c
		if inner := c.Object("quantization"); inner != nil {
			settings = inner
		}
		if algo, _ := settings.Text("quant_algo"); algo != "NVFP4" {
			return nil, fmt.Errorf("quantization_config: modelopt algorithm %q is not known to mlx_lm", algo)
		}
		q, err := spec(accel.NVFP4, 4, 16)
		if group, ok := settings.Get("group_size"); ok {
			q.Set("group_size", group)
		}
		return q, err
	case "awq", "gptq":
		q := pyjson.New()
		q.Set("group_size", int64(128))
		if group, ok := c.Get("group_size"); ok {
			q.Set("group_size", group)
		}
		q.Set("bits", int64(4))
		return q, nil
	}
	return nil, nil
}

func isBlock32(c *pyjson.Object) bool {
	v, _ := c.Get("weight_block_size")
	list, ok := v.([]any)
	return ok && len(list) == 2 && list[0] == pyjson.Number("32") && list[1] == pyjson.Number("32")
}

// Spec is a module's entry in config.json. mlx_lm writes a recipe's group
// as null when none was asked for; an architecture's own rules are written as they
// are: without a mode, and without a group when they name none.
func Spec(s accel.QuantSpec, mode bool) *pyjson.Object {
	d := pyjson.New()
	switch {
	case s.Group != 0:
		d.Set("group_size", int64(s.Group))
	case mode:
		d.Set("group_size", nil)
	}
	d.Set("bits", int64(s.Bits))
	if mode {
		d.Set("mode", s.Mode)
	}
	return d
}
