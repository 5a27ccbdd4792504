package mlxconfig

import (
	"context"
	"errors"
	"io/fs"

	"wreg/ingest/files"
	"wreg/registry/pyjson"
)

// ReadmeVLM is the model card mlx_vlm writes for a local source (mlx_vlm 0.7.10, convert.py).
const ReadmeVLM = "---\nlanguage: en\nlibrary_name: mlx\npipeline_tag: image-text-to-text\ntags:\n- mlx\n---\n"

// generated are the keys of generation_config.json that mlx_vlm copies to the top of
// config.json, over its own (utils.py, _merge_generation_config).
var generated = []string{"eos_token_id", "temperature", "top_p", "top_k", "do_sample"}

// ConvertedVLM is config.json as mlx_vlm.convert writes it: generation_config.json merged
// in, two keys removed, sorted; vision_config stays, and is there where weights were quantized.
func ConvertedVLM(ctx context.Context, doc *pyjson.Object, d files.Files) ([]byte, error) {
	out := doc.Clone()
	gen, err := Read(ctx, d, generationFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err == nil {
		out.Set("generation_config", gen)
		for _, key := range generated {
			if v, ok := gen.Get(key); ok {
				out.Set(key, v)
			}
		}
	}
	out.Remove("_name_or_path")
	out.Remove("torch_dtype")
	if q, ok := out.Get("quantization"); ok {
		out.Set("quantization_config", q)
		if !out.Has("vision_config") {
			out.Set("vision_config", pyjson.New())
		}
	}
	return out.Sorted().Python()
}
