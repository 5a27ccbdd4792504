package query

import (
	"fmt"
	"slices"

	"wreg/registry/arch"
	"wreg/registry/tensor"
)

// architecture finds what a model should be: the architecture and its config.
func architecture(c *checkpoint, o Options) (*arch.Arch, *arch.Config, error) {
	ref := c.revision.Ref()
	if c.revision.Config == nil {
		return nil, nil, fmt.Errorf("%s has no config.json, so no architecture says what it should hold: ask against layers, or against another model", ref)
	}
	config, err := arch.ParseConfig(c.revision.Config)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: config.json: %w", ref, err)
	}
	if o.Arch != nil {
		return o.Arch, config, nil
	}
	a, err := arch.Find(config)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", ref, err)
	}
	return a, config, nil
}

// expectSpec is what the architecture says. Its layout is the one given by as,
// else the model's own; where the pattern names nothing there, the other.
func (q *Query) expectSpec(c *checkpoint, o Options) (*expectation, error) {
	a, config, err := architecture(c, o)
	if err != nil {
		return nil, err
	}
	resolution, err := a.Resolve(config, c)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.revision.Ref(), err)
	}
	own := resolution.Layout
	if own != arch.MLX {
		own = arch.HF // a mixed checkpoint lacks what makes it whole as hf
	}
	layouts := []string{own, otherLayout(own)}
	if q.layout != "" {
		layouts = []string{q.layout}
	}
	for i, layout := range layouts {
		e, err := specOf(a, config, c, resolution, layout)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.revision.Ref(), err)
		}
		if !q.named(e, c) {
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

// named reports that the pattern names something of the expectation, or, where
// extra tensors are asked for, something that is there.
func (q *Query) named(e *expectation, c *checkpoint) bool {
	if slices.ContainsFunc(e.wants, func(w want) bool { return q.matches(w.path) }) {
		return true
	}
	found := false
	if q.verb == Extra || q.verb == Gaps {
		c.All(func(t tensor.Info) bool {
			found = q.matches(t.Path)
			return !found
		})
	}
	return found
}

// specOf is what one layout must hold.
func specOf(a *arch.Arch, config *arch.Config, c *checkpoint, r *arch.Resolution, layout string) (*expectation, error) {
	list, err := a.Expect(config, layout, c)
	if err != nil {
		return nil, err
	}
	e := &expectation{against: "spec " + a.Name, layout: layout, dropped: map[string]string{}, wants: make([]want, len(list))}
	at := make(map[string]int, len(list))
	for i, w := range list {
		e.wants[i] = want{path: w.Path, shape: w.Shape, dtype: w.DType, optional: w.Optional}
		at[w.Path] = i
	}
	for _, g := range r.Gaps {
		if i, ok := at[g.Path]; ok && g.Status == arch.Missing {
			e.wants[i].reason, e.wants[i].remedy = g.Reason, g.Remedy
		}
	}
	if layout == arch.MLX {
		for _, t := range r.Targets {
			if i, ok := at[t.Path]; ok && t.Make != nil && t.Make.Op != arch.OpLoad {
				e.wants[i].reason, e.wants[i].remedy = makeable(t.Make)
			} else if ok && t.Make != nil && t.Make.Path != t.Path {
				e.wants[i].reason, e.wants[i].remedy = makeable(t.Make)
			}
		}
	}
	for _, d := range r.Drops {
		e.dropped[d.Path] = d.Because
	}
	return e, nil
}
