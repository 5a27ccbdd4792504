package arch

import (
	"cmp"
	"slices"
	"strings"

	"wreg/registry/arch/declare"
	"wreg/registry/arch/op"
	"wreg/registry/tensor"
)

// form is a way to store a tensor packed.
type form struct {
	codes, scale string // roles among the statement's parts; no codes: they have the tensor's own name
	alone        bool   // codes without scales, or scales without codes, lack the other

	// Of what mlx packs the same way:
	bits   int
	group  int  // elements that share a scale; 0: as many as the statement says
	signed bool // codes count from -8

	read func(r *match, c *declare.Read, path string, codes, scale tensor.Info) (Operand, *Shortfall) // else

	// Of codes with a name of their own: what a row of so many elements is.
	row                 func(in int64) []int64
	codeType, scaleType tensor.DType
}

var forms = map[string]form{
	"fp8":   {scale: "scale", alone: true, read: (*match).fp8},
	"mxfp8": {scale: "scale", alone: true, bits: 8, group: 32},
	"nvfp4": {scale: "scale", bits: 4, group: 16},
	"tiles": {scale: "scale", read: (*match).tiles},
	"int4":  {codes: "packed", scale: "scale", bits: 4, signed: true, row: func(in int64) []int64 { return []int64{in / 8} }, codeType: tensor.I32},
	"fp4":   {codes: "packed", scale: "scale", bits: 4, row: func(in int64) []int64 { return []int64{in / 2} }, codeType: tensor.U8, scaleType: tensor.U8},
	"mxfp4": {codes: "blocks", scale: "scales", group: 32, read: (*match).blocks, row: func(in int64) []int64 { return []int64{in / 32, 16} }, codeType: tensor.U8, scaleType: tensor.U8},
	"awq":   {codes: "qweight", scale: "scales", read: (*match).awq},
}

// affineGroups are how many elements may share a scale in mlx's affine mode.
var affineGroups = []int64{32, 64, 128}

// grouped is how many elements share a scale, in a row of in elements with so many
// groups. Codes that mlx_lm makes affine have any group that mlx knows: it tells it from
// the scales.
func (f form) grouped(c *declare.Read, in, groups int64) int {
	if k := slices.IndexFunc(affineGroups, func(g int64) bool { return g*groups == in }); f.signed && k >= 0 {
		return int(affineGroups[k])
	}
	return cmp.Or(f.group, max(c.Group, 32))
}

// last is the size of the last axis, 0 without one.
func last(s tensor.Shape) int64 {
	if len(s) == 0 {
		return 0
	}
	return s[len(s)-1]
}

// readAs reads a path as one stored form; mine is false when the checkpoint does not
// store it so.
func (r *match) readAs(c *declare.Read, path string, i tensor.Info, ok bool) (f Operand, t *Shortfall, mine bool) {
	form := forms[c.Kind]
	codes, coded := i, ok
	scale, scaled := r.role(c, path, form.scale)
	if form.codes != "" {
		codes, coded = r.role(c, path, form.codes)
		mine = !ok && (coded || scaled && (c.Kind != "awq" || strings.HasSuffix(path, ".weight")))
	} else if ok {
		mine = i.DType == tensor.F8E4M3 && (scaled || form.alone) || scaled && (i.DType == tensor.U8 || !form.alone && !i.DType.Float())
	} else {
		mine = scaled && form.alone
	}
	switch {
	case !mine:
	case !coded && form.codes == "":
		t = &Shortfall{absent: []string{path}, total: 2}
	case !coded:
		t = r.absentRole(c, path, form.codes)
	case !scaled:
		t = r.absentRole(c, path, form.scale)
	case form.read != nil:
		f, t = form.read(r, c, path, codes, scale)
	default:
		f, t = repacked(path, codes, scale, form.bits, form.grouped(c, last(codes.Shape)*8, last(scale.Shape)))
		if t == nil && form.signed {
			f.parts = append(f.parts, minusEight(f.parts[1]))
		}
	}
	return f, t, mine
}

// role finds the stored tensor that has a role beside path.
func (r *match) role(c *declare.Read, path, name string) (tensor.Info, bool) {
	if c.Parts[name] == "" {
		return tensor.Info{}, false
	}
	return r.stored(sibling(path, c.Parts[name]))
}

func (r *match) absentRole(c *declare.Read, path, name string) *Shortfall {
	return &Shortfall{absent: []string{r.hfName(sibling(path, c.Parts[name]))}, total: 2}
}

// fp8 reads e4m3 codes times their block scales, to bf16 as mlx_lm does.
func (*match) fp8(c *declare.Read, path string, codes, scale tensor.Info) (Operand, *Shortfall) {
	s := op.Step{Op: op.FP8, Block: [2]int64{c.Rows, c.Cols}}
	if !op.Covers(scale.Shape, codes.Shape, s.Block) {
		if !op.Broadcasts(scale.Shape, codes.Shape) {
			return Operand{}, wrongAt(path, &scale, nil, "its scale has shape %v, which does not fit %v in blocks of %dx%d", scale.Shape, codes.Shape, c.Rows, c.Cols)
		}
		s.Block = [2]int64{}
	}
	p, err := made("", s, storedPart("", codes), storedPart("", scale))
	if err != nil {
		return Operand{}, wrongAt(path, &scale, nil, "%v", err)
	}
	return Operand{Array: p.Array, parts: []part{p}}, nil
}

// repacked reads packed words that have mlx's packing already: the same bits as
// u32.
func repacked(path string, packed, scale tensor.Info, bits, group int) (Operand, *Shortfall) {
	if bits <= 0 || group <= 0 {
		return Operand{}, wrongAt(path, &scale, nil, "codes of %v with scales of %v are not a packing of the declared size", packed.Shape, scale.Shape)
	}
	w, err := made("weight", op.Step{Op: op.View, To: tensor.U32}, storedPart("", packed))
	if err != nil {
		return Operand{}, wrongAt(path, &packed, nil, "%v", err)
	}
	f := Operand{bits: bits, group: group, Array: op.Array{Shape: w.Shape.Unpacked(bits)}}
	last := len(f.Shape) - 1
	if len(scale.Shape) != len(f.Shape) || scale.Shape[last]*int64(group) != f.Shape[last] {
		return Operand{}, wrongAt(path, &scale, nil, "its scales have shape %v, not one for each group of %d of %v", scale.Shape, group, f.Shape)
	}
	f.parts = []part{w, bytesPart(scale)}
	return f, nil
}

// bytesPart is scales; mlx keeps those of one byte as u8.
func bytesPart(scale tensor.Info) part {
	p := storedPart("scales", scale)
	if scale.DType == tensor.F8E8M0 || scale.DType == tensor.F8E4M3 {
		if b, err := made("scales", op.Step{Op: op.View, To: tensor.U8}, p); err == nil {
			return b
		}
	}
	return p
}

// tiles reads codes with one scale byte per 32 rows, which mlx wants for every row.
// The declared size of the last axis tells 8-bit codes from 4-bit ones.
func (r *match) tiles(_ *declare.Read, path string, codes, scale tensor.Info) (Operand, *Shortfall) {
	n, last := len(codes.Shape), r.lastAxis(path)
	switch {
	case scale.DType != tensor.U8 && scale.DType != tensor.F8E8M0:
		return Operand{}, wrongAt(path, &scale, nil, "its scales are %v, not e8m0 bytes: they cannot be re-encoded here; convert with mlx_lm", scale.DType)
	case n < 2 || len(scale.Shape) != n || last <= 0 || scale.Shape[n-1] <= 0:
		return Operand{}, wrongAt(path, &scale, nil, "its scales have shape %v, not one for tiles of %v", scale.Shape, codes.Shape)
	}
	_, size := codes.DType.Block()
	bits := int(codes.Shape[n-1] * size * 8 / last)
	group := int(last / scale.Shape[n-1])
	if bits != 8 && bits != 4 || scale.Shape[n-2] == codes.Shape[n-2] {
		return repacked(path, codes, scale, bits, group)
	}
	thin := scale
	thin.Shape = slices.Clone(codes.Shape)
	thin.Shape[n-1] = scale.Shape[n-1]
	f, t := repacked(path, codes, thin, bits, group)
	if t != nil {
		return f, t
	}
	rows := op.Step{Op: op.Slice}
	for k := range n {
		c := op.Cut{Start: 0, Stop: op.End, Stride: 1}
		if k == n-2 {
			c.Stop = codes.Shape[k]
		}
		rows.AddCut(c)
	}
	wide, err := made("scales", op.Step{Op: op.Repeat, Count: 32, Axis: n - 2}, bytesPart(scale))
	if err == nil {
		wide, err = made("scales", rows, wide)
	}
	if err != nil {
		return Operand{}, wrongAt(path, &scale, nil, "its scales have shape %v, not one for tiles of %v: %v", scale.Shape, codes.Shape, err)
	}
	f.parts[1] = wide
	return f, nil
}

// minusEight is the biases of codes that count from -8: -8 × scales, exact.
func minusEight(scales part) part {
	b, err := made("biases", op.Step{Op: op.Mul, Scalar: -8}, scales)
	if err != nil { // scales are floats by now
		b = scales
		b.suffix = "biases"
	}
	return b
}

// blocks reads gpt-oss's [… , groups, 16] bytes: viewed as u32 and flattened they
// are mlx's packing.
func (*match) blocks(_ *declare.Read, path string, packed, scale tensor.Info) (Operand, *Shortfall) {
	n := len(packed.Shape)
	if n < 2 || packed.DType != tensor.U8 || packed.Shape[n-1] != 16 {
		return Operand{}, wrongAt(path, &packed, nil, "blocks are %v %v, not u8 […, groups, 16]", packed.DType, packed.Shape)
	}
	w, err := made("weight", op.Step{Op: op.View, To: tensor.U32}, storedPart("", packed))
	if err == nil {
		w, err = made("weight", op.Step{Op: op.Flatten, Axis: n - 2, Count: 2}, w)
	}
	if err != nil {
		return Operand{}, wrongAt(path, &packed, nil, "%v", err)
	}
	f := Operand{bits: 4, group: 32, Array: op.Array{Shape: w.Shape.Unpacked(4)}, parts: []part{w, storedPart("scales", scale)}}
	if len(scale.Shape) != n-1 || scale.Shape[n-2]*32 != f.Shape[n-2] {
		return Operand{}, wrongAt(path, &scale, nil, "its scales have shape %v, not one for each group of 32 of %v", scale.Shape, f.Shape)
	}
	return f, nil
}

// awq reads AWQ's column-packed nibbles.
func (r *match) awq(c *declare.Read, path string, qweight, scales tensor.Info) (Operand, *Shortfall) {
	if len(qweight.Shape) != 2 || len(scales.Shape) != 2 || qweight.Shape[1]*8 != scales.Shape[1] || scales.Shape[0] == 0 || qweight.Shape[0]%scales.Shape[0] != 0 {
		if len(qweight.Shape) == 2 && len(scales.Shape) == 2 && qweight.Shape[1] == scales.Shape[1] {
			return Operand{}, wrongAt(path, &qweight, nil, "its codes are packed along the inputs, %v with scales %v, as GPTQ packs them and mlx_lm does not read them", qweight.Shape, scales.Shape)
		}
		return Operand{}, wrongAt(path, &qweight, nil, "qweight %v and scales %v do not fit: want [in, out/8] and [in/group, out]", qweight.Shape, scales.Shape)
	}
	zeros, hasZeros := r.role(c, path, "zeros")
	if !hasZeros && r.asymmetric(c) {
		return Operand{}, r.absentRole(c, path, "zeros")
	}
	in, out, groups := qweight.Shape[0], scales.Shape[1], scales.Shape[0]
	if !slices.Contains(affineGroups, in/groups) {
		return Operand{}, wrongAt(path, &scales, nil, "%d numbers share a scale, and mlx knows groups of %v only", in/groups, affineGroups)
	}
	if hasZeros && !zeros.Shape.Equal(tensor.Shape{groups, out / 8}) {
		return Operand{}, wrongAt(path, &zeros, nil, "its zeros have shape %v, not %v", zeros.Shape, tensor.Shape{groups, out / 8})
	}
	codes, err := made("weight", op.Step{Op: op.AWQ}, storedPart("", qweight))
	if err != nil {
		return Operand{}, wrongAt(path, &qweight, nil, "%v", err)
	}
	turned := part{suffix: "scales", Array: op.Array{DType: scales.DType, Shape: tensor.Shape{out, groups}}}
	turned.make = func() *op.Node {
		return &op.Node{Step: op.Step{Op: op.Permute, Perm: []int{1, 0}}, DType: turned.DType, Shape: turned.Shape, In: []*op.Node{op.Stored(scales)}}
	}
	from := []part{turned}
	if hasZeros {
		from = append(from, storedPart("", zeros))
	}
	biases, err := made("biases", op.Step{Op: op.AWQBias}, from...)
	if err != nil {
		return Operand{}, wrongAt(path, &scales, nil, "%v", err)
	}
	return Operand{bits: 4, group: int(in / groups), Array: op.Array{Shape: tensor.Shape{out, in}}, parts: []part{codes, turned, biases}}, nil
}

// decode loads a tensor that is not simply stored as floats: packed by mlx, in a form
// that a read statement names, or absent.
func (r *match) decode(path string, i tensor.Info, ok bool) (Operand, *Shortfall) {
	if ok && i.DType == tensor.U32 && strings.HasSuffix(path, ".weight") && !r.Words[path] {
		if scales, has := r.stored(sibling(path, "scales")); has {
			f, t := r.packed(path, i, scales)
			if t != nil {
				t = r.elsewhere(path, nil, t)
			}
			return f, t
		}
		if r.packedByConfig() {
			return Operand{}, &Shortfall{absent: []string{sibling(i.Path, "scales")}, total: 2}
		}
	}
	var f Operand
	var t *Shortfall
	var by *declare.Read
	r.Reads.Matching(&r.Budget, path, func(_ int, c *declare.Read) bool {
		var mine bool
		if f, t, mine = r.readAs(c, path, i, ok); mine {
			by = c
		}
		return mine
	})
	switch {
	case by != nil && t == nil:
		return f, r.unread(path, by)
	case by != nil:
	case !ok:
		t = &Shortfall{absent: []string{path}, total: 1}
	case i.DType >= tensor.Q4_0: // ggml's; decoded has none that become floats
		t = wrongAt(path, &i, nil, "stored as %v: of ggml's block types, only q8_0 and q4_0 become floats; take the checkpoint the GGUF was made from", i.DType)
	case i.DType == tensor.F8E4M3:
		t = wrongAt(path, &i, i.Shape, "stored as %v, and %s has no rule for its scale, without which the values would be wrong", i.DType, r.Arch.Name)
	case i.DType.Floating() || r.Words[path] || !i.DType.Float() && (r.making.Output == nil || r.making.DType == i.DType):
		return plain(i), nil
	case i.DType.Float():
		t = wrongAt(path, &i, i.Shape, "stored as %v, a type that mlx does not have, and no scale lies beside it", i.DType)
		t.wrong[0].Remedy = "export a checkpoint of bf16 that it was made from, or make one with torch"
	default:
		f = plain(i)
	}
	return f, r.elsewhere(path, by, t)
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
