package export

import (
	"errors"
	"fmt"
	"io/fs"

	"wreg/export/staging"
	"wreg/ingest"
	"wreg/registry/pyjson"
	"wreg/registry/tensor"
)

// readme is the model card mlx_lm writes for a local source.
const readme = "---\nlanguage: en\nlibrary_name: mlx\npipeline_tag: text-generation\ntags:\n- mlx\n---\n"

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

// castType is the dtype floats are cast to: the one asked for, else
// config.torch_dtype, else text_config.dtype. mlx_lm acts on three names only and
// never reads the top-level dtype.
func castType(asked tensor.DType, config *pyjson.Object) tensor.DType {
	if asked != tensor.Invalid {
		return asked
	}
	name, ok := config.Text("torch_dtype")
	if !ok {
		if text := config.Object("text_config"); text != nil {
			name, _ = text.Text("dtype")
		}
	}
	switch name {
	case "float16":
		return tensor.F16
	case "bfloat16":
		return tensor.BF16
	case "float32":
		return tensor.F32
	}
	return tensor.Invalid
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
