// Package mlxconfig knows what mlx_lm makes of a config.json: what its loader fills in
// and renames, which quantization block it reads weights by, and what mlx_lm.convert
// writes in the end, byte for byte.
//
// Most users need [Refuses], to learn what keeps mlx_lm from a model, [Edit] (as the loader's
// model classes do), [Flatten] and [Respell] (keys that transformers 5 has elsewhere), [Stored] (the block that
// stands for a source's quantization_config), [Spec] (a module's entry in it), [DType]
// and [Converted].
//
// Invariants: the order of keys and the spelling of numbers are Python's; what mlx_lm
// does not know is refused, and nothing is taken for something alike.
package mlxconfig

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"wreg/ingest/files"
	"wreg/registry/pyjson"
	"wreg/registry/tensor"
)

// generationFile says where generation ends.
const generationFile = "generation_config.json"

// Readme is the model card mlx_lm writes for a local source.
const Readme = "---\nlanguage: en\nlibrary_name: mlx\npipeline_tag: text-generation\ntags:\n- mlx\n---\n"

// Converted is config.json as mlx_lm.convert writes it: eos_token_id as
// generation_config.json has it, two keys removed, sorted. A model that keeps its
// vision tower keeps vision_config.
func Converted(ctx context.Context, doc *pyjson.Object, d files.Files, vision bool) ([]byte, error) {
	out := doc.Clone()
	gen, err := Read(ctx, d, generationFile)
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

// DType is the dtype floats are cast to: the one asked for, else
// config.torch_dtype, else text_config.dtype. mlx_lm acts on three names only and
// never reads the top-level dtype.
func DType(asked tensor.DType, config *pyjson.Object) tensor.DType {
	if asked != tensor.Invalid {
		return asked
	}
	name, ok := config.Text("torch_dtype")
	if !ok {
		if text := config.Object("text_config"); text != nil {
			name, _ = text.Text("dtype")
		}
	}
	return tensor.TorchFloat(name)
}

// Read reads a JSON file next to the weights.
func Read(ctx context.Context, d files.Files, name string) (*pyjson.Object, error) {
	data, err := d.ReadFile(ctx, name, pyjson.MaxBytes)
	if err != nil {
		return nil, err
	}
	o, err := pyjson.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; correct it, or remove it from the folder", name, err)
	}
	return o, nil
}
