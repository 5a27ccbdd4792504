// Package quantized finds the tensors that MLX stores as two or three: packed words,
// scales and, in affine mode, biases.
//
// Most users need [Find].
//
// Invariants: shapes that fit no bits and group make no tensor, the parts stand alone;
// what is stored stays listed as it is.
package quantized

import (
	"slices"
	"strings"

	"wreg/registry/pyjson"
	"wreg/registry/tensor"
)

// Tensor is one logical tensor that MLX stores as two or three: packed words,
// scales and, in affine mode, biases. The stored ones stay in Tensors, each with
// its own hash; this says what they are together.
type Tensor struct {
	Path    string       // model.layers.0.mlp.up_proj.weight
	Parts   []string     // paths of weight, scales and, in affine mode, biases
	Shape   tensor.Shape // of the logical tensor
	DType   tensor.DType // of the scales, which a dequantized tensor would have; bf16 in the fp modes
	Bytes   int64        // of all parts
	Mode    string       // "affine", "mxfp4", "nvfp4", "mxfp8"
	Bits    int64
	Group   int64 // elements that share a scale
	Assumed bool  // no config says bits and group: the commonest that fit the shapes
}

// Find finds the triplets among tensors. config
// is config.json or nil; its quantization gives bits and group, of all or of one
// path. Shapes that fit no bits and group make no triplet: the parts stand alone.
func Find(tensors tensor.List, config []byte) []Tensor {
	var list []Tensor
	settings := quantizationOf(config)
	find := func(path string) *tensor.Info {
		if i, ok := tensors.Find(path); ok {
			return &tensors[i]
		}
		return nil
	}
	for i := range tensors {
		w := &tensors[i]
		prefix, ok := strings.CutSuffix(w.Path, "weight")
		if !ok || prefix != "" && prefix[len(prefix)-1] != '.' || w.DType != tensor.U32 || len(w.Shape) < 2 {
			continue
		}
		scales := find(prefix + "scales")
		if scales == nil || len(scales.Shape) != len(w.Shape) || !slices.Equal(scales.Shape[:len(w.Shape)-1], w.Shape[:len(w.Shape)-1]) {
			continue
		}
		q := Tensor{Path: w.Path, Parts: []string{w.Path, scales.Path}, DType: scales.DType, Bytes: w.Bytes + scales.Bytes, Mode: "affine"}
		biases := find(prefix + "biases")
		if biases != nil {
			q.Parts, q.Bytes = append(q.Parts, biases.Path), q.Bytes+biases.Bytes
		}
		if scales.DType == tensor.U8 && biases == nil {
			q.DType = tensor.BF16
		} else if biases == nil || !biases.Shape.Equal(scales.Shape) || biases.DType != scales.DType || !scales.DType.Float() {
			continue
		}
		if settings.fit(strings.TrimSuffix(prefix, "."), &q, w.Shape[len(w.Shape)-1], scales.Shape[len(w.Shape)-1]) {
			q.Shape = w.Shape.Unpacked(int(q.Bits))
			list = append(list, q)
		}
	}
	return list
}

// quantization is the settings of config.json: those of one path, and under "" of
// all others.
type quantization map[string]quantizationSetting

type quantizationSetting struct {
	Bits, Group int64
	Mode        string
}

func settingOf(o *pyjson.Object) (s quantizationSetting) {
	s.Bits, _ = o.Int("bits")
	s.Group, _ = o.Int("group_size")
	s.Mode, _ = o.Text("mode")
	return s
}

// quantizationOf reads what mlx keeps under quantization. A config that is not as
// mlx writes it says nothing: the shapes decide then.
func quantizationOf(config []byte) quantization {
	c, err := pyjson.Parse(config)
	if err != nil {
		return nil // which opening the checkpoint reported
	}
	all := c.Object("quantization")
	if all == nil {
		return nil
	}
	q := quantization{"": settingOf(all)}
	for _, path := range all.Keys() {
		if one := all.Object(path); one != nil {
			q[path] = settingOf(one)
		}
	}
	return q
}

// usual are bits and group in the order of how common they are.
var usual = map[bool][]quantizationSetting{
	false: {{4, 64, "affine"}, {8, 64, "affine"}, {4, 32, "affine"}, {8, 32, "affine"}, {4, 128, "affine"}, {8, 128, "affine"}, {6, 64, "affine"},
		{3, 64, "affine"}, {5, 64, "affine"}, {2, 64, "affine"}, {2, 32, "affine"}, {2, 128, "affine"}, {3, 32, "affine"}, {3, 128, "affine"},
		{5, 32, "affine"}, {5, 128, "affine"}, {6, 32, "affine"}, {6, 128, "affine"}, {1, 64, "affine"}, {1, 32, "affine"}, {1, 128, "affine"}},
	true: {{4, 32, "mxfp4"}, {4, 16, "nvfp4"}, {8, 32, "mxfp8"}},
}

// fit finds bits and group for words 32-bit words and groups scales a row.
func (s quantization) fit(base string, q *Tensor, words, groups int64) bool {
	fits := func(v quantizationSetting) bool {
		return v.Bits <= 8 && v.Group <= 1024 && tensor.Packs(words, groups, v.Bits, v.Group)
	}
	fp := q.DType == tensor.BF16 && len(q.Parts) == 2
	for _, key := range []string{base, ""} {
		if v, ok := s[key]; ok && fits(v) {
			q.Bits, q.Group = v.Bits, v.Group
			if fp {
				q.Mode = v.Mode
				if q.Mode == "" || q.Mode == "affine" {
					q.Mode = fpMode(v)
				}
			}
			return true
		}
	}
	for _, v := range usual[fp] {
		if fits(v) {
			q.Bits, q.Group, q.Mode, q.Assumed = v.Bits, v.Group, v.Mode, true
			return true
		}
	}
	return false
}

// fpMode names the mode of 8-bit scales as mlx_lm infers it.
func fpMode(v quantizationSetting) string {
	switch {
	case v.Bits == 8:
		return "mxfp8"
	case v.Group == 16:
		return "nvfp4"
	}
	return "mxfp4"
}
