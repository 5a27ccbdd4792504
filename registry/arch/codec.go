package arch

import (
	"fmt"
	"slices"
	"strings"

	"wreg/registry/expr"
	"wreg/registry/tensor"
)

// codec is a read statement: how the tensors that a pattern names may be stored,
// and the stored tensors that belong to them.
type codec struct {
	kind    string
	pattern *tensor.Pattern
	rule    string
	parts   map[string]string // role → the last segment of the stored tensor's path, or what is added to it
	ignore  []string
	rows    int64 // fp8: rows of a block; 0: the scale is broadcast
	cols    int64
	bits    int
	group   int
}

type codecKind struct{ need, may []string }

// codecKinds gives the roles each kind of stored form needs, and those it may
// have.
var codecKinds = map[string]codecKind{
	"fp8":   {need: []string{"scale"}},            // e4m3 × block scales
	"int4":  {need: []string{"packed", "scale"}},  // compressed-tensors pack-quantized
	"fp4":   {need: []string{"packed", "scale"}},  // two e2m1 codes a byte, a scale byte a group
	"mxfp4": {need: []string{"blocks", "scales"}}, // gpt-oss
	"mxfp8": {need: []string{"scale"}},            // e4m3 with e8m0 scales, kept packed
	"nvfp4": {need: []string{"scale"}},            // e2m1 codes with e4m3 scales a group of 16, kept packed
	"tiles": {need: []string{"scale"}},            // e4m3 or e2m1 codes with one e8m0 scale for 32 rows, or for each
	"awq":   {need: []string{"qweight", "scales"}, may: []string{"zeros"}},
}

func (c *codec) glob() *tensor.Pattern { return c.pattern }

// read takes a read statement.
func (r *run) read(s *scope, st *statement) error {
	d := st.Read
	kind, err := d.kind()
	if err != nil {
		return err
	}
	c := &codec{kind: d.Codec, parts: map[string]string{}, rule: r.ruleAt(st)}
	if c.pattern, err = s.parsePattern(d.Pattern, st); err != nil {
		return err
	}
	if d.Args != nil {
		for _, a := range d.Args.Args {
			if err := c.argument(s, a.tree); err != nil {
				return err
			}
		}
	}
	for _, role := range kind.need {
		if c.parts[role] == "" {
			return fmt.Errorf("read … as %s: it needs %s = NAME", d.Codec, role)
		}
	}
	if (c.rows == 0) != (c.cols == 0) {
		return fmt.Errorf("read … as %s: rows = %d and cols = %d: give both", d.Codec, c.rows, c.cols)
	}
	r.reads.add(c.pattern.Root(), c)
	for _, suffix := range c.ignore {
		if !slices.ContainsFunc(r.ignored, func(known ignored) bool { return known.suffix == suffix }) {
			r.ignored = append(r.ignored, ignored{suffix, c})
		}
	}
	return nil
}

// maxBlock bounds the sizes of blocks and groups.
const maxBlock = 1 << 20

func (c *codec) argument(s *scope, n *expr.Node) error {
	if n.Op != "=" || n.Args[0].Op != expr.OpName {
		return fault(n, fmt.Errorf("read … as %s takes name = value", c.kind))
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
			c.rows, c.cols = size, size
		case "rows":
			c.rows = size
		case "cols":
			c.cols = size
		case "group":
			c.group = int(size)
		case "bits":
			c.bits = int(size)
		}
		return nil
	}
	text := value.Text
	if value.Op == expr.OpConst {
		text, _ = value.Value.Text()
	}
	if text == "" {
		return fault(n, fmt.Errorf("%s wants the name of a stored tensor", name))
	}
	if name == "ignore" {
		c.ignore = append(c.ignore, text)
	} else {
		c.parts[name] = text
	}
	return nil
}

// sibling is the path of a stored tensor: weight_scale stands in place of the
// last segment of x.weight, _scales is added to x.
func sibling(path, name string) string {
	if strings.HasPrefix(name, "_") {
		return path + name
	}
	if dot := strings.LastIndexByte(path, '.'); dot >= 0 {
		return path[:dot+1] + name
	}
	return name
}
