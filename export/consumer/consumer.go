// Package consumer says what the converters of those who load an export do alike for every
// architecture: model cards, recipes, and which modules are never quantized.
//
// Most users need [Of], a row of the table.
//
// Invariants: what one family needs is said in its .arch file and not here.
package consumer

import (
	"maps"
	"slices"

	"wreg/export/mlxconfig"
	"wreg/registry/arch"
)

// Consumer is what the converter of a layout's consumer does alike for all architectures.
type Consumer struct {
	Header string // "format" in the header of shards: transformers and mlx look at it
	Readme string // the model card for a local source

	Counts  bool              // the index has total_parameters
	Recipes map[string][2]int // the mixed recipes: bits for most weights, and for those that lose most
	High    []string          // parts of a path that recipes give more bits, whichever layer
	Group   int               // of recipes; 0: the one asked for
	Modes   bool              // config.json has the mode of a module that a recipe decides about
	Floats  []string          // parts of a module's path that -q never touches
	Lenient bool              // a module that its own group does not divide stays as it is: for others that is an error
}

// consumers are mlx_lm 0.32.2 (convert.py, utils.py) and mlx_vlm 0.7.10 (convert.py,
// quant_utils.py: MODEL_CONVERSION_SKIP and the mixed recipes).
var consumers = map[string]Consumer{
	arch.HF: {Header: "pt"},
	arch.MLX: {Header: "mlx", Readme: mlxconfig.Readme, Counts: true, Modes: true, High: []string{"lm_head"},
		Recipes: map[string][2]int{"mixed_2_6": {2, 6}, "mixed_3_4": {3, 4}, "mixed_3_6": {3, 6}, "mixed_4_6": {4, 6}}},
	arch.MLXVLM: {Header: "mlx", Readme: mlxconfig.ReadmeVLM, High: []string{"lm_head", "embed_tokens"}, Group: 64, Lenient: true,
		Recipes: map[string][2]int{"mixed_2_6": {2, 6}, "mixed_3_4": {3, 4}, "mixed_3_5": {3, 5}, "mixed_3_6": {3, 6}, "mixed_3_8": {3, 8}, "mixed_4_6": {4, 6}, "mixed_4_8": {4, 8}},
		Floats: []string{"vision", "aligner", "vision_model", "vision_tower", "vl_connector", "sam_model", "audio_model", "audio_tower", "code_predictor",
			"img_projector", "multi_modal_projector", "patch_merge_mlp"}},
}

// Of is the consumer of a target.
func Of(target string) Consumer { return consumers[target] }

// RecipeNames are the names of its mixed recipes.
func (c Consumer) RecipeNames() []string { return slices.Sorted(maps.Keys(c.Recipes)) }
