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

// specOf is what one layout must hold, and how the checkpoint differs from it.
func specOf(a *arch.Arch, config *arch.Config, c *checkpoint, r *arch.Resolution, layout string) (*expectation, error) {
	list, err := a.Expect(config, layout, c)
	if err != nil {
		return nil, err
	}
	against, err := a.Against(config, layout, c)
	if err != nil {
		return nil, err
	}
	e := &expectation{against: "spec " + a.Name, layout: layout, dropped: map[string]string{}, wants: make([]want, len(list))}
	for i, w := range list {
		e.wants[i] = wantOf(w)
	}
	e.found = make([]gap, 0, len(against))
	for i := range against {
		g := &against[i]
		w := wantOf(g.Want)
		e.found = append(e.found, gap{path: g.Path, status: g.Status, want: &w, have: g.Have, reason: g.Reason, remedy: g.Remedy})
	}
	for _, d := range r.Drops {
		e.dropped[d.Path] = d.Because
	}
	use := usage(r)
	if layout == r.Layout { // only what no rule uses is too much: packed weights come in parts
		for path := range use {
			e.dropped[path] = "used"
		}
	}
	reasons := map[string]string{}
	for _, g := range r.Gaps {
		if g.Status == arch.Extra {
			reasons[g.Path] = g.Reason
			delete(e.dropped, g.Path)
		}
	}
	unused := map[string]bool{}
	for _, path := range r.Unused {
		unused[path] = true
	}
	e.extra = func(path string) string {
		if reasons[path] != "" {
			return reasons[path]
		}
		if target := use[path]; target != "" {
			return "becomes part of " + target
		}
		if unused[path] {
			return "no rule of " + a.Name + " uses it"
		}
		return "meant for a tensor that lacks its other parts"
	}
	return e, nil
}

func wantOf(w arch.Want) want {
	return want{path: w.Path, shape: w.Shape, dtype: w.DType, optional: w.Optional}
}

// usage says which tensor of layout mlx each source tensor goes into.
func usage(r *arch.Resolution) map[string]string {
	use := map[string]string{}
	for _, t := range r.Targets {
		if t.Make != nil {
			loads(t.Make, func(path string) { use[path] = t.Path })
		}
	}
	return use
}
