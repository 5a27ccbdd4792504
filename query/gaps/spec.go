package gaps

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"wreg/registry/arch"
	"wreg/registry/tensor"
)

// expectSpec is what the architecture says. Of the checkpoint's own layout it is
// what resolving says, and so what an export refuses; of a layout given by as, or
// of the other one where the pattern names nothing of the own, it is what that
// layout must hold.
func (q *Question) expectSpec(c *modelView) (*expectation, error) {
	a, config, err := q.architecture(c)
	if err != nil {
		return nil, err
	}
	e, err := q.spec(a, config, c)
	if _, ok := errors.AsType[*nothingNamed](err); ok && q.Arch == nil && q.Layout == "" && a.Layout == arch.MLX { // a tower, perhaps
		if whole, findErr := arch.FindIn(arch.MLXVLM, config); findErr == nil {
			if found, err := q.spec(whole, config, c); err == nil {
				return found, nil
			}
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.revision.Ref(), err)
	}
	return e, nil
}

// mixed is the layout of a checkpoint with some tensors in hf's form and some in
// mlx's.
const mixed = "mixed"

func (q *Question) spec(a *arch.Arch, config *arch.Config, c *modelView) (*expectation, error) {
	own := c.revision.Layout
	if own == "" {
		r, err := a.Resolve(c.ctx, config, c)
		if err != nil {
			return nil, err
		}
		own = r.Layout
	}
	layouts, other := own, map[string]string{arch.HF: a.Layout, a.Layout: arch.HF}[own]
	switch {
	case q.Layout != "" && q.Layout != own:
		return q.onPaper(a, config, c, q.Layout)
	case q.Layout != "":
		other = ""
	case other != "":
		layouts += " or " + other
	}
	named, err := q.names(c.ctx, a, config, own)
	if err != nil {
		return nil, err
	}
	elsewhere := false
	if !named && other != "" {
		if elsewhere, err = q.names(c.ctx, a, config, other); err != nil {
			return nil, err
		}
	}
	if !elsewhere || q.asks(arch.Extra) {
		e := &expectation{against: againstSpec + a.Name, layout: own}
		if e.found, e.notes, err = q.resolved(a, config, c); err != nil {
			return nil, err
		}
		if !named && len(e.found) == 0 {
			if named, err = q.namesUsed(a, config, c); err != nil {
				return nil, err
			}
			named = named || q.asks(arch.Extra) && q.namesPresent(c)
		}
		if named || len(e.found) > 0 {
			return e, nil
		}
	}
	if !elsewhere {
		return nil, q.nothingNamed(a, layouts)
	}
	e, err := q.onPaper(a, config, c, other)
	if err == nil {
		e.notes = append(e.notes, fmt.Sprintf("%s is in layout %s, where nothing matches %s; compared with layout %s", c.revision.Ref(), own, q.patternText(), other))
	}
	return e, err
}

// nothingNamed says that an architecture has no tensor that was asked about.
type nothingNamed struct{ arch, layouts, patterns string }

func (e *nothingNamed) Error() string {
	return fmt.Sprintf("nothing of %s in layout %s matches %s: there is nothing to compare with", e.arch, e.layouts, e.patterns)
}

func (q *Question) nothingNamed(a *arch.Arch, layouts string) error {
	return &nothingNamed{a.Name, layouts, q.patternText()}
}

// resolved lists what keeps a checkpoint from being whole: what resolving it says,
// and the tensors that no rule uses.
func (q *Question) resolved(a *arch.Arch, config *arch.Config, c *modelView) (gaps []arch.Gap, notes []string, err error) {
	gaps = []arch.Gap{}
	if !q.asks(arch.Extra) && !q.asks(arch.Changed) { // most checkpoints lack nothing, which is known sooner
		if lacks, err := a.Lacks(c.ctx, config, c); err != nil || len(lacks) == 0 {
			return gaps, nil, err
		}
	}
	r, err := a.Resolve(c.ctx, config, c)
	if err != nil {
		return nil, nil, err
	}
	if q.asks(arch.Extra) {
		notes = q.leftOut(r)
	}
	for _, g := range r.Gaps {
		if q.shows(&g) {
			g.Have = c.wholeOf(g.Have)
			gaps = append(gaps, g)
		}
	}
	return gaps, notes, nil
}

// leftOut tells of the tensors asked about that a rule leaves out on purpose, which are
// no gaps: a note for each reason.
func (q *Question) leftOut(r *arch.Resolution) (notes []string) {
	var reasons []string
	first, n := map[string]string{}, map[string]int{}
	for _, d := range r.Drops {
		if !q.matches(d.Path) || d.Tied() && slices.ContainsFunc(r.Gaps, func(g arch.Gap) bool { return g.Path == d.Path }) {
			continue
		}
		if n[d.Because]++; n[d.Because] == 1 {
			reasons, first[d.Because] = append(reasons, d.Because), d.Path
		}
	}
	for _, because := range reasons {
		notes = append(notes, fmt.Sprintf("%s left out on purpose, %s: %s", tensor.Count(n[because], "tensor"), because, andMore(first[because], n[because])))
	}
	return notes
}

// onPaper is how a checkpoint differs from what a layout that is not its own must
// hold.
func (q *Question) onPaper(a *arch.Arch, config *arch.Config, c *modelView, layout string) (*expectation, error) {
	e := &expectation{against: againstSpec + a.Name, layout: layout, found: []arch.Gap{}}
	lacks, err := a.Against(c.ctx, config, layout, c)
	if err != nil {
		return nil, err
	}
	for _, g := range lacks {
		if q.shows(&g) {
			g.Have = c.wholeOf(g.Have)
			e.found = append(e.found, g)
		}
	}
	named, err := q.names(c.ctx, a, config, layout)
	switch {
	case err != nil:
		return nil, err
	case !named && len(e.found) == 0 && !(q.asks(arch.Extra) && q.namesPresent(c)):
		return nil, q.nothingNamed(a, layout)
	case q.asks(arch.Extra):
		err = q.extraOnPaper(e, a, config, c)
	}
	return e, err
}

// extraOnPaper adds the tensors that the layout does not have and no named rule
// drops.
func (q *Question) extraOnPaper(e *expectation, a *arch.Arch, config *arch.Config, c *modelView) error {
	list, err := a.Expect(c.ctx, config, e.layout, c)
	if err != nil {
		return err
	}
	r, err := a.Resolve(c.ctx, config, c)
	if err != nil {
		return err
	}
	known, reasons := map[string]bool{}, map[string]string{}
	for _, w := range list {
		known[w.Path] = true
	}
	for _, d := range r.Drops {
		known[d.Path] = true
	}
	for _, t := range r.Targets {
		if t.Make != nil {
			t.Make.Sources(func(path string) { reasons[path] = "becomes part of " + t.Path })
		}
	}
	for _, g := range r.Gaps {
		if g.Status == arch.Extra {
			reasons[g.Have.Path] = g.Reason
		}
	}
	c.each(true, func(t tensor.Info) bool {
		if !known[t.Path] && q.matches(t.Path) {
			reason := cmp.Or(reasons[t.Path], "meant for a tensor that lacks its other parts")
			e.found = append(e.found, arch.Gap{Status: arch.Extra, Want: arch.Want{Path: t.Path}, Have: &t, Reason: reason})
		}
		return true
	})
	return nil
}

// names reports that the pattern names something of a layout, of either where the
// checkpoint is mixed.
func (q *Question) names(ctx context.Context, a *arch.Arch, config *arch.Config, layout string) (bool, error) {
	if q.matchesAll() {
		return true, nil
	}
	for _, l := range []string{arch.HF, a.Layout} {
		if l != layout && layout != mixed {
			continue
		}
		list, err := expectedNames(ctx, a, config, l)
		if err != nil {
			return false, err
		}
		if slices.ContainsFunc(list, func(e expectedName) bool { return slices.ContainsFunc(q.Patterns, e.named) }) {
			return true, nil
		}
	}
	return false, nil
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

// wholeOf adds what the registry knows of a tensor beyond what arch looks at.
func (c *modelView) wholeOf(t *tensor.Info) *tensor.Info {
	if t == nil {
		return nil
	}
	if whole, ok := c.whole(t.Path); ok {
		return &whole
	}
	return t
}
