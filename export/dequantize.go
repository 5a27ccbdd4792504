package export

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"wreg/accel"
	"wreg/export/compute"
	"wreg/registry/arch"
	"wreg/registry/arch/op"
	"wreg/registry/tensor"
)

// dequantizedTargets turns the three stored parts of a module into its weight; other
// targets stay. mlx_lm does it for linear, embedding and expert layers. said: the
// config speaks of quantized weights, even if none is.
func dequantizedTargets(targets []arch.Target, dtype tensor.DType, said bool) ([]arch.Target, error) {
	byPath := map[string]*arch.Target{}
	for i := range targets {
		byPath[targets[i].Path] = &targets[i]
	}
	var out []arch.Target
	found := said
	for _, t := range targets {
		module := parent(t.Path)
		scales, weight := byPath[module+".scales"], byPath[module+".weight"]
		if t.Packed.Bits == 0 || scales == nil || weight == nil || weight.Make == nil || scales.Make == nil || multi(module) {
			out = append(out, t)
			continue
		}
		if t.Path != module+".weight" {
			if t.Path != module+".scales" && t.Path != module+".biases" {
				out = append(out, t)
			}
			continue
		}
		found = true
		spec, err := compute.Packing(t.Packed, scales.Make.DType)
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", t.Path, err)
		}
		n := &op.Node{Step: op.Step{Op: op.Dequantize}, In: []*op.Node{t.Make, scales.Make}, DType: tensor.BF16, Shape: slices.Clone(t.Make.Shape)}
		n.Shape[len(n.Shape)-1] = n.Shape[len(n.Shape)-1] * 32 / int64(spec.Bits)
		n.Axis, n.Count = spec.Bits, spec.Group
		if spec.Mode == accel.Affine {
			biases := byPath[module+".biases"]
			if biases == nil || biases.Make == nil {
				return nil, fmt.Errorf("tensor %q: %s.biases is missing", t.Path, module)
			}
			n.In = []*op.Node{t.Make, castTo(scales.Make, dtype), castTo(biases.Make, dtype)}
			n.DType = n.In[1].DType
		}
		t.Make, t.Packed, t.Keep = n, arch.Packed{}, true
		t.Shape = n.Shape
		out = append(out, t)
	}
	if !found {
		return nil, errors.New("nothing to dequantize: the model holds no quantized weights")
	}
	return out, nil
}

// multi reports a layer that mlx_lm leaves quantized: its per-head projections.
func multi(module string) bool {
	return strings.HasSuffix(module, ".embed_q") || strings.HasSuffix(module, ".unembed_out")
}
