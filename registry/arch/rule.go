package arch

import (
	"wreg/registry/expr"
	"wreg/registry/tensor"
)

// nameRule is a drop, keep or quant.
type nameRule struct {
	pattern *tensor.Pattern
	because string
	rule    string
	no      bool // quant: the consumer's predicate says no
	never   bool // quant: the module cannot be quantized
	bits    int
	group   int
}

func (n nameRule) glob() *tensor.Pattern { return n.pattern }

func (r *run) rule(s *scope, st *statement) error {
	d := st.Rule
	if err := d.complete(); err != nil {
		return err
	}
	for _, text := range d.Patterns {
		p, err := s.parsePattern(text, st)
		if err != nil {
			return err
		}
		n := nameRule{pattern: p, rule: r.ruleAt(st), no: d.Word == "quant" && d.No == "no", never: d.No == "never", bits: d.Bits, group: d.Group}
		switch d.Word {
		case "drop":
			if n.because, err = unquoted(d.Because); err != nil {
				return err
			}
			r.drops.add(p.Root(), n)
		case "keep":
			r.keeps.add(p.Root(), n)
		case "quant":
			r.quants.add(p.Root(), n)
		}
	}
	return nil
}

func unquoted(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	n, err := expr.Parse(text)
	if err != nil {
		return "", err
	}
	t, _ := n.Value.Text()
	return t, nil
}
