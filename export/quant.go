package export

import (
	"fmt"
	"slices"

	"wreg/accel"
	"wreg/registry/arch"
	"wreg/registry/arch/op"
	"wreg/registry/pyjson"
	"wreg/registry/tensor"
)

// Quantize says how weights are quantized, as mlx_lm.convert -q does. The zero
// value is mlx's default: affine, 4 bits, groups of 64.
type Quantize struct {
	Mode      string     // "affine" (default), "mxfp4", "nvfp4" or "mxfp8"
	Bits      int        // 0: the mode's own
	Group     int        // elements that share a scale; 0: the mode's own
	Recipe    string     // one of Recipes: more bits for the layers that need them
	Overrides []Override // for modules matched by path; the last one counts
}

// Override is what becomes of the modules a pattern matches.
type Override struct {
	Pattern     string // of the module: model.layers.{0..3}.mlp.down_proj
	Keep        bool   // do not quantize
	Mode        string // "": affine
	Bits, Group int    // 0: the export's own, or the mode's when Mode is given
}

// The operations that only an export plans.
const (
	opQuantize op.Op = "quantize" // In[0] to packed codes, scales or biases
)

// quantParts are what quantizing makes of a weight, in mlx's order.
var quantParts = []string{"weight", "scales", "biases"}

// quantizer decides about each weight.
type quantizer struct {
	asked     Quantize
	spec      accel.QuantSpec // of modules without a rule of their own
	overrides []*tensor.Pattern
	partly    bool           // the source is quantized already: every module is named in config.json
	modules   *pyjson.Object // config.json's quantization, in module order
	place     int            // recipes: which segment of a path is the layer
	layers    int64          // recipes: how many layers
}

// newQuantizer checks what was asked. was is the config's own quantization.
func newQuantizer(asked Quantize, was *pyjson.Object, targets []arch.Target) (*quantizer, error) {
	q := &quantizer{asked: asked, modules: pyjson.New()}
	var err error
	if q.spec, err = (accel.QuantSpec{Mode: asked.Mode, Bits: asked.Bits, Group: asked.Group}).Resolve(); err != nil {
		return nil, err
	}
	for _, o := range asked.Overrides {
		p, err := tensor.ParsePattern(o.Pattern)
		if err != nil {
			return nil, fmt.Errorf("override %q: %w", o.Pattern, err)
		}
		q.overrides = append(q.overrides, p)
	}
	if was != nil {
		q.partly = true
		for _, k := range was.Keys() {
			v, _ := was.Get(k)
			q.modules.Set(k, v)
		}
	} else {
		q.modules = specDocument(q.spec, true)
	}
	if asked.Recipe != "" {
		return q, q.recipe(targets)
	}
	return q, nil
}

// decide says whether a weight is quantized and how; why explains it to people.
func (q *quantizer) decide(t arch.Target, dtype tensor.DType) (spec accel.QuantSpec, why string, yes bool, err error) {
	module := parent(t.Path)
	switch {
	case t.Packed.Bits > 0:
		return spec, "is quantized already", false, nil
	case !t.Quant.Eligible:
		return spec, "is no weight that mlx quantizes", false, nil
	case dtype != tensor.F16 && dtype != tensor.BF16 && dtype != tensor.F32:
		return spec, fmt.Sprintf("is %v", dtype), false, nil
	}
	last := t.Shape[len(t.Shape)-1]
	if last%int64(q.spec.Group) != 0 {
		return spec, fmt.Sprintf("its last axis, %d, is no multiple of %d", last, q.spec.Group), false, nil
	}
	spec, entry, why, yes, err := q.rule(module, t.Quant)
	if err != nil || !yes {
		return spec, why, false, err
	}
	if spec, err = spec.Resolve(); err != nil {
		return spec, why, false, err
	}
	if last%int64(spec.Group) != 0 {
		return spec, why, false, fmt.Errorf("%s: its last axis, %d, is no multiple of the group of %d", why, last, spec.Group)
	}
	if entry == nil && q.partly {
		entry = specDocument(q.spec, true)
	}
	if entry != nil {
		q.modules.Set(module, entry)
	}
	return spec, fmt.Sprintf("%s: %s %d bits, groups of %d", why, spec.Mode, spec.Bits, spec.Group), true, nil
}

// rule finds the rule for a module: an override, the recipe, the architecture's
// own, or the default. entry is what config.json says of the module; nil: nothing.
func (q *quantizer) rule(module string, own arch.QuantRule) (spec accel.QuantSpec, entry *pyjson.Object, why string, yes bool, err error) {
	for i := len(q.overrides) - 1; i >= 0; i-- {
		if !q.overrides[i].Match(module) {
			continue
		}
		o := q.asked.Overrides[i]
		why = "override " + o.Pattern
		if o.Keep {
			return spec, nil, why + " keeps it", false, nil
		}
		spec = accel.QuantSpec{Mode: o.Mode, Bits: o.Bits, Group: o.Group}
		if o.Mode == "" || o.Mode == q.spec.Mode {
			spec.Mode = q.spec.Mode
			if spec.Bits == 0 {
				spec.Bits = q.spec.Bits
			}
			if spec.Group == 0 {
				spec.Group = q.spec.Group
			}
		}
		if spec, err = spec.Resolve(); err != nil {
			return spec, nil, why, false, fmt.Errorf("%s: %w", why, err)
		}
		return spec, specDocument(spec, true), why, true, nil
	}
	if q.asked.Recipe != "" {
		bits, err := q.recipeBits(module)
		if err != nil {
			return spec, nil, "", false, err
		}
		spec = accel.QuantSpec{Mode: accel.Affine, Bits: bits, Group: q.asked.Group}
		return spec, specDocument(spec, true), "recipe " + q.asked.Recipe, true, nil
	}
	switch {
	case own.Never:
		return spec, nil, "the consumer keeps this module as it is", false, nil
	case own.Bits > 0:
		spec = accel.QuantSpec{Bits: own.Bits, Group: own.GroupSize}
		return spec, specDocument(spec, false), "the consumer's rule", true, nil
	}
	return q.spec, nil, "default", true, nil
}

// specDocument is a module's entry in config.json. mlx_lm writes a recipe's group
// as null when none was asked for; an architecture's own rules are written as they
// are: without a mode, and without a group when they name none.
func specDocument(s accel.QuantSpec, mode bool) *pyjson.Object {
	d := pyjson.New()
	switch {
	case s.Group != 0:
		d.Set("group_size", int64(s.Group))
	case mode:
		d.Set("group_size", nil)
	}
	d.Set("bits", int64(s.Bits))
	if mode {
		d.Set("mode", s.Mode)
	}
	return d
}

// quantized plans the tensors that a weight becomes.
func (p *Plan) quantized(t arch.Target, n *op.Node, spec accel.QuantSpec, why string) error {
	module := parent(t.Path)
	last := len(n.Shape) - 1
	with := func(d int64) tensor.Shape {
		s := slices.Clone(n.Shape)
		s[last] = d
		return s
	}
	groups := with(n.Shape[last] / int64(spec.Group))
	type made struct {
		dtype tensor.DType
		shape tensor.Shape
	}
	list := []made{{tensor.U32, with(n.Shape[last] * int64(spec.Bits) / 32)}, {tensor.U8, groups}}
	if spec.Mode == accel.Affine {
		list = []made{list[0], {n.DType, groups}, {n.DType, groups}}
	}
	for i, m := range list {
		size, err := m.shape.Bytes(m.dtype)
		if err != nil {
			return err
		}
		p.Tensors = append(p.Tensors, PlanTensor{
			Path: module + "." + quantParts[i], DType: m.dtype, Shape: m.shape, Bytes: size, Rule: t.Rule, Quant: why,
			Make: &op.Node{Step: op.Step{Op: opQuantize}, In: []*op.Node{n}, DType: m.dtype, Shape: m.shape},
			tree: n, spec: spec, quant: true,
		})
	}
	p.Tensors[len(p.Tensors)-len(list)].bits = spec.Bits
	return nil
}
