package arch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"sync"

	"wreg/registry/expr"
)

// Limits of a config.json. Real ones are a few KiB; a list a layer is the longest
// thing in them.
const (
	MaxConfig      = 16 << 20 // bytes
	maxConfigDepth = 64
)

// Config is a parsed config.json.
type Config struct {
	root object

	mu   sync.Mutex
	runs map[*file]*run // architectures applied to this config that never asked for a checkpoint
}

func (c *Config) known(f *file) *run {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.runs[f]
}

func (c *Config) keep(f *file, r *run) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.runs == nil {
		c.runs = map[*file]*run{}
	}
	kept := *r
	kept.src, kept.ctx = nil, nil
	c.runs[f] = &kept
}

// object is a JSON object; its values are expr.Value, object, or []any of them
// where a list holds objects.
type object map[string]any

// ParseConfig parses config.json strictly: one object, duplicate keys refused,
// integers kept exact, mlx's tagged floats ({"__float__": "Infinity"}) decoded.
func ParseConfig(data []byte) (*Config, error) {
	if len(data) > MaxConfig {
		return nil, fmt.Errorf("config.json: %d bytes exceed the limit of %d", len(data), MaxConfig)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	v, err := decode(d, 0)
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("config.json: offset %d: %w", d.InputOffset(), err)
	}
	root, ok := v.(object)
	if !ok {
		return nil, errors.New("config.json: want an object")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("config.json: offset %d: something follows the object", d.InputOffset())
	}
	return &Config{root: root}, nil
}

func decode(d *json.Decoder, depth int) (any, error) {
	if depth > maxConfigDepth {
		return nil, fmt.Errorf("nests deeper than %d", maxConfigDepth)
	}
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t := token.(type) {
	case json.Delim:
		if t == '{' {
			return decodeObject(d, depth)
		}
		return decodeList(d, depth)
	case json.Number:
		return decodeNumber(t.String())
	case string:
		return expr.String(t), nil
	case bool:
		return expr.Bool(t), nil
	}
	return expr.Null, nil
}

func decodeNumber(s string) (expr.Value, error) {
	if i, err := strconv.ParseInt(s, 10, 64); err == nil {
		return expr.Int(i), nil
	}
	if !strings.ContainsAny(s, ".eE") {
		return expr.Null, fmt.Errorf("the integer %s exceeds 64 bits", s)
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return expr.Null, fmt.Errorf("the number %s is out of range", s)
	}
	return expr.Float(f), nil
}

func decodeObject(d *json.Decoder, depth int) (any, error) {
	o := object{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, err
		}
		key, ok := token.(string)
		if !ok {
			return nil, fmt.Errorf("a key is %v", token)
		}
		if _, twice := o[key]; twice {
			return nil, fmt.Errorf("key %q stands twice", key)
		}
		if o[key], err = decode(d, depth+1); err != nil {
			return nil, err
		}
	}
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	if tag, ok := o["__float__"].(expr.Value); ok && len(o) == 1 {
		switch text, _ := tag.Text(); text {
		case "Infinity":
			return expr.Float(math.Inf(1)), nil
		case "-Infinity":
			return expr.Float(math.Inf(-1)), nil
		case "NaN":
			return expr.Float(math.NaN()), nil
		}
	}
	return o, nil
}

func decodeList(d *json.Decoder, depth int) (any, error) {
	var items []any
	plain := []expr.Value{}
	for d.More() {
		v, err := decode(d, depth+1)
		if err != nil {
			return nil, err
		}
		items = append(items, v)
		if s, ok := v.(expr.Value); ok {
			plain = append(plain, s)
		}
	}
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	if len(plain) == len(items) {
		return expr.List(plain...), nil
	}
	return items, nil
}

// ModelType is config.json's model_type, "" when absent.
func (c *Config) ModelType() string {
	v, _ := c.root.get("model_type")
	text, _ := v.Text()
	return text
}

// find walks a dotted key: text_config.rope_parameters, block_configs.3.ffn.
func (o object) find(key string) (any, bool) { return dig(o, key) }

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
	found, ok := o.find(key)
	if !ok {
		return expr.Null, false
	}
	if v, ok := found.(expr.Value); ok {
		return v, true
	}
	return expr.Bool(true), true
}
