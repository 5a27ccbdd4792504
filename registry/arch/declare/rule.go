package declare

import (
	"cmp"
	"fmt"
	"slices"

	"wreg/registry/arch/lang"
	"wreg/registry/expr"
	"wreg/registry/tensor"
)

// rule takes a drop, keep or quant statement.
func (r *Declared) rule(s *scope, st *lang.Statement) error {
	d := st.Rule
	if err := d.Complete(); err != nil {
		return err
	}
	for _, text := range d.Patterns {
		before := s.made
		if d.Word == "drop" { // a rule about what is stored, not about what is made
			before = ""
		}
		p, err := s.parsePattern(before, text, st)
		if err != nil {
			return err
		}
		n := NameRule{Rule: r.ruleAt(st), No: d.Word == "quant" && d.No == "no", Never: d.No == "never", Bits: d.Bits, Group: d.Group, Mode: d.Mode}
		switch d.Word {
		case "drop":
			if n.Because, err = lang.Unquoted(d.Because); err != nil {
				return err
			}
			r.Drops.Add(p, n)
		case "keep", "cast":
			n.Cast = d.Word == "cast"
			r.Keeps.Add(p, n)
		case "quant":
			r.Quants.Add(p, n)
		}
	}
	return nil
}

// read takes a read statement.
func (r *Declared) read(s *scope, st *lang.Statement) error {
	d := st.Read
	kind, err := d.Kind()
	if err != nil {
		return err
	}
	c := &Read{Kind: d.Codec, Parts: map[string]string{}, Rule: r.ruleAt(st)}
	p, err := s.parsePattern("", d.Pattern, st)
	if err != nil {
		return err
	}
	if d.Args != nil {
		for _, a := range d.Args.Args {
			if err := c.argument(s, a.Tree); err != nil {
				return err
			}
		}
	}
	for _, role := range kind.Need {
		if c.Parts[role] == "" {
			return fmt.Errorf("read … as %s needs %s = NAME", d.Codec, role)
		}
	}
	if (c.Rows == 0) != (c.Cols == 0) {
		return fmt.Errorf("read … as %s: rows = %d and cols = %d: give both", d.Codec, c.Rows, c.Cols)
	}
	r.Reads.Add(p, c)
	for _, suffix := range c.ignore {
		if !slices.ContainsFunc(r.Ignored, func(known Ignored) bool { return known.Suffix == suffix }) {
			r.Ignored = append(r.Ignored, Ignored{suffix, c})
		}
	}
	return nil
}

// maxBlock bounds the sizes of blocks and groups.
const maxBlock = 1 << 20

func (c *Read) argument(s *scope, n *expr.Node) error {
	if n.Op != "=" || n.Args[0].Op != expr.OpName {
		return fault(n, fmt.Errorf("read … as %s takes name = value", c.Kind))
	}
	name, value := n.Args[0].Text, n.Args[1]
	switch name {
	case "block", "group", "bits", "rows", "cols":
		size, err := s.integer(value)
		if err == nil && (size < 1 || size > maxBlock) {
			err = fault(value, fmt.Errorf("%s is %d: it must be from 1 to %d", name, size, maxBlock))
		}
		if err != nil {
			return err
		}
		switch name {
		case "block":
			c.Rows, c.Cols = size, size
		case "rows":
			c.Rows = size
		case "cols":
			c.Cols = size
		case "group":
			c.Group = int(size)
		}
		return nil
	}
	text := value.Text
	if value.Op == expr.OpConst {
		text, _ = value.Value.Text()
	}
	if text == "" {
		return fault(n, fmt.Errorf("%s must be the name of a stored tensor", name))
	}
	if name == "ignore" {
		c.ignore = append(c.ignore, text)
	} else {
		c.Parts[name] = text
	}
	return nil
}

// blocks are where config.json says how weights are stored.
var blocks = []string{"quantization", "quantization_config", "text_config.quantization_config"}

// loader takes what config.json's quantization_config says about every
// architecture alike: mlx_lm's loader repacks AWQ after the architecture's own
// steps.
func (r *Declared) loader() error {
	for _, key := range blocks {
		found, ok := dig(r.config, key)
		if _, isObject := found.(object); !ok || isObject {
			continue
		}
		if v, ok := found.(expr.Value); !ok || !v.IsNull() { // null is as good as nothing to all of them
			what := "a list"
			if ok {
				what = fmt.Sprintf("%v (%.40s)", v.Kind(), v)
			}
			return fmt.Errorf("config.json: %s is %s, where mlx_lm and transformers look for an object: put back what it was, or take it out of config.json if no weight is quantized", key, what)
		}
	}
	method := r.QuantMethod()
	if method != "awq" && method != "gptq" {
		return nil // fp8 comes after the architecture's own rules
	}
	if v, ok := r.config.get("quantization_config.bits"); ok {
		if bits, _ := v.Int(); bits != 4 {
			return nil // no rule reads them
		}
	}
	pattern, err := tensor.ParsePattern("**.weight")
	if err == nil {
		r.Reads.Add(pattern, &Read{Kind: "awq", Rule: "quantization_config",
			Parts: map[string]string{"qweight": "qweight", "scales": "scales", "zeros": "qzeros"}})
	}
	return err
}

// buffers are of no family alone: older versions of transformers stored them beside the
// weights.
var buffers = []string{"**.*rotary_emb.inv_freq", "**.rope.inv_freq"}

// common adds the rules of every architecture, after its own.
func (r *Declared) common() error {
	for _, text := range buffers {
		pattern, err := tensor.ParsePattern(text)
		if err != nil {
			return err
		}
		r.Drops.Add(pattern, NameRule{Because: "recomputed", Rule: "every architecture"})
	}
	return r.fp8()
}

// fp8 is transformers' own way to store any architecture's linear layers: codes, and a
// scale a block. mlx_lm reads it of few; those say so themselves.
func (r *Declared) fp8() error {
	if r.QuantMethod() != "fp8" || len(r.Reads.List) > 0 {
		return nil
	}
	block := make([]int64, 2)
	for i := range block {
		for _, key := range []string{"quantization_config", "text_config.quantization_config"} {
			if v, ok := r.config.get(key + ".weight_block_size"); ok {
				if sizes, _ := v.Items(); len(sizes) == len(block) {
					block[i], _ = sizes[i].Int()
				}
			}
		}
		if block[i] < 1 || block[i] > maxBlock {
			return nil // scales that are not of blocks have other names
		}
	}
	pattern, err := tensor.ParsePattern("**.weight")
	if err == nil {
		r.Reads.Add(pattern, &Read{Kind: "fp8", Rule: "quantization_config", Parts: map[string]string{"scale": "weight_scale_inv"}, Rows: block[0], Cols: block[1]})
	}
	return err
}

// QuantMethod is how config.json says that the checkpoint is quantized, "" when it
// does not.
func (r *Declared) QuantMethod() string {
	for _, key := range []string{"quantization_config.quant_method", "text_config.quantization_config.quant_method"} {
		if v, ok := r.config.get(key); ok {
			method, _ := v.Text()
			return method
		}
	}
	return ""
}

// Has reports that config.json has a key that is not null.
func (r *Declared) Has(key string) bool {
	v, ok := r.config.get(key)
	return ok && !v.IsNull()
}

// Key gives a key of config.json.
func (r *Declared) Key(key string) (expr.Value, bool) { return r.config.get(key) }

// Unspoken is what config.json lacks for mlx_lm to load codes, which recovers bits and
// group size from the shapes, but only when a block is there that it knows, and mlx's own
// has both keys; "" when nothing is lacking. An empty quantization_config is none to it.
// block is whether mlx's own is there.
func (r *Declared) Unspoken() (lacks string, block bool) {
	for _, key := range blocks {
		found, _ := dig(r.config, key)
		q, ok := found.(object)
		switch {
		case !ok && !r.Has(key) || ok && len(q) == 0 && key != "quantization":
			continue
		case key == "quantization" && ok:
			for _, need := range []string{"group_size", "bits"} {
				if _, ok := q[need]; !ok {
					return "the quantization block of config.json has no " + need, true
				}
			}
		case ok:
			switch method := r.QuantMethod(); {
			case method == "":
				return fmt.Sprintf("config.json has no quantization block, and its %s no quant_method", key), false
			case !slices.Contains(loaded, method):
				return fmt.Sprintf("config.json has no quantization block, and mlx_lm does not know the quant_method %.40q of its %s", method, key), false
			}
		}
		return "", true
	}
	return "config.json has no quantization block", false
}

// loaded are the methods by which mlx_lm's loader makes modules of codes, where
// config.json has no block of mlx's own.
var loaded = []string{"awq", "compressed-tensors", "fp8", "gptq", "modelopt", "mxfp4", "mxfp8"}

// Misread is what config.json's quantization says of one module by name, where mlx_lm, which
// believes that and not the shapes, would not read what is stored, floats where that has no
// bits. It is "" where it would, or where the module is not named.
func (r *Declared) Misread(module string, stored tensor.Packing) string {
	found, _ := dig(r.config, "quantization")
	q, _ := found.(object)
	own, named := q[module]
	if !named {
		return ""
	}
	as, isObject := own.(object)
	v, isValue := own.(expr.Value)
	switch {
	case isObject:
	case isValue && !v.Truth():
		if stored.Bits == 0 {
			return ""
		}
		return "floats"
	case isValue && v.Kind() == expr.BoolKind:
		as = q
	default:
		return "neither an object nor true or false"
	}
	mode := "affine"
	if v, ok := as["mode"].(expr.Value); ok {
		mode, _ = v.Text()
	}
	usual, known := tensor.PackingNamed(mode)
	if !known {
		return fmt.Sprintf("mode %.40q, which mlx does not have", mode)
	}
	says := tensor.Packing{Mode: mode, Bits: cmp.Or(int(as.integer("bits")), usual.Bits), Group: cmp.Or(int(as.integer("group_size")), usual.Group)}
	if says == stored {
		return ""
	}
	return says.String()
}

// Packing is what config.json's quantization says of a module, in mlx's way; ok is
// false when it says nothing.
func (r *Declared) Packing(module string) (bits, group int64, ok bool) {
	found, ok := dig(r.config, "quantization")
	q, isObject := found.(object)
	if !isObject {
		return 0, 0, ok
	}
	if own, has := q[module].(object); has {
		q = own
	}
	return q.integer("bits"), q.integer("group_size"), true
}

func (o object) integer(key string) int64 {
	v, _ := o.get(key)
	i, _ := v.Int()
	return i
}
