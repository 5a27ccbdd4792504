package export

import (
	"context"
	"fmt"
	"slices"

	"wreg/accel"
	"wreg/ingest/claim"
	"wreg/registry/arch"
	"wreg/registry/arch/op"
	"wreg/registry/pyjson"
	"wreg/registry/tensor"
)

// resolve lists the output tensors of a target. An mlx checkpoint is taken back to
// hf; one that is in the hf layout already stays as it is, tensor by tensor: in
// safetensors, and in shards of the usual size, whatever it was before.
func (p *Plan) resolve(ctx context.Context, c *arch.Config, src arch.Source) (*arch.Resolution, error) {
	_, ggml := src.Lookup(ggufMark)
	if p.Target == arch.MLX || ggml { // those families have the same names in hf and mlx
		return p.o.Arch.Resolve(ctx, c, src)
	}
	back, err := p.o.Arch.Invert(ctx, c, src)
	if err != nil || len(back.Gaps)+len(back.Unused) == 0 {
		return back, err
	}
	r, err := p.o.Arch.Resolve(ctx, c, src)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil || r.Layout != arch.HF {
		return back, nil
	}
	if len(r.Gaps) > 0 {
		if len(back.Gaps) == 0 {
			return back, nil
		}
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
		Make: &op.Node{Step: op.Step{Op: op.Load, Path: t.Path}, DType: t.DType, Shape: t.Shape},
	}
}

// configBack is config.json for the hf layout: as it is, but for mlx's own
// quantization block, which transformers must not see. Only mxfp4 has packed hf
// tensors that it stands for.
func (p *Plan) configBack(config []byte, doc *pyjson.Object) ([]byte, error) {
	q := doc.Object("quantization")
	if q == nil {
		if said, _ := claim.Quantized(p.doc); said != "" && p.plain {
			return doc.Sorted().Python() // without the block
		}
		if _, says := doc.Get("quantization_config"); !says || p.coded() {
			return slices.Clone(config), nil
		}
		// The codes became floats on the way to mlx; a loader would look for scales.
		p.Notes = append(p.Notes, "config.json: quantization_config is left out, the weights are floats")
		doc.Remove("quantization_config")
		if text := doc.Object("text_config"); text != nil {
			text.Remove("quantization_config")
		}
		return doc.Sorted().Python()
	}
	doc.Remove("quantization")
	doc.Remove("quantization_config")
	if mode, _ := q.Text("mode"); mode == accel.MXFP4 {
		back := pyjson.New()
		back.Set("quant_method", mode)
		doc.Set("quantization_config", back)
	}
	return doc.Sorted().Python()
}

// coded reports that a tensor of the output is stored in codes.
func (p *Plan) coded() bool {
	return slices.ContainsFunc(p.Tensors, func(t PlanTensor) bool {
		switch t.DType {
		case tensor.F8E4M3, tensor.F8E5M2, tensor.F8E8M0, tensor.F4, tensor.U8, tensor.U32, tensor.I32:
			return true
		}
		return false
	})
}
