package export

import (
	"fmt"

	"wreg/registry/arch"
	"wreg/registry/tensor"
)

// resolve lists the output tensors of a target. An mlx checkpoint is taken back to
// hf; one that is in the hf layout already stays as it is, tensor by tensor: in
// safetensors, and in shards of the usual size, whatever it was before.
func (p *Plan) resolve(c *arch.Config, src arch.Source) (*arch.Resolution, error) {
	_, ggml := src.Lookup(ggufMark)
	if p.Target == arch.MLX || ggml { // those families have the same names in hf and mlx
		return p.o.Arch.Resolve(c, src)
	}
	back, err := p.o.Arch.Invert(c, src)
	if err != nil || len(back.Gaps) == 0 {
		return back, err
	}
	r, err := p.o.Arch.Resolve(c, src)
	if err != nil || r.Layout != arch.HF {
		return back, nil
	}
	if len(r.Gaps) > 0 {
		return r, nil // what hf lacks, not what mlx would
	}
	left := map[string]bool{}
	for _, path := range r.Unused {
		left[path] = true
	}
	r.Targets, r.Drops = nil, nil
	for t := range src.All {
		if !mlxFloat(t.DType) && p.o.DType != tensor.Invalid {
			return nil, fmt.Errorf("%s: tensor %q is %v: a checkpoint that is stored quantized keeps its dtypes; leave --dtype out", p.Model, t.Path, t.DType)
		}
		if !left[t.Path] {
			r.Targets = append(r.Targets, same(t))
		}
	}
	return r, nil
}

// same is a tensor as it is.
func same(t tensor.Info) arch.Target {
	return arch.Target{
		Want: arch.Want{Path: t.Path, Shape: t.Shape, Rule: "in this layout already"},
		Make: &arch.Node{Op: arch.OpLoad, Path: t.Path, DType: t.DType, Shape: t.Shape},
	}
}
