package export

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"wreg/accel"
	"wreg/export/compute"
	"wreg/export/consumer"
	"wreg/export/mlxconfig"
	"wreg/export/staging"
	"wreg/ingest/claim"
	"wreg/registry/arch"
	"wreg/registry/pyjson"
	"wreg/registry/tensor"
)

// modelOptFile is where NVIDIA's exporter keeps its quantization settings.
const modelOptFile = "hf_quant_config.json"

// finish plans everything that is not a weight: config.json and the files to copy.
func (p *Plan) finish(ctx context.Context, config []byte, doc *pyjson.Object) error {
	root, err := p.source.beside()
	if err != nil {
		return p.source.absent(err)
	}
	defer root.Close()
	if p.files, err = staging.Extras(ctx, root); err != nil {
		return err
	}
	if p.Target == arch.HF { // the same model, under its own names
		p.config, err = p.configBack(config, doc)
		return err
	}
	if p.Target == arch.MLXVLM {
		p.config, err = mlxconfig.ConvertedVLM(ctx, doc, root)
	} else {
		p.config, err = mlxconfig.Converted(ctx, doc, root, p.vision())
	}
	if err != nil {
		return fmt.Errorf("%s: %w", staging.Config, err)
	}
	return nil
}

// rewrite does to config.json what mlx_lm's loader does, also when the source's
// weights are stored quantized, and prepares -q.
func (p *Plan) rewrite(ctx context.Context, doc *pyjson.Object, targets []arch.Target) (err error) {
	if p.Target == arch.MLX { // mlx_vlm's loader edits nothing
		p.edit(doc)
	}
	if err := p.hoist(ctx, doc); err != nil {
		return err
	}
	if doc.Object("quantization") == nil {
		if stored := doc.Object("quantization_config"); stored != nil {
			q, err := mlxconfig.Stored(stored)
			if err != nil {
				return fmt.Errorf("%s: %w", staging.Config, err)
			}
			if q != nil {
				regroup(q, targets)
				doc.Set("quantization", q)
			}
		}
	}
	if text := doc.Object("text_config"); text != nil && p.Target == arch.MLXVLM && doc.Has("quantization") {
		text.Remove("quantization_config") // its loader would believe it, and look for what is no longer there
	}
	if p.o.Quantize != nil {
		p.quantizer, err = newQuantizer(p.Target, *p.o.Quantize, doc.Object("quantization"), targets)
	}
	return err
}

// edit does to config.json what mlx_lm's classes do while they read it.
func (p *Plan) edit(doc *pyjson.Object) {
	mlxconfig.Edit(doc)
	if keys := mlxconfig.Flatten(doc); len(keys) > 0 {
		p.Notes = append(p.Notes, fmt.Sprintf("config.json: %s of rope_parameters is written at the top, too, where mlx_lm looks for it", strings.Join(keys, ", ")))
	}
	if said := mlxconfig.Respell(doc); len(said) > 0 {
		p.Notes = append(p.Notes, fmt.Sprintf("config.json: %s is written, too, as mlx_lm requires it", strings.Join(said, ", ")))
	}
	for _, key := range claim.Nulls(doc) {
		p.Notes = append(p.Notes, fmt.Sprintf("config.json: %s is null, as if it were not there: left out", key))
	}
}

// regroup sets the group of a block to the one that all weights in codes have. mlx_lm
// takes it from the scales, and writes what its loader assumes.
func regroup(q *pyjson.Object, targets []arch.Target) {
	group := 0
	for _, t := range targets {
		switch g := t.Packed.GroupSize; {
		case g == 0 || g == group:
		case group == 0:
			group = g
		default:
			return
		}
	}
	if group > 0 {
		q.Set("group_size", int64(group))
	}
}

// hoist puts quantization_config at the top, wherever the source keeps it.
func (p *Plan) hoist(ctx context.Context, doc *pyjson.Object) error {
	if p.plain {
		return nil
	}
	if _, ok := doc.Get("quantization_config"); ok {
		return nil
	}
	if text := doc.Object("text_config"); text != nil {
		if q, ok := text.Get("quantization_config"); ok {
			doc.Set("quantization_config", q)
			return nil
		}
	}
	root, err := p.source.beside()
	if err != nil {
		return err
	}
	defer root.Close()
	q, err := mlxconfig.Read(ctx, root, modelOptFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	doc.Set("quantization_config", q)
	return nil
}

// dropLeftover takes the quantization blocks out of config.json when no weight of
// the source is stored in codes: a reader would take floats for codes, or look for
// scales.
func (p *Plan) dropLeftover(doc *pyjson.Object, said string) {
	p.plain = !slices.ContainsFunc(p.source.tensors, func(t tensor.Info) bool { return t.Coded() })
	if said == "" || !p.plain {
		return
	}
	claim.Remove(doc)
	p.Notes = append(p.Notes, fmt.Sprintf("config.json: %s is left out: no weight is stored in codes", said))
}

// recordQuantization writes into config.json what was done to the weights. Codes that
// it would not speak of are refused: mlx_lm loads them by it alone.
func (p *Plan) recordQuantization(doc *pyjson.Object, targets []arch.Target) error {
	switch {
	case p.quantizer != nil:
		doc.Set("quantization", p.quantizer.modules)
	case p.o.Dequantize:
		doc.Remove("quantization")
		doc.Remove("quantization_config")
	case doc.Object("quantization") == nil:
		return p.unsaid(targets)
	}
	return nil
}

// unsaid names the weights in codes that no block of config.json speaks of, and the
// block that their shapes call for.
func (p *Plan) unsaid(targets []arch.Target) error {
	scales := map[string]tensor.DType{}
	for _, t := range targets {
		if module, ok := strings.CutSuffix(t.Path, ".scales"); ok && t.Make != nil {
			scales[module] = t.Make.DType
		}
	}
	var first, block string
	for _, t := range targets {
		dtype, ok := scales[parent(t.Path)]
		if t.Packed.Bits == 0 || !ok || !strings.HasSuffix(t.Path, ".weight") {
			continue
		}
		spec, err := compute.Packing(t.Packed, dtype)
		if err != nil {
			return fmt.Errorf("tensor %q: %w", t.Path, err)
		}
		text := fmt.Sprintf(`"quantization": {"group_size": %d, "bits": %d, "mode": %q}`, spec.Group, spec.Bits, spec.Mode)
		if first == "" {
			first, block = t.Path, "add "+text
		} else if block != "add "+text {
			block = "add the block with which it was quantized, as modules differ"
		}
	}
	if first == "" {
		return nil
	}
	return fmt.Errorf("%s cannot be exported: tensor %q and others are stored in codes, and config.json has no quantization block, without which mlx_lm refuses them; %s to config.json and ingest again, or export with -d",
		p.Model, first, block)
}

// vision reports whether the output holds a vision tower where mlx_lm looks for it.
func (p *Plan) vision() bool {
	return slices.ContainsFunc(p.Tensors, func(t PlanTensor) bool { return strings.HasPrefix(t.Path, "model.vision_tower.") })
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

// index is model.safetensors.index.json.
func (p *Plan) index() ([]byte, error) {
	meta, files := pyjson.New(), pyjson.New()
	meta.Set("total_size", p.TotalSize)
	if consumer.Of(p.Target).Counts {
		meta.Set("total_parameters", p.parameters())
	}
	for _, t := range p.Tensors {
		files.Set(t.Path, p.Shards[t.Shard].Name)
	}
	out := pyjson.New()
	out.Set("metadata", meta)
	out.Set("weight_map", files.Sorted())
	return out.Python()
}

// parameters counts as mlx_lm does: the tensors of modules that have no module
// inside.
func (p *Plan) parameters() int64 {
	inner := map[string]bool{} // modules that hold modules with tensors
	for _, t := range p.Tensors {
		module := parent(t.Path)
		for m := parent(module); m != "" && !inner[m]; m = parent(m) {
			inner[m] = true
		}
	}
	packed := map[string]bool{}
	for _, t := range p.Tensors {
		if t.bits != 0 {
			packed[parent(t.Path)] = true
		}
	}
	var n int64
	for _, t := range p.Tensors {
		module := parent(t.Path)
		switch {
		case t.bits != 0:
			n += compute.Numel(t.Shape) * 32 / int64(t.bits)
		case packed[module]: // scales and biases are not parameters
			if t.Path == module+".bias" {
				n += compute.Numel(t.Shape)
			}
		case !inner[module] && module != "": // the root always holds modules
			n += compute.Numel(t.Shape)
		}
	}
	return n
}
