package mlxconfig

import (
	_ "embed"
	"math"
	"slices"
	"strings"

	"wreg/registry/pyjson"
)

// Rotary is what config.json says of rotary frequencies: the base, and the factor that
// "linear" scaling divides them by. It is unknown where config.json does not say the
// base (each family has its own) or scales each frequency differently.
func Rotary(doc *pyjson.Object) (theta, factor float64, known bool) {
	for _, at := range []*pyjson.Object{doc, doc.Object("text_config")} {
		if at == nil {
			continue
		}
		scaling := at.Object("rope_scaling")
		if scaling == nil {
			scaling = at.Object("rope_parameters")
		}
		base, found := number(at, "rope_theta", "rotary_emb_base")
		if !found && scaling != nil {
			base, found = number(scaling, "rope_theta")
		}
		if !found {
			continue
		}
		factor = 1
		if scaling != nil {
			kind, _ := scaling.Text("rope_type")
			if kind == "" {
				kind, _ = scaling.Text("type")
			}
			switch kind {
			case "", "default", "dynamic", "mrope": // the base as it is, until contexts get long
			case "linear":
				if f, ok := number(scaling, "factor"); ok && f > 0 {
					factor = f
				}
			default:
				return 0, 0, false
			}
		}
		return base, factor, base > 1 && !math.IsInf(base, 0)
	}
	return 0, 0, false
}

// number is the value of the first key that has a number.
func number(o *pyjson.Object, keys ...string) (float64, bool) {
	for _, key := range keys {
		if v, ok := o.Get(key); ok {
			if n, ok := v.(pyjson.Number); ok {
				return n.Float(), true
			}
		}
	}
	return 0, false
}

// Of the model types listed there, the module looks into rope_parameters, where transformers 5
// keeps what older versions had at the top.
//
//go:embed nested.txt
var nestedText string

var nested = strings.Split(strings.TrimSpace(nestedText), "\n")[1:] // below the line that says what they are

// Flatten writes rope_theta, partial_rotary_factor and rope_scaling where other modules
// look for them, unless something is there, and gives the keys it wrote. Without, they
// would compute with a default, and nothing would say so.
func Flatten(doc *pyjson.Object) (keys []string) {
	modelType, _ := doc.Text("model_type")
	if slices.Contains(nested, modelType) {
		return nil
	}
	for _, at := range []*pyjson.Object{doc, doc.Object("text_config")} {
		parameters := at.Object("rope_parameters")
		if parameters == nil {
			continue
		}
		for _, key := range []string{"rope_theta", "partial_rotary_factor"} {
			if v, ok := parameters.Get(key); ok && !at.Has(key) {
				at.Set(key, v)
				keys = append(keys, key)
			}
		}
		if kind, ok := parameters.Text("rope_type"); ok && kind != "default" && !at.Has("rope_scaling") {
			scaling := parameters.Clone()
			scaling.Remove("rope_theta")
			scaling.Remove("partial_rotary_factor")
			at.Set("rope_scaling", scaling)
			keys = append(keys, "rope_scaling")
		}
	}
	return keys
}
