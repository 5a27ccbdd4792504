package mlxconfig

import (
	_ "embed"
	"errors"
	"fmt"
	"strings"
	"sync"

	"wreg/registry/pyjson"
)

// keys.txt has a line for each model_type with the keys that mlx_lm requires, dotted where
// they are in an object; a question mark is after those that may be null. Below are the keys
// that every module takes a number for.
//
//go:embed keys.txt
var keysText string

const numbersLine = "# Numbers in every module:"

type keyTable struct {
	required map[string][]string
	numbers  map[string]bool
}

var keys = sync.OnceValue(func() keyTable {
	t := keyTable{map[string][]string{}, map[string]bool{}}
	required, numbers, _ := strings.Cut(keysText, numbersLine)
	for line := range strings.Lines(required) {
		if words := strings.Fields(line); len(words) > 0 && words[0] != "#" {
			t.required[words[0]] = words[1:]
		}
	}
	for _, key := range strings.Fields(numbers) {
		t.numbers[key] = true
	}
	return t
})

// respelled are the keys that transformers 5 writes for others, which mlx_lm requires.
var respelled = map[string]string{"num_experts": "num_local_experts", "rotary_pct": "partial_rotary_factor", "rotary_emb_base": "rope_theta"}

// Respell writes keys that mlx_lm requires, and that transformers 5 does not write, from
// what it writes instead; it comes after Flatten. It says of each what it was taken from.
func Respell(doc *pyjson.Object) (said []string) {
	for _, r := range requiredOf(doc) {
		if r.there {
			continue
		}
		from := respelled[r.name]
		v, ok := r.at.Get(from)
		parameters := r.at.Object("rope_parameters")
		switch {
		case ok:
		case r.name == "rope_scaling" && r.nullable && parameters != nil: // any other, Flatten has written
			from, ok = "rope_parameters", true
		case r.name == "rope_theta":
			from = "rope_parameters"
			v, ok = oneTheta(parameters)
		}
		if ok {
			r.at.Set(r.name, v)
			said = append(said, fmt.Sprintf("%s (of %s)", r.name, from))
		}
	}
	return said
}

// oneTheta is the base of rotary frequencies that all kinds of layers have, unscaled.
func oneTheta(parameters *pyjson.Object) (theta any, ok bool) {
	if parameters == nil {
		return nil, false
	}
	for _, kind := range parameters.Keys() {
		of := parameters.Object(kind)
		v, there := of.Get("rope_theta")
		if scaling, _ := of.Text("rope_type"); !there || scaling != "default" || theta != nil && theta != v {
			return nil, false
		}
		theta = v
	}
	return theta, theta != nil
}

// requirement is a key that mlx_lm requires: the object that has it, or should, nil where
// that is missing itself.
type requirement struct {
	key, name string
	at        *pyjson.Object
	value     any
	there     bool
	nullable  bool
}

func requiredOf(doc *pyjson.Object) (list []requirement) {
	modelType, _ := doc.Text("model_type")
	for _, key := range keys().required[modelType] {
		key, nullable := strings.CutSuffix(key, "?")
		at, name := doc, key
		for first, rest, nested := strings.Cut(name, "."); nested && at != nil; first, rest, nested = strings.Cut(name, ".") {
			at, name = at.Object(first), rest
		}
		if at != nil { // else the module does without the object, or that is required, too
			v, there := at.Get(name)
			list = append(list, requirement{key, name, at, v, there, nullable})
		}
	}
	return list
}

// Refuses says which keys keep mlx_lm from making a model of a config.json, after what its
// loader and an export change in it: those that it requires and that are missing, or null
// where it computes with them, and texts where it takes a number. It is nil where nothing is
// known to.
func Refuses(config []byte) error {
	doc, err := pyjson.Parse(config)
	if err != nil {
		return err
	}
	Edit(doc)
	Flatten(doc)
	Respell(doc)
	var faults []string
	for _, r := range requiredOf(doc) {
		if !r.there {
			faults = append(faults, r.key+" is missing")
		} else if r.value == nil && !r.nullable {
			faults = append(faults, r.key+" is null")
		}
	}
	for _, at := range []string{"", "text_config."} {
		o := doc
		if at != "" {
			o = doc.Object("text_config")
		}
		if o == nil {
			continue
		}
		for _, key := range o.Keys() {
			if text, ok := o.Text(key); ok && keys().numbers[key] {
				faults = append(faults, fmt.Sprintf("%s%s is %.40q, where a number belongs", at, key, text))
			}
		}
	}
	switch n := len(faults); {
	case n == 0:
		return nil
	case n > shownFaults:
		faults = append(faults[:shownFaults], fmt.Sprintf("and %d more", n-shownFaults))
	}
	modelType, _ := doc.Text("model_type")
	return errors.New("config.json: " + strings.Join(faults, ", ") + "; mlx_lm loads no " + modelType + " by it: take the config.json that the model came with")
}

const shownFaults = 4
