package export

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"wreg/accel"
	"wreg/export/compute"
	"wreg/export/staging"
	"wreg/ingest"
	"wreg/ingest/claim"
	"wreg/registry/arch"
	"wreg/registry/pyjson"
	"wreg/registry/tensor"
)

// modelOptFile is where NVIDIA's exporter keeps its quantization settings.
const modelOptFile = "hf_quant_config.json"

// rewrite does to config.json what mlx_lm's loader does, also when the source's
// weights are stored quantized, and prepares -q.
func (p *Plan) rewrite(doc *pyjson.Object, targets []arch.Target) (err error) {
	edit(doc)
	if err := p.hoist(doc); err != nil {
		return err
	}
	if doc.Object("quantization") == nil {
		if stored := doc.Object("quantization_config"); stored != nil {
			q, err := storedQuantization(stored)
			if err != nil {
				return fmt.Errorf("%s: %w", staging.Config, err)
			}
			if q != nil {
				doc.Set("quantization", q)
			}
		}
	}
	if p.o.Quantize != nil {
		p.quantizer, err = newQuantizer(*p.o.Quantize, doc.Object("quantization"), targets)
	}
	return err
}

// hoist puts quantization_config at the top, wherever the source keeps it.
func (p *Plan) hoist(doc *pyjson.Object) error {
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
	root, err := ingest.OpenFolder(p.source.folder())
	if err != nil {
		return err
	}
	defer root.Close()
	q, err := readObject(root, modelOptFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	doc.Set("quantization_config", q)
	return nil
}

// storedQuantization is the quantization block that mlx_lm's loader makes of a
// source's quantization_config; nil when the weights become floats.
func storedQuantization(c *pyjson.Object) (*pyjson.Object, error) {
	method, _ := c.Text("quant_method")
	spec := func(mode string, bits, group int) (*pyjson.Object, error) {
		return specDocument(accel.QuantSpec{Mode: mode, Bits: bits, Group: group}, true), nil
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

// dropLeftover takes the quantization blocks out of config.json when no weight of
// the source is stored in codes: a reader would take floats for codes, or look for
// scales.
func (p *Plan) dropLeftover(doc *pyjson.Object, said string) {
	p.plain = !slices.ContainsFunc(p.source.tensors, func(t tensor.Info) bool { return claim.Coded(&t) })
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
	case doc.Object("quantization") == nil && doc.Object("quantization_config") == nil:
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
