package synth

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"wreg/registry/tensor"
)

// Case is one golden: a config, the tensors of the checkpoint it describes, and
// what mlx_lm.convert made of them. The source bytes follow from the names.
type Case struct {
	ModelType string
	Config    []byte // config.json as it was on disk
	Seed      uint64
	Source    []tensor.Info              // path, dtype and shape only
	Files     map[string]json.RawMessage // further JSON files of the source folder
	Variants  []Variant
}

// Variant is the output of one mlx_lm.convert run.
type Variant struct {
	Flags        map[string]any // its arguments: dtype, quantize, q_bits, …
	Tensors      []tensor.Info  // path, dtype, shape and hash
	Quantization json.RawMessage
	Config       json.RawMessage // config.json, where the golden has it
}

// Plain reports a run without any flag.
func (v Variant) Plain() bool { return len(v.Flags) == 0 }

// Golden reads a golden file.
func Golden(path string) (*Case, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	type entry struct {
		Name, DType string
		Shape       tensor.Shape
		SHA256      string
	}
	var raw struct {
		ModelType string `json:"model_type"`
		Config    json.RawMessage
		Seed      uint64
		Source    []entry
		Files     map[string]json.RawMessage
		Variants  []struct {
			Flags        map[string]any
			Tensors      map[string]entry
			Quantization json.RawMessage
			ConfigJSON   json.RawMessage `json:"config_json"`
		}
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	info := func(name string, e entry) (tensor.Info, error) {
		dt, ok := tensor.ParseDType(e.DType)
		if !ok {
			return tensor.Info{}, fmt.Errorf("%s: tensor %q: unknown dtype %q", path, name, e.DType)
		}
		i := tensor.Info{Path: name, DType: dt, Shape: e.Shape}
		if i.Bytes, err = i.Shape.Bytes(dt); err != nil {
			return i, fmt.Errorf("%s: tensor %q: %w", path, name, err)
		}
		if e.SHA256 != "" {
			if i.Hash, err = tensor.ParseHash(e.SHA256); err != nil {
				return i, fmt.Errorf("%s: tensor %q: %w", path, name, err)
			}
		}
		return i, nil
	}
	c := &Case{ModelType: raw.ModelType, Config: raw.Config, Seed: raw.Seed, Files: raw.Files}
	for _, e := range raw.Source {
		i, err := info(e.Name, e)
		if err != nil {
			return nil, err
		}
		c.Source = append(c.Source, i)
	}
	for _, rv := range raw.Variants {
		v := Variant{Flags: rv.Flags, Quantization: rv.Quantization, Config: rv.ConfigJSON}
		for name, e := range rv.Tensors {
			i, err := info(name, e)
			if err != nil {
				return nil, err
			}
			v.Tensors = append(v.Tensors, i)
		}
		tensor.List(v.Tensors).Sort()
		c.Variants = append(c.Variants, v)
	}
	return c, nil
}

// Write writes the case's checkpoint; o.Config and o.Seed are the case's own.
func (c *Case) Write(dir string, o Options) error {
	o.Config, o.Seed = c.Config, c.Seed
	if err := Write(dir, c.Source, o); err != nil {
		return err
	}
	for name, data := range c.Files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o666); err != nil {
			return err
		}
	}
	return nil
}

// Without is the case's source tensors but those whose path contains one of
// parts: the checkpoint with something left out.
func (c *Case) Without(parts ...string) []tensor.Info {
	var kept []tensor.Info
next:
	for _, t := range c.Source {
		for _, p := range parts {
			if strings.Contains(t.Path, p) {
				continue next
			}
		}
		kept = append(kept, t)
	}
	return kept
}
