package arch

import (
	"slices"
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
	r.Reads.Matching(&r.Budget, path, func(_ int, c *declare.Read) bool {
		found := map[string]tensor.Info{}
		for role := range c.Parts {
			if i, ok := r.role(c, path, role); ok {
				found[role] = i
			}
		}
		if plainly && (forms[c.Kind].codes != "" || own.DType.Floating()) {
			return false
		}
		if !plainly && len(found) == 0 && !r.declares(c, path) {
			return false
		}
		wants = r.parts(c, path, w, own, found)
		return true
	})
	return wants
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
	form := forms[c.Kind]
	n := len(w.Shape)
	if n < 2 || !op.Complete(w.Shape) {
		return nil
	}
	in := w.Shape[n-1]
	group := int64(form.grouped(c, in, last(found[form.scale].Shape)))
	part := func(role string, dtype tensor.DType, shape ...int64) Want {
		p := w
		p.Path, p.DType, p.Shape = r.hfName(sibling(path, c.Parts[role])), dtype, shape
		return p
	}
	switch {
	case c.Kind == "awq":
		return r.awqParts(c, part, w.Shape, found)
	case form.codes != "" && in%group != 0: // no group ends a row: cannot be stored so
		return nil
	case form.codes != "":
		lead := w.Shape[:n-1]
		return []Want{part(form.codes, form.codeType, slices.Concat(lead, form.row(in))...), part(form.scale, form.scaleType, slices.Concat(lead, tensor.Shape{in / group})...)}
	}
	codes, scale := w, part(form.scale, tensor.Invalid)
	stored, ok := found[form.scale]
	if c.Kind == "fp8" {
		if ok && op.Broadcasts(stored.Shape, w.Shape) { // one for all is as good
			scale.Shape = stored.Shape
		} else if c.Rows > 0 {
			scale.Shape = op.Blocks(w.Shape, [2]int64{c.Rows, c.Cols})
		}
		return []Want{codes, scale}
	}
	if codes.DType = own.DType; c.Kind != "mxfp8" {
		codes.Shape = own.Shape
	}
	if ok {
		scale.DType, scale.Shape = stored.DType, stored.Shape
	}
	return []Want{codes, scale}
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
		part("qweight", tensor.I32, in, out/8),
		part("scales", tensor.Invalid, in/group, out),
	}
	if _, ok := found["zeros"]; ok || r.asymmetric(c) {
		wants = append(wants, part("zeros", tensor.I32, in/group, out/8))
	}
	return wants
}
