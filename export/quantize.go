package export

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"wreg/accel"
	"wreg/export/compute"
	"wreg/export/consumer"
	"wreg/export/mlxconfig"
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
	consumer  consumer.Consumer
	spec      accel.QuantSpec // of modules without a rule of their own
	overrides []*tensor.Pattern
	reached   []bool         // overrides that decided about a module
	skipped   []string       // overrides: why one that they match is not quantized, whatever they say
	partly    bool           // the source is quantized already: every module is named in config.json
	modules   *pyjson.Object // config.json's quantization, in module order
	place     int            // recipes: which segment of a path is the layer
	layers    int64          // recipes: how many layers
}

// newQuantizer checks what was asked. was is the config's own quantization.
func newQuantizer(target string, asked Quantize, was *pyjson.Object, targets []arch.Target) (*quantizer, error) {
	q := &quantizer{asked: asked, consumer: consumer.Of(target)}
	var err error
	if q.spec, err = (accel.QuantSpec{Mode: asked.Mode, Bits: asked.Bits, Group: asked.Group}).Resolve(); err != nil {
		return nil, err
	}
	for _, o := range asked.Overrides {
		p, err := tensor.ParsePattern(o.Pattern)
		if err != nil {
			return nil, fmt.Errorf("override %q: %w", o.Pattern, err)
		}
		if err := matchesSome(p, o.Pattern, targets); err != nil {
			return nil, err
		}
		q.overrides = append(q.overrides, p)
	}
	q.reached, q.skipped = make([]bool, len(q.overrides)), make([]string, len(q.overrides))
	if was != nil {
		q.partly, q.modules = true, was.Clone()
	} else {
		q.modules = mlxconfig.Spec(q.spec, true)
	}
	if asked.Recipe != "" {
		return q, q.recipe(targets)
	}
	return q, nil
}

// BitsOf is how many bits an export that quantizes so gives the weight of one of the
// targets; 0 when it is not quantized.
func (o Quantize) BitsOf(targets []arch.Target, path string) (int, error) {
	q, err := newQuantizer(arch.MLX, o, nil, targets)
	if err != nil {
		return 0, err
	}
	for _, t := range targets {
		if t.Path == path && t.Make != nil {
			spec, _, yes, err := q.decide(t, t.Make.DType)
			if err != nil || !yes {
				return 0, err
			}
			return spec.Bits, nil
		}
	}
	return 0, fmt.Errorf("no tensor %q is made", path)
}

// matchesSome refuses an override that changes nothing: a module misspelled would leave
// with other bits than were asked for.
func matchesSome(p *tensor.Pattern, text string, targets []arch.Target) error {
	example := ""
	var modules []string
	for _, t := range targets {
		if t.Quant.Eligible {
			if example = parent(t.Path); p.Match(example) {
				return nil
			}
			modules = append(modules, example)
		}
	}
	for _, t := range targets {
		if t.Packed.Bits > 0 && p.Match(parent(t.Path)) {
			return fmt.Errorf("override %q changes nothing: %s is quantized already", text, parent(t.Path))
		}
	}
	if near := tensor.NearPattern(text, modules); near != "" {
		return fmt.Errorf("override %q matches no module that is quantized, as %s is; did you mean %s?", text, example, tensor.ShellWord(near))
	}
	if example == "" {
		return fmt.Errorf("override %q: no module of this model is quantized", text)
	}
	return fmt.Errorf("override %q matches no module that is quantized, as %s is", text, example)
}

// decide says whether a weight is quantized and how; why explains it to people.
func (q *quantizer) decide(t arch.Target, dtype tensor.DType) (spec accel.QuantSpec, why string, yes bool, err error) {
	module := parent(t.Path)
	last := int64(0)
	if len(t.Shape) > 0 {
		last = t.Shape[len(t.Shape)-1]
	}
	switch {
	case t.Packed.Bits > 0:
		why = "is quantized already"
	case !t.Quant.Eligible:
		return spec, "is not a weight that mlx quantizes", false, nil
	case dtype != tensor.F16 && dtype != tensor.BF16 && dtype != tensor.F32:
		why = fmt.Sprintf("is %v", dtype)
	case last%int64(q.spec.Group) != 0:
		why = fmt.Sprintf("its last axis, %d, is not a multiple of %d", last, q.spec.Group)
	}
	if q.asked.Recipe != "" && q.consumer.Group > 0 && t.Shape[1]%int64(q.consumer.Group) != 0 { // of a stack, those are the rows
		why = fmt.Sprintf("its second axis, %d, is not a multiple of %d, and recipe %s asks for that", t.Shape[1], q.consumer.Group, q.asked.Recipe)
	}
	for _, part := range q.consumer.Floats {
		if why == "" && strings.Contains(module, part) {
			why = fmt.Sprintf("the consumer quantizes no module with %s in its name", part)
		}
	}
	if why != "" {
		q.skip(module, why)
		return spec, why, false, nil
	}
	spec, entry, why, yes, err := q.rule(module, t.Quant)
	if err != nil || !yes {
		return spec, why, false, err
	}
	if spec, err = spec.Resolve(); err != nil {
		return spec, why, false, err
	}
	if last%int64(spec.Group) != 0 && q.consumer.Lenient {
		why = fmt.Sprintf("its last axis, %d, is not a multiple of %d", last, spec.Group)
		q.skip(module, why)
		return spec, why, false, nil
	}
	if last%int64(spec.Group) != 0 {
		return spec, why, false, fmt.Errorf("%s: its last axis, %d, is not a multiple of the group of %d", why, last, spec.Group)
	}
	if entry == nil && q.partly {
		entry = mlxconfig.Spec(q.spec, true)
	}
	if entry != nil {
		q.modules.Set(module, entry)
	}
	return spec, fmt.Sprintf("%s: %s %d bits, groups of %d", why, spec.Mode, spec.Bits, spec.Group), true, nil
}

// skip notes for the overrides that match a module why they do not decide about it.
func (q *quantizer) skip(module, why string) {
	for i, p := range q.overrides {
		if q.skipped[i] == "" && p.Match(module) {
			q.skipped[i] = module + ": " + why
		}
	}
}

// unmet is an override that decided about no module, though it matches some: they would
// leave with other bits than were asked for.
func (q *quantizer) unmet() error {
	for i, o := range q.asked.Overrides {
		if !q.reached[i] && !o.Keep {
			return fmt.Errorf("override %q changes nothing: %s", o.Pattern, q.skipped[i])
		}
	}
	return nil
}

// rule finds the rule for a module: an override, the recipe, the architecture's
// own, or the default. entry is what config.json says of the module; nil: nothing.
func (q *quantizer) rule(module string, own arch.QuantRule) (spec accel.QuantSpec, entry *pyjson.Object, why string, yes bool, err error) {
	for i, p := range q.overrides {
		q.reached[i] = q.reached[i] || p.Match(module)
	}
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
			spec = accel.QuantSpec{Mode: q.spec.Mode, Bits: cmp.Or(o.Bits, q.spec.Bits), Group: cmp.Or(o.Group, q.spec.Group)}
		}
		if spec, err = spec.Resolve(); err != nil {
			return spec, nil, why, false, fmt.Errorf("%s: %w", why, err)
		}
		return spec, mlxconfig.Spec(spec, true), why, true, nil
	}
	if q.asked.Recipe != "" {
		bits, err := q.recipeBits(module)
		if err != nil {
			return spec, nil, "", false, err
		}
		spec = accel.QuantSpec{Mode: accel.Affine, Bits: bits, Group: cmp.Or(q.consumer.Group, q.asked.Group)}
		return spec, mlxconfig.Spec(spec, q.consumer.Modes), "recipe " + q.asked.Recipe, true, nil
	}
	switch {
	case own.Never:
		return spec, nil, "the consumer keeps this module as it is", false, nil
	case own.Bits > 0:
		spec = accel.QuantSpec{Mode: own.Mode, Bits: own.Bits, Group: own.GroupSize}
		return spec, mlxconfig.Spec(spec, own.Mode != ""), "the consumer's rule", true, nil
	}
	return q.spec, nil, "default", true, nil
}

// recipe finds where in a path the layer stands, and how many there are.
func (q *quantizer) recipe(targets []arch.Target) error {
	if _, ok := q.consumer.Recipes[q.asked.Recipe]; !ok {
		return fmt.Errorf("recipe %q: want one of %s", q.asked.Recipe, strings.Join(q.consumer.RecipeNames(), ", "))
	}
	if q.spec.Mode != accel.Affine {
		return fmt.Errorf("recipe %s: recipes are affine, not %s", q.asked.Recipe, q.spec.Mode)
	}
	found := false
	for _, t := range targets {
		segments := strings.Split(t.Path, ".")
		if !found && strings.Contains(parent(t.Path), "down_proj") {
			found = true
			if q.place = slices.IndexFunc(segments, isDigits); q.place < 0 {
				q.place = len(segments) - 2
			}
		}
	}
	if !found {
		return fmt.Errorf("recipe %s: the architecture has no down_proj to measure layers by", q.asked.Recipe)
	}
	for _, t := range targets {
		if segments := strings.Split(t.Path, "."); len(segments) > q.place && isDigits(segments[q.place]) {
			n, err := strconv.ParseInt(segments[q.place], 10, 32)
			if err == nil {
				q.layers = max(q.layers, n+1)
			}
		}
	}
	return nil
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// recipeBits is mlx_lm's mixed predicate: the first and last eighth of the layers
// and every third between get more bits for their v_proj and down_proj.
func (q *quantizer) recipeBits(module string) (int, error) {
	segments := strings.Split(module, ".")
	n, layer := q.layers, int64(0)
	if len(segments) > q.place {
		var err error
		if layer, err = strconv.ParseInt(segments[q.place], 10, 32); err != nil {
			return 0, fmt.Errorf("recipe %s: %q has no layer in segment %d", q.asked.Recipe, module, q.place)
		}
	}
	has := func(part string) bool { return strings.Contains(module, part) }
	more := layer < n/8 || layer >= 7*n/8 || ((layer-n/8)%3+3)%3 == 2
	bits := q.consumer.Recipes[q.asked.Recipe]
	if more && (has("v_proj") || has("v_a_proj") || has("v_b_proj") || has("down_proj")) || slices.ContainsFunc(q.consumer.High, has) {
		return bits[1], nil
	}
	return bits[0], nil
}

// dequantizedTargets turns the three stored parts of a module into its weight; other
// targets stay. mlx_lm does it for linear, embedding and expert layers. said: the
// config speaks of quantized weights, even if none is.
func dequantizedTargets(targets []arch.Target, dtype tensor.DType, said bool) ([]arch.Target, error) {
	byPath := map[string]*arch.Target{}
	for i := range targets {
		byPath[targets[i].Path] = &targets[i]
	}
	var out []arch.Target
	found := said
	for _, t := range targets {
		module := parent(t.Path)
		scales, weight := byPath[module+".scales"], byPath[module+".weight"]
		if t.Packed.Bits == 0 || scales == nil || weight == nil || weight.Make == nil || scales.Make == nil || multi(module) {
			out = append(out, t)
			continue
		}
		if t.Path != module+".weight" {
			if t.Path != module+".scales" && t.Path != module+".biases" {
				out = append(out, t)
			}
			continue
		}
		found = true
		spec, err := compute.Packing(t.Packed, scales.Make.DType)
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", t.Path, err)
		}
		n := &op.Node{Step: op.Step{Op: op.Dequantize}, In: []*op.Node{t.Make, scales.Make}, DType: tensor.BF16, Shape: t.Make.Shape.Unpacked(spec.Bits)}
		n.Axis, n.Count = spec.Bits, spec.Group
		if spec.Mode == accel.Affine {
			biases := byPath[module+".biases"]
			if biases == nil || biases.Make == nil {
				return nil, fmt.Errorf("tensor %q: %s.biases is missing", t.Path, module)
			}
			n.In = []*op.Node{t.Make, castTo(scales.Make, dtype), castTo(biases.Make, dtype)}
			n.DType = n.In[1].DType
		}
		t.Make, t.Packed, t.Keep = n, arch.Packed{}, true
		t.Shape = n.Shape
		out = append(out, t)
	}
	if !found {
		return nil, errors.New("nothing to dequantize: the model holds no quantized weights")
	}
	return out, nil
}

// multi reports a layer that mlx_lm leaves quantized: its per-head projections.
func multi(module string) bool {
	return strings.HasSuffix(module, ".embed_q") || strings.HasSuffix(module, ".unembed_out")
}
