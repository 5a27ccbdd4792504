package arch

import (
	"slices"
	"strings"

	"wreg/registry/tensor"
)

// readAs tries one stored form on one path; mine is false when the checkpoint
// does not store the path so.
func (r *run) readAs(c *codec, path string, i tensor.Info, ok, build bool) (f form, t *trouble, mine bool) {
	role := func(name string) (tensor.Info, bool) {
		if c.parts[name] == "" {
			return tensor.Info{}, false
		}
		return r.stored(sibling(path, c.parts[name]))
	}
	absent := func(name string) *trouble {
		return &trouble{absent: []string{r.hfName(sibling(path, c.parts[name]))}, total: 2}
	}
	switch c.kind {
	case "fp8", "mxfp8":
		scale, has := role("scale")
		coded := ok && (i.DType == tensor.F8E4M3 || i.DType == tensor.U8 && has)
		switch {
		case !coded && !(has && !ok):
			return form{}, nil, false
		case !ok:
			return form{}, &trouble{absent: []string{path}, total: 2}, true
		case !has:
			return form{}, absent("scale"), true
		case c.kind == "mxfp8":
			f, t = repacked(path, i, scale, 8, 32, build)
		default:
			f, t = c.fp8(path, i, scale, build)
		}
		return f, t, true
	case "nvfp4", "tiles":
		scale, has := role("scale")
		if !ok || !has || i.DType.Float() && i.DType != tensor.F8E4M3 {
			return form{}, nil, false
		}
		if c.kind == "nvfp4" {
			f, t = repacked(path, i, scale, 4, 16, build)
		} else {
			f, t = r.tiles(path, i, scale, build)
		}
		return f, t, true
	case "int4", "fp4", "mxfp4":
		packedRole, scaleRole := "packed", "scale"
		if c.kind == "mxfp4" {
			packedRole, scaleRole = "blocks", "scales"
		}
		packed, hasPacked := role(packedRole)
		scale, hasScale := role(scaleRole)
		switch {
		case ok || !hasPacked && !hasScale:
			return form{}, nil, false
		case !hasPacked:
			return form{}, absent(packedRole), true
		case !hasScale:
			return form{}, absent(scaleRole), true
		}
		if c.kind == "mxfp4" {
			f, t = blocks(path, packed, scale, build)
		} else {
			f, t = repacked(path, packed, scale, 4, max(c.group, 32), build)
			if t == nil && c.kind == "int4" {
				f.parts = append(f.parts, minusEight(f.parts[1], build))
			}
		}
		return f, t, true
	case "awq":
		return r.awq(c, path, ok, role, absent, build)
	}
	return form{}, nil, false
}

// fp8 decodes e4m3 codes times their block scales, to bf16 as mlx_lm does.
func (c *codec) fp8(path string, codes, scale tensor.Info, build bool) (form, *trouble) {
	if !c.scaleFits(codes.Shape, scale.Shape) {
		return form{}, wrongAt(path, &scale, nil, "its scale has shape %v, which does not fit %v in blocks of %dx%d", scale.Shape, codes.Shape, c.rows, c.cols)
	}
	f := form{shape: codes.Shape, dtype: tensor.BF16, parts: []part{{dtype: tensor.BF16, shape: codes.Shape}}}
	if build {
		f.parts[0].node = &Node{Op: OpFP8, DType: tensor.BF16, Shape: codes.Shape, Block: c.block(codes.Shape, scale.Shape),
			In: []*Node{loadNode(codes), loadNode(scale)}}
	}
	return f, nil
}

// block is what OpFP8 is told: 0,0 where the scale broadcasts.
func (c *codec) block(codes, scale tensor.Shape) [2]int64 {
	if broadcasts(scale, codes) && !(c.rows > 0 && c.blocksFit(codes, scale)) {
		return [2]int64{}
	}
	return [2]int64{c.rows, c.cols}
}

func (c *codec) scaleFits(codes, scale tensor.Shape) bool {
	return c.rows > 0 && c.blocksFit(codes, scale) || broadcasts(scale, codes)
}

func (c *codec) blocksFit(codes, scale tensor.Shape) bool {
	n := len(codes)
	if n < 2 || len(scale) != n || !scale[:n-2].Equal(codes[:n-2]) {
		return false
	}
	up := func(a, b int64) int64 { return (a + b - 1) / b }
	return scale[n-2] == up(codes[n-2], c.rows) && scale[n-1] == up(codes[n-1], c.cols)
}

// broadcasts reports that a scale stretches over a shape as numpy stretches it.
func broadcasts(scale, over tensor.Shape) bool {
	if len(scale) > len(over) {
		return false
	}
	for i := 1; i <= len(scale); i++ {
		if d := scale[len(scale)-i]; d != 1 && d != over[len(over)-i] {
			return false
		}
	}
	return true
}

// repacked takes packed words that have mlx's packing already: the same bits as
// u32.
func repacked(path string, packed, scale tensor.Info, bits, group int, build bool) (form, *trouble) {
	if bits <= 0 || group <= 0 {
		return form{}, wrongAt(path, &scale, nil, "%v codes with %v scales are no packing of the declared size", packed.Shape, scale.Shape)
	}
	p := storedPart("weight", packed, build)
	view := &making{op: OpView, dtype: tensor.U32, in: make([]*making, 1)}
	w, err := view.step([]part{p}, build)
	if err != nil {
		return form{}, wrongAt(path, &packed, nil, "%v", err)
	}
	w.suffix = "weight"
	s := storedPart("scales", scale, build)
	if scale.DType == tensor.F8E8M0 || scale.DType == tensor.F8E4M3 { // mlx holds these bytes as u8
		s.dtype = tensor.U8
		if build {
			s.node = &Node{Op: OpView, DType: tensor.U8, Shape: s.shape, In: []*Node{s.node}}
		}
	}
	f := form{bits: bits, group: group, shape: append(tensor.Shape{}, w.shape...), parts: []part{w, s}}
	last := len(f.shape) - 1
	f.shape[last] = f.shape[last] * 32 / int64(bits)
	if len(scale.Shape) != len(f.shape) || scale.Shape[last]*int64(group) != f.shape[last] {
		return form{}, wrongAt(path, &scale, nil, "its scales have shape %v, not one a group of %d of %v", scale.Shape, group, f.shape)
	}
	return f, nil
}

// tiles takes codes whose scale byte serves 32 rows: mlx wants it for every row.
// Whether they are of 8 or 4 bits the declared size of the last axis tells.
func (r *run) tiles(path string, codes, scale tensor.Info, build bool) (form, *trouble) {
	n := len(codes.Shape)
	switch {
	case scale.DType != tensor.U8 && scale.DType != tensor.F8E8M0:
		return form{}, wrongAt(path, &scale, nil, "its scales are %v, not e8m0 bytes: numbers cannot be turned into them here; convert with mlx_lm", scale.DType)
	case n < 2 || len(scale.Shape) != n || r.lastAxis <= 0 || scale.Shape[n-1] <= 0:
		return form{}, wrongAt(path, &scale, nil, "its scales have shape %v, not one for tiles of %v", scale.Shape, codes.Shape)
	}
	_, size := codes.DType.Block()
	bits := int(codes.Shape[n-1] * size * 8 / r.lastAxis)
	group := int(r.lastAxis / scale.Shape[n-1])
	if bits != 8 && bits != 4 || scale.Shape[n-2] == codes.Shape[n-2] {
		return repacked(path, codes, scale, bits, group, build)
	}
	thin := tensor.Info{DType: scale.DType, Shape: slices.Clone(codes.Shape)}
	thin.Shape[n-1] = scale.Shape[n-1]
	f, t := repacked(path, codes, thin, bits, group, false)
	if t != nil {
		return f, t
	}
	if build {
		f, _ = repacked(path, codes, thin, bits, group, true)
	}
	s := storedPart("scales", scale, build)
	if s.dtype != tensor.U8 {
		s.dtype = tensor.U8
		if build {
			s.node = &Node{Op: OpView, DType: tensor.U8, Shape: s.shape, In: []*Node{s.node}}
		}
	}
	cuts := make([]cut, n)
	for k := range cuts {
		cuts[k] = cut{open: true, step: 1}
	}
	cuts[n-2] = cut{stop: codes.Shape[n-2], step: 1}
	wide, err := (&making{op: OpRepeat, count: 32, axis: n - 2}).step([]part{s}, build)
	if err == nil {
		wide, err = (&making{op: OpSlice, cuts: cuts}).step([]part{wide}, build)
	}
	if err != nil {
		return form{}, wrongAt(path, &scale, nil, "its scales have shape %v, not one for tiles of %v: %v", scale.Shape, codes.Shape, err)
	}
	wide.suffix = "scales"
	f.parts[1] = wide
	return f, nil
}

// minusEight is the biases of codes that count from -8: -8 × scales, exact.
func minusEight(scales part, build bool) part {
	m := &making{op: OpMul, scalar: -8}
	b, err := m.step([]part{scales}, build)
	if err != nil { // scales are floats by now
		b = scales
	}
	b.suffix = "biases"
	return b
}

// blocks takes gpt-oss's [… , groups, 16] bytes: viewed as u32 and flattened they
// are mlx's packing.
func blocks(path string, packed, scale tensor.Info, build bool) (form, *trouble) {
	n := len(packed.Shape)
	if n < 2 || packed.DType != tensor.U8 || packed.Shape[n-1] != 16 {
		return form{}, wrongAt(path, &packed, nil, "blocks are %v %v, not u8 […, groups, 16]", packed.DType, packed.Shape)
	}
	p := storedPart("weight", packed, build)
	view := &making{op: OpView, dtype: tensor.U32}
	flat := &making{op: opFlatten, axis: n - 2, count: 2}
	w, err := view.step([]part{p}, build)
	if err == nil {
		w, err = flat.step([]part{w}, build)
	}
	if err != nil {
		return form{}, wrongAt(path, &packed, nil, "%v", err)
	}
	w.suffix = "weight"
	f := form{bits: 4, group: 32, shape: append(tensor.Shape{}, w.shape...), parts: []part{w, storedPart("scales", scale, build)}}
	f.shape[n-2] *= 8
	if len(scale.Shape) != n-1 || scale.Shape[n-2]*32 != f.shape[n-2] {
		return form{}, wrongAt(path, &scale, nil, "its scales have shape %v, not one a group of 32 of %v", scale.Shape, f.shape)
	}
	return f, nil
}

// awq takes AWQ's column-packed nibbles.
func (r *run) awq(c *codec, path string, ok bool, role func(string) (tensor.Info, bool), absent func(string) *trouble, build bool) (form, *trouble, bool) {
	qweight, has := role("qweight")
	scales, hasScales := role("scales")
	switch {
	case ok || !has && !hasScales || !has && !strings.HasSuffix(path, ".weight"):
		return form{}, nil, false
	case !has:
		return form{}, absent("qweight"), true
	case !hasScales:
		return form{}, absent("scales"), true
	case len(qweight.Shape) != 2 || len(scales.Shape) != 2 || qweight.Shape[1]*8 != scales.Shape[1] || scales.Shape[0] == 0 || qweight.Shape[0]%scales.Shape[0] != 0:
		return form{}, wrongAt(path, &qweight, nil, "qweight %v and scales %v do not fit: want [in, out/8] and [in/group, out]", qweight.Shape, scales.Shape), true
	}
	in, out := qweight.Shape[0], scales.Shape[1]
	groups := scales.Shape[0]
	f := form{bits: 4, group: int(in / groups), shape: tensor.Shape{out, in}}
	f.parts = []part{
		{suffix: "weight", dtype: tensor.U32, shape: tensor.Shape{out, in / 8}},
		{suffix: "scales", dtype: scales.DType, shape: tensor.Shape{out, groups}},
		{suffix: "biases", dtype: scales.DType, shape: tensor.Shape{out, groups}},
	}
	zeros, hasZeros := role("zeros")
	if !hasZeros && r.asymmetric(c) {
		return form{}, absent("zeros"), true
	}
	if hasZeros && !zeros.Shape.Equal(tensor.Shape{groups, out / 8}) {
		return form{}, wrongAt(path, &zeros, nil, "its zeros have shape %v, not %v", zeros.Shape, tensor.Shape{groups, out / 8}), true
	}
	if build {
		turned := &Node{Op: OpPermute, Perm: []int{1, 0}, DType: scales.DType, Shape: f.parts[1].shape, In: []*Node{loadNode(scales)}}
		f.parts[0].node = &Node{Op: OpAWQ, DType: tensor.U32, Shape: f.parts[0].shape, In: []*Node{loadNode(qweight)}}
		f.parts[1].node = turned
		biases := &Node{Op: OpAWQBias, DType: scales.DType, Shape: f.parts[2].shape, In: []*Node{turned}}
		if hasZeros {
			biases.In = append(biases.In, loadNode(zeros))
		}
		f.parts[2].node = biases
	}
	return f, nil, true
}
