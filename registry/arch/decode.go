package arch

import (
	"strings"

	"wreg/registry/arch/declare"
	"wreg/registry/arch/op"
	"wreg/registry/tensor"
)

// decode loads a tensor that is not simply stored as floats: packed by mlx, in a form
// that a read statement names, or absent.
func (r *match) decode(path string, i tensor.Info, ok bool) (Operand, *Shortfall) {
	if ok && i.DType == tensor.U32 && strings.HasSuffix(path, ".weight") && !r.Words[path] {
		if scales, has := r.stored(sibling(path, "scales")); has {
			return r.packed(path, i, scales)
		}
		if r.packedByConfig() {
			return Operand{}, &Shortfall{absent: []string{sibling(i.Path, "scales")}, total: 2}
		}
	}
	var f Operand
	var t *Shortfall
	mine := false
	r.Reads.Matching(&r.Budget, path, func(_ int, c *declare.Read) bool {
		f, t, mine = r.readAs(c, path, i, ok)
		return mine
	})
	switch {
	case mine:
		return f, t
	case !ok:
		return Operand{}, &Shortfall{absent: []string{path}, total: 1}
	case i.DType >= tensor.Q4_0: // ggml's; decoded has none that become floats
		return Operand{}, wrongAt(path, &i, nil, "stored as %v: of ggml's block types, only q8_0 and q4_0 become floats; take the checkpoint the GGUF was made from", i.DType)
	case i.DType == tensor.F8E4M3:
		return Operand{}, wrongAt(path, &i, i.Shape, "stored as %v, and %s has no rule for its scale, without which the values would be wrong", i.DType, r.Arch.Name)
	}
	return plain(i), nil
}

// packedByConfig reports that config.json says mlx quantized the checkpoint.
func (r *match) packedByConfig() bool {
	_, _, ok := r.Packing("")
	return ok
}

// packed reads a tensor quantized by mlx: weight, scales and perhaps biases.
func (r *match) packed(path string, weight, scales tensor.Info) (Operand, *Shortfall) {
	bits, group := r.packing(path, weight, scales)
	if bits == 0 {
		return Operand{}, wrongAt(path, &weight, nil, "packed %v with scales %v: neither config.json nor the shapes give bits and group size", weight.Shape, scales.Shape)
	}
	f := Operand{bits: bits, group: group, Array: op.Array{Shape: weight.Shape.Unpacked(bits)}}
	f.parts = append(f.parts, storedPart("weight", weight), storedPart("scales", scales))
	if biases, ok := r.stored(sibling(path, "biases")); ok {
		f.parts = append(f.parts, storedPart("biases", biases))
	} else if scales.DType != tensor.U8 {
		return Operand{}, &Shortfall{absent: []string{sibling(weight.Path, "biases")}, total: 3}
	}
	return f, nil
}

// packing infers bits and group size as mlx does, from the shapes and the declared
// size of the last axis; where that is unknown, from config.json.
func (r *match) packing(path string, weight, scales tensor.Info) (bits, group int) {
	if len(weight.Shape) == 0 || len(weight.Shape) != len(scales.Shape) {
		return 0, 0
	}
	words := weight.Shape[len(weight.Shape)-1]
	groups := scales.Shape[len(scales.Shape)-1]
	if n := r.lastAxis(path); n > 0 && groups > 0 && words*32%n == 0 && n%groups == 0 {
		return int(words * 32 / n), int(n / groups)
	}
	if b, g, _ := r.Packing(strings.TrimSuffix(path, ".weight")); tensor.Packs(words, groups, b, g) {
		return int(b), int(g)
	}
	return 0, 0
}
