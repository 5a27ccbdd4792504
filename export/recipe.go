package export

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"wreg/accel"
	"wreg/registry/arch"
)

// recipes are mlx_lm's mixed recipes: bits for most weights, and for those that
// lose most.
var recipes = map[string][2]int{"mixed_2_6": {2, 6}, "mixed_3_4": {3, 4}, "mixed_3_6": {3, 6}, "mixed_4_6": {4, 6}}

// Recipes names the mixed recipes.
func Recipes() []string {
	var names []string
	for name := range recipes {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// recipe finds where in a path the layer stands, and how many there are.
func (q *quantizer) recipe(targets []arch.Target) error {
	if _, ok := recipes[q.asked.Recipe]; !ok {
		return fmt.Errorf("recipe %q: want one of %s", q.asked.Recipe, strings.Join(Recipes(), ", "))
	}
	if q.spec.Mode != accel.Affine {
		return fmt.Errorf("recipe %s: recipes are affine, not %s", q.asked.Recipe, q.spec.Mode)
	}
	found := false
	for _, t := range targets {
		segments := strings.Split(t.Path, ".")
		if !found && strings.Contains(parent(t.Path), "down_proj") {
			found = true
			if q.place = slices.IndexFunc(segments, isDigits); q.place < 0 {
				q.place = len(segments) - 2
			}
		}
	}
	if !found {
		return fmt.Errorf("recipe %s: the architecture has no down_proj to measure layers by", q.asked.Recipe)
	}
	for _, t := range targets {
		if segments := strings.Split(t.Path, "."); len(segments) > q.place && isDigits(segments[q.place]) {
			n, err := strconv.ParseInt(segments[q.place], 10, 32)
			if err == nil {
				q.layers = max(q.layers, n+1)
			}
		}
	}
	return nil
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// recipeBits is mlx_lm's mixed predicate: the first and last eighth of the layers
// and every third between get more bits for their v_proj and down_proj.
func (q *quantizer) recipeBits(module string) (int, error) {
	segments := strings.Split(module, ".")
	n, layer := q.layers, int64(0)
	if len(segments) > q.place {
		var err error
		if layer, err = strconv.ParseInt(segments[q.place], 10, 32); err != nil {
			return 0, fmt.Errorf("recipe %s: %q has no layer in segment %d", q.asked.Recipe, module, q.place)
		}
	}
	has := func(part string) bool { return strings.Contains(module, part) }
	more := layer < n/8 || layer >= 7*n/8 || ((layer-n/8)%3+3)%3 == 2
	bits := recipes[q.asked.Recipe]
	if more && (has("v_proj") || has("v_a_proj") || has("v_b_proj") || has("down_proj")) || has("lm_head") {
		return bits[1], nil
	}
	return bits[0], nil
}
