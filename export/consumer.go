package export

import (
	"maps"
	"slices"

	"wreg/export/mlxconfig"
	"wreg/registry/arch"
)

// consumer is what the converter of a layout's consumer does alike for all architectures.
type consumer struct {
	header string // "format" in the header of shards: transformers and mlx look at it
	readme string // the model card for a local source

	counts  bool              // the index has total_parameters
	recipes map[string][2]int // the mixed recipes: bits for most weights, and for those that lose most
	high    []string          // parts of a path that recipes give more bits, whichever layer
	group   int               // of recipes; 0: the one asked for
	modes   bool              // config.json has the mode of a module that a recipe decides about
	floats  []string          // parts of a module's path that -q never touches
	lenient bool              // a module that its own group does not divide stays as it is: for others that is an error
}

// consumers are mlx_lm 0.32.2 (convert.py, utils.py) and mlx_vlm 0.7.10 (convert.py,
// quant_utils.py: MODEL_CONVERSION_SKIP and the mixed recipes).
var consumers = map[string]consumer{
	arch.HF: {header: "pt"},
	arch.MLX: {header: "mlx", readme: mlxconfig.Readme, counts: true, modes: true, high: []string{"lm_head"},
		recipes: map[string][2]int{"mixed_2_6": {2, 6}, "mixed_3_4": {3, 4}, "mixed_3_6": {3, 6}, "mixed_4_6": {4, 6}}},
	arch.MLXVLM: {header: "mlx", readme: mlxconfig.ReadmeVLM, high: []string{"lm_head", "embed_tokens"}, group: 64, lenient: true,
		recipes: map[string][2]int{"mixed_2_6": {2, 6}, "mixed_3_4": {3, 4}, "mixed_3_5": {3, 5}, "mixed_3_6": {3, 6}, "mixed_3_8": {3, 8}, "mixed_4_6": {4, 6}, "mixed_4_8": {4, 8}},
		floats: []string{"vision", "aligner", "vision_model", "vision_tower", "vl_connector", "sam_model", "audio_model", "audio_tower", "code_predictor",
			"img_projector", "multi_modal_projector", "patch_merge_mlp"}},
}

// Recipes names the mixed recipes of a target, of mlx where none is given.
func Recipes(target string) []string { return slices.Sorted(maps.Keys(consumers[target].recipes)) }
