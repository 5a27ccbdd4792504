package declare

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"wreg/registry/arch/lang"
	"wreg/registry/expr"
	"wreg/registry/pyjson"
)

// MaxConfig is how many bytes a config.json may have.
const MaxConfig = pyjson.MaxBytes

// Config is a parsed config.json.
type Config struct {
	root object

	kept sync.Map // *lang.Arch → *Declared, by Apply: what never asked for a checkpoint
}

// object is a JSON object; its values are expr.Value, object, or []any of them
// where a list holds objects.
type object map[string]any

// ParseConfig reads config.json as Python does, and mlx's tagged floats
// ({"__float__": "Infinity"}) as the floats they are. An integer beyond 64 bits is
// known as a float: nothing counts with it.
func ParseConfig(data []byte) (*Config, error) {
	doc, err := pyjson.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	return NewConfig(doc), nil
}

// NewConfig is ParseConfig of a file that was read.
func NewConfig(doc *pyjson.Object) *Config { return &Config{root: knownObject(doc)} }

// Without is the config with a switch off: key is its name, or OBJECT.NAME for one that
// lies deeper. It is nil where there is no such object.
func (c *Config) Without(key string) *Config {
	root := maps.Clone(c.root)
	if outer, inner, deeper := strings.Cut(key, "."); deeper {
		at, ok := root[outer].(object)
		if !ok {
			return nil
		}
		at = maps.Clone(at)
		at[inner] = expr.Bool(false)
		root[outer] = at
	} else {
		root[key] = expr.Bool(false)
	}
	return &Config{root: root}
}

// known turns a value of the file into what expressions know.
func known(v any) any {
	switch v := v.(type) {
	case *pyjson.Object:
		if tag, ok := v.Text("__float__"); ok && len(v.Keys()) == 1 {
			switch n := pyjson.Number(tag); n {
			case "Infinity", "-Infinity", "NaN":
				return expr.Float(n.Float())
			}
		}
		return knownObject(v)
	case []any:
		items, plain := make([]any, len(v)), make([]expr.Value, 0, len(v))
		for i := range v {
			items[i] = known(v[i])
			if s, ok := items[i].(expr.Value); ok {
				plain = append(plain, s)
			}
		}
		if len(plain) == len(items) {
			return expr.List(plain...)
		}
		return items
	case pyjson.Number:
		if i, ok := v.Int(); ok {
			return expr.Int(i)
		}
		return expr.Float(v.Float())
	case string:
		return expr.String(v)
	case bool:
		return expr.Bool(v)
	}
	return expr.Null
}

func knownObject(v *pyjson.Object) object {
	o := make(object, len(v.Keys()))
	for _, key := range v.Keys() {
		item, _ := v.Get(key)
		o[key] = known(item)
	}
	return o
}

// ModelType is config.json's model_type, "" when absent.
func (c *Config) ModelType() string {
	v, _ := c.root.get("model_type")
	text, _ := v.Text()
	return text
}

// dig walks a dotted key: text_config.rope_parameters, block_configs.3.ffn.
func dig(at any, key string) (any, bool) {
	for part := range strings.SplitSeq(key, ".") {
		switch t := at.(type) {
		case object:
			v, ok := t[part]
			if !ok {
				return nil, false
			}
			at = v
		case []any:
			i, err := strconv.Atoi(part)
			if err != nil || i < 0 || i >= len(t) {
				return nil, false
			}
			at = t[i]
		default:
			return nil, false
		}
	}
	return at, true
}

// get gives the value of a dotted key. An object or a list of objects is no
// value, but it is there: it is true.
func (o object) get(key string) (expr.Value, bool) {
	found, ok := dig(o, key)
	if !ok {
		return expr.Null, false
	}
	if v, ok := found.(expr.Value); ok {
		return v, true
	}
	return expr.Bool(true), true
}

// Find gives the architecture that serves a config's model_type in a layout, its consumer's
// renames included. Unknown: a *lang.UnknownError naming the nearest.
func Find(layout string, c *Config) (*lang.Arch, error) {
	name := c.ModelType()
	for _, r := range renames[layout] {
		if (r.of == "" || r.of == name) && c.hasClass(r.class) {
			return lang.ByNameIn(layout, r.to)
		}
	}
	return lang.ByNameIn(layout, name)
}

// rename is another model_type for configs that name a class in architectures.
type rename struct {
	of    string // the model_type of the config; "": any
	class string
	to    string
}

// renames are those of mlx_lm 0.32.2 (utils.py) and mlx_vlm 0.7.10 (utils.py, get_model_type)
// that ask for more than the model_type: what asks for no more is an alias of the .arch file.
var renames = map[string][]rename{
	lang.MLX: {{"bailing_hybrid", "BailingMoeV3ForCausalLM", "bailing_moe_v3"}},
	lang.MLXVLM: {
		{"", "Lfm2BidirectionalForMaskedLM", "lfm2_encoder"},
		{"", "BoundaryExtractor", "gliner2_5"},
		{"", "DFlash2DraftModel", "dflash2"},
		{"", "Gemma4DSparkModel", "gemma4_dspark"},
	},
}

// hasClass reports that architectures names a class.
func (c *Config) hasClass(class string) bool {
	v, ok := c.root.get("architectures")
	if !ok {
		return false
	}
	items, many := v.Items()
	if !many {
		items = []expr.Value{v}
	}
	return slices.ContainsFunc(items, func(item expr.Value) bool {
		name, _ := item.Text()
		return name == class
	})
}
