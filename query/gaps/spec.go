package gaps

import (
	"context"
	"fmt"
	"slices"

	"wreg/registry/arch"
	"wreg/registry/tensor"
)

// expectSpec is what the architecture says. Its layout is the one given by as,
// else the model's own; where the pattern names nothing there, the other.
func (q *Question) expectSpec(c *modelView) (*expectation, error) {
	a, config, err := q.architecture(c)
	if err != nil {
		return nil, err
	}
	own := c.revision.Layout
	if own == "" {
		resolution, err := a.Resolve(c.ctx, config, c)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.revision.Ref(), err)
		}
		own = resolution.Layout
	}
	if own != arch.MLX {
		own = arch.HF // a mixed checkpoint lacks what makes it whole as hf
	}
	layouts := []string{own, otherLayout(own)}
	if q.Layout != "" {
		layouts = []string{q.Layout}
	}
	for i, layout := range layouts {
		if i == 0 && len(layouts) > 1 && !q.asks(arch.Extra) {
			here, err := q.names(c.ctx, a, config, layout)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.revision.Ref(), err)
			}
			there, err := q.names(c.ctx, a, config, layouts[1])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.revision.Ref(), err)
			}
			if !here && there {
				continue
			}
		}
		e, err := q.specOf(a, config, c, layout, own)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.revision.Ref(), err)
		}
		if e == nil {
			continue
		}
		if i > 0 {
			e.notes = append(e.notes, fmt.Sprintf("%s is in layout %s, where nothing is named %s; compared with layout %s", c.revision.Ref(), own, q.patternText(), layout))
		}
		return e, nil
	}
	return nil, fmt.Errorf("nothing of %s in layout %s is named %s: there is nothing to compare with", a.Name, joinOr(layouts), q.patternText())
}

func otherLayout(layout string) string {
	if layout == arch.MLX {
		return arch.HF
	}
	return arch.MLX
}

func joinOr(list []string) string {
	if len(list) == 1 {
		return list[0]
	}
	return list[0] + " or " + list[1]
}

// specOf is how the checkpoint differs from what one layout must hold; nil when the
// pattern names nothing of it.
func (q *Question) specOf(a *arch.Arch, config *arch.Config, c *modelView, layout, own string) (*expectation, error) {
	e := &expectation{against: "spec " + a.Name, layout: layout, dropped: map[string]string{}, found: []arch.Gap{}}
	against, err := a.Against(c.ctx, config, layout, c)
	if err != nil {
		return nil, err
	}
	for i := range against {
		if g := &against[i]; q.matches(g.Path) {
			g.Have = c.wholeOf(g.Have)
			e.found = append(e.found, *g)
		}
	}
	extras := q.asks(arch.Extra)
	if !extras && (len(e.found) > 0 || q.matchesAll()) {
		return e, nil // nothing else needs to be known of what is expected
	}
	named, err := q.names(c.ctx, a, config, layout)
	if err != nil {
		return nil, err
	}
	switch {
	case named:
	case extras:
		named = q.namesPresent(c)
	case layout == own:
		if named, err = q.namesUsed(a, config, c); err != nil {
			return nil, err
		}
	}
	if !named {
		return nil, nil
	}
	if extras {
		list, err := a.Expect(c.ctx, config, layout, c)
		if err != nil {
			return nil, err
		}
		for _, w := range list {
			e.wants = append(e.wants, want{Want: w})
		}
		return e, e.useOf(a, config, c, layout == own)
	}
	return e, nil
}

// names reports that the pattern names something of a layout.
func (q *Question) names(ctx context.Context, a *arch.Arch, config *arch.Config, layout string) (bool, error) {
	list, err := expectedNames(ctx, a, config, layout)
	if err != nil {
		return false, err
	}
	return len(q.Patterns) == 0 || slices.ContainsFunc(list, func(e expectedName) bool { return slices.ContainsFunc(q.Patterns, e.named) }), nil
}

// namesPresent reports that the pattern names something that is there.
func (q *Question) namesPresent(c *modelView) (found bool) {
	c.each(false, func(t tensor.Info) bool {
		found = q.matches(t.Path)
		return !found
	})
	return found
}

// namesUsed reports that the pattern names something that is there and that the
// architecture reads without listing it: the scale of a packed weight.
func (q *Question) namesUsed(a *arch.Arch, config *arch.Config, c *modelView) (bool, error) {
	if !q.namesPresent(c) {
		return false, nil
	}
	r, err := a.Resolve(c.ctx, config, c)
	if err != nil {
		return false, err
	}
	unused := map[string]bool{}
	for _, path := range r.Unused {
		unused[path] = true
	}
	for _, d := range r.Drops {
		unused[d.Path] = true
	}
	used := false
	c.each(false, func(t tensor.Info) bool {
		used = q.matches(t.Path) && !unused[t.Path]
		return !used
	})
	return used, nil
}

// matchesAll reports that every path is asked about.
func (q *Question) matchesAll() bool {
	return len(q.Patterns) == 0 || slices.ContainsFunc(q.Patterns, func(p *tensor.Pattern) bool { return p.String() == "*" || p.String() == "**" })
}

// wholeOf completes what arch was told of a tensor.
func (c *modelView) wholeOf(t *tensor.Info) *tensor.Info {
	if t == nil {
		return nil
	}
	if whole, ok := c.whole(t.Path); ok {
		return &whole
	}
	return t
}

// useOf finds out which tensors are used, dropped by a named rule, or too much.
func (e *expectation) useOf(a *arch.Arch, config *arch.Config, c *modelView, own bool) error {
	r, err := a.Resolve(c.ctx, config, c)
	if err != nil {
		return err
	}
	for _, d := range r.Drops {
		e.dropped[d.Path] = d.Because
	}
	use := map[string]string{} // which tensor of layout mlx each one goes into
	for _, t := range r.Targets {
		if t.Make != nil {
			loads(t.Make, func(path string) { use[path] = t.Path })
		}
	}
	unused := map[string]bool{}
	for _, path := range r.Unused {
		unused[path] = true
	}
	if own { // only what no rule uses is too much: packed weights come in parts
		c.each(false, func(t tensor.Info) bool {
			if !unused[t.Path] {
				e.dropped[t.Path] = "used"
			}
			return true
		})
	}
	reasons := map[string]string{}
	for _, g := range r.Gaps {
		if g.Status == arch.Extra {
			reasons[g.Path] = g.Reason
			delete(e.dropped, g.Path)
		}
	}
	e.extra = func(path string) string {
		switch {
		case reasons[path] != "":
			return reasons[path]
		case use[path] != "":
			return "becomes part of " + use[path]
		case unused[path]:
			return "no rule of " + a.Name + " uses it"
		}
		return "meant for a tensor that lacks its other parts"
	}
	return nil
}
