package mlxconfig

import (
	"math"

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
