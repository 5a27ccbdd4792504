package arch

import (
	"strings"

	"wreg/registry/arch/declare"
	"wreg/registry/arch/op"
	"wreg/registry/tensor"
)

// storedAs lists what the hf layout stores for a tensor that has a read statement; nil
// when the tensor itself is expected. A checkpoint that holds any part of a stored form
// must hold all of it; if it holds none, the quantization in config.json decides.
func (r *match) storedAs(path string, w Want) []Want {
	if len(r.Reads.List) == 0 || r.TowardsHF {
		return nil
	}
	own, plainly := r.stored(path)
	var wants []Want
	r.Reads.Matching(&r.Budget, path, func(k int) bool {
		c := r.Reads.List[k]
		found := map[string]tensor.Info{}
		for role, name := range c.Parts {
			if i, ok := r.stored(sibling(path, name)); ok {
				found[role] = i
			}
		}
		coded := ownCodes(c) && plainly && (own.DType == tensor.F8E4M3 || !own.DType.Float())
		declared := !plainly && len(found) == 0 && r.declares(c, path)
		switch {
		case plainly && !coded:
			return false
		case len(found) == 0 && !coded && !declared:
			return false
		}
		wants = r.parts(c, path, w, own, found)
		return true
	})
	return wants
}

// ownCodes reports a form whose codes have the tensor's own name.
func ownCodes(c *declare.Read) bool {
	switch c.Kind {
	case "fp8", "mxfp8", "nvfp4", "tiles":
		return true
	}
	return false
}

// declares reports that config.json says the tensor is quantized this way. AWQ
// quantizes layers only: embedding and head stay floats.
func (r *match) declares(c *declare.Read, path string) bool {
	method := r.QuantMethod()
	switch c.Kind {
	case "mxfp4":
		return method == "mxfp4"
	case "awq":
		_, index := tensor.SplitPath(path)
		return len(index) > 0 && (method == "awq" || method == "gptq")
	}
	return false // others leave parts of a model as they are
}

// parts lists the stored tensors of one form with their shapes, where the logical
// shape tells them.
func (r *match) parts(c *declare.Read, path string, w Want, own tensor.Info, found map[string]tensor.Info) []Want {
	part := func(name string, dtype tensor.DType, shape ...int64) Want {
		p := w
		p.Path, p.DType, p.Shape = r.hfName(sibling(path, name)), dtype, shape
		return p
	}
	n := len(w.Shape)
	if n < 2 || !op.Complete(w.Shape) {
		return nil
	}
	lead, in := w.Shape[:n-1], w.Shape[n-1]
	over := func(last ...int64) []int64 { return append(append([]int64{}, lead...), last...) }
	scale := func(group int64) []int64 { return over(in / max(group, 1)) }
	group := int64(max(c.Group, 32))
	switch c.Kind {
	case "fp8":
		s := part(c.Parts["scale"], tensor.Invalid)
		s.Shape = nil
		if c.Rows > 0 {
			up := func(a, b int64) int64 { return (a + b - 1) / b }
			s.Shape = append(append(tensor.Shape{}, w.Shape[:n-2]...), up(w.Shape[n-2], c.Rows), up(in, c.Cols))
		}
		if i, ok := found["scale"]; ok && op.Broadcasts(i.Shape, w.Shape) { // one for all is as good
			s.Shape = i.Shape
		}
		return []Want{w, s}
	case "mxfp8", "nvfp4", "tiles":
		codes := w
		codes.DType = own.DType
		if c.Kind != "mxfp8" {
			codes.Shape = own.Shape
		}
		s := part(c.Parts["scale"], tensor.Invalid)
		s.Shape = nil
		if i, ok := found["scale"]; ok {
			s.DType, s.Shape = i.DType, i.Shape
		}
		return []Want{codes, s}
	case "int4", "fp4", "mxfp4":
		if in%group != 0 { // no group ends a row: cannot be stored so
			return nil
		}
	}
	switch c.Kind {
	case "int4":
		return []Want{part(c.Parts["packed"], tensor.I32, over(in/8)...), part(c.Parts["scale"], tensor.Invalid, scale(group)...)}
	case "fp4":
		return []Want{part(c.Parts["packed"], tensor.U8, over(in/2)...), part(c.Parts["scale"], tensor.U8, scale(group)...)}
	case "mxfp4":
		return []Want{part(c.Parts["blocks"], tensor.U8, over(in/32, 16)...), part(c.Parts["scales"], tensor.U8, scale(32)...)}
	case "awq":
		return r.awqParts(c, part, w.Shape, found)
	}
	return nil
}

// asymmetric reports that AWQ codes have zeros: config.json says so, or some tensor
// has them. Without any, codes count from 8; a weight that lacks its own while others
// have theirs would be read wrongly.
func (r *match) asymmetric(c *declare.Read) bool {
	if v, ok := r.Key("quantization_config.zero_point"); ok && v.Truth() {
		return true
	}
	suffix := "." + c.Parts["zeros"]
	known, ok := r.endings[suffix]
	if !ok && r.src != nil {
		r.src.All(func(i tensor.Info) bool {
			known = strings.HasSuffix(i.Path, suffix)
			return !known
		})
		r.endings[suffix] = known
	}
	return known
}

func (r *match) awqParts(c *declare.Read, part func(string, tensor.DType, ...int64) Want, shape tensor.Shape, found map[string]tensor.Info) []Want {
	out, in := shape[0], shape[1]
	group := int64(128)
	if v, ok := r.Key("quantization_config.group_size"); ok {
		if g, _ := v.Int(); g > 0 {
			group = g
		}
	}
	wants := []Want{
		part(c.Parts["qweight"], tensor.I32, in, out/8),
		part(c.Parts["scales"], tensor.Invalid, in/group, out),
	}
	if _, ok := found["zeros"]; ok || r.asymmetric(c) {
		wants = append(wants, part(c.Parts["zeros"], tensor.I32, in/group, out/8))
	}
	return wants
}
