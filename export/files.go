package export

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"wreg/export/compute"
	"wreg/export/staging"
	"wreg/ingest"
	"wreg/registry/arch"
	"wreg/registry/pyjson"
)

// readme is the model card mlx_lm writes for a local source.
const readme = "---\nlanguage: en\nlibrary_name: mlx\npipeline_tag: text-generation\ntags:\n- mlx\n---\n"

// finish plans everything that is no weight: config.json and the files to copy.
func (p *Plan) finish(config []byte, doc *pyjson.Object) error {
	root, err := ingest.OpenFolder(p.source.folder())
	if err != nil {
		return p.source.moved(err)
	}
	defer root.Close()
	if p.files, err = staging.Extras(root); err != nil {
		return err
	}
	if p.Target == arch.HF { // the same model, under its own names
		p.config, err = p.configBack(config, doc)
		return err
	}
	if p.config, err = configFor(doc, root, p.vision()); err != nil {
		return fmt.Errorf("%s: %w", staging.Config, err)
	}
	return nil
}

// configFor is config.json as mlx_lm.convert writes it: eos_token_id as
// generation_config.json has it, two keys removed, sorted. A model that keeps its
// vision tower keeps vision_config.
func configFor(doc *pyjson.Object, root *ingest.Folder, vision bool) ([]byte, error) {
	out := doc.Clone()
	gen, err := readObject(root, staging.Generation)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	// One that cannot be read is refused above: mlx_lm passes over it, and generates
	// past the end of every answer.
	if eos, _ := gen.Get("eos_token_id"); pyjson.Truth(eos) {
		out.Set("eos_token_id", eos)
	}
	out.Remove("_name_or_path")
	if !vision {
		out.Remove("vision_config")
	}
	if q, ok := out.Get("quantization"); ok {
		out.Set("quantization_config", q)
	}
	return out.Sorted().Python()
}

// readObject reads a JSON file beside the weights.
func readObject(root *ingest.Folder, name string) (*pyjson.Object, error) {
	data, err := root.ReadFile(name, pyjson.MaxBytes)
	if err != nil {
		return nil, err
	}
	o, err := pyjson.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; mend it, or take it out of the folder", name, err)
	}
	return o, nil
}

// vision reports whether the output holds a vision tower where mlx_lm looks for it.
func (p *Plan) vision() bool {
	return slices.ContainsFunc(p.Tensors, func(t PlanTensor) bool { return strings.HasPrefix(t.Path, "model.vision_tower.") })
}

// index is model.safetensors.index.json.
func (p *Plan) index() ([]byte, error) {
	meta, files := pyjson.New(), pyjson.New()
	meta.Set("total_size", p.TotalSize)
	if p.Target == arch.MLX {
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
		case packed[module]: // scales and biases are no parameters
			if t.Path == module+".bias" {
				n += compute.Numel(t.Shape)
			}
		case !inner[module] && module != "": // the root always holds modules
			n += compute.Numel(t.Shape)
		}
	}
	return n
}

// parent is the path without its last segment.
func parent(path string) string {
	return path[:max(strings.LastIndexByte(path, '.'), 0)]
}

var _ arch.Source = (*source)(nil)
