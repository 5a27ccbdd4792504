// Package claim says what a config.json claims of how weights are stored.
//
// Most users need [Quantized], to learn whether weights are said to be stored in codes;
// tensor.Info.Coded says whether a tensor bears that out. [Remove] is for what writes a
// config.json of weights that are not in codes any more.
//
// Invariants: mlx's block and transformers' count alike, at the top and one object
// further in; what Quantized finds, Remove takes out.
package claim

import (
	"slices"

	"wreg/registry/pyjson"
)

// quantizationKeys are where a config.json says that weights are stored in codes:
// mlx's own block and transformers'.
var quantizationKeys = []string{"quantization", "quantization_config"}

// Quantized finds the key of config.json that says that weights are stored in
// codes, at the top or one object further in, and the method it names; "" when
// there is none.
func Quantized(config *pyjson.Object) (key, method string) {
	eachClaim(config, func(o *pyjson.Object, at, k string) {
		if claim := o.Object(k); key == "" && claim != nil {
			key = at + k
			if method, _ = claim.Text("quant_method"); method == "" {
				method, _ = claim.Text("mode")
			}
		}
	})
	return key, method
}

// Remove takes out of config.json what Quantized finds.
func Remove(config *pyjson.Object) {
	eachClaim(config, func(o *pyjson.Object, _, k string) { o.Remove(k) })
}

// Nulls takes out the keys that say nothing, and names them. Readers pass over them.
func Nulls(config *pyjson.Object) (keys []string) {
	eachClaim(config, func(o *pyjson.Object, at, k string) {
		if v, _ := o.Get(k); v == nil {
			o.Remove(k)
			keys = append(keys, at+k)
		}
	})
	return keys
}

func eachClaim(config *pyjson.Object, visit func(o *pyjson.Object, at, key string)) {
	for _, key := range quantizationKeys {
		if config.Has(key) {
			visit(config, "", key)
		}
		for _, name := range config.Keys() {
			if o := config.Object(name); o.Has(key) && !slices.Contains(quantizationKeys, name) {
				visit(o, name+".", key)
			}
		}
	}
}
