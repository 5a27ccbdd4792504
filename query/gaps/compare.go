package gaps

import (
	"cmp"
	"slices"
	"strings"

	"wreg/registry/arch"
	"wreg/registry/tensor"
)

// compare lists the gaps of the statuses that the verb asks for.
func (q *Question) compare(c *modelView, e *expectation) []arch.Gap {
	side := e.side(c)
	if e.found != nil {
		lost(e.found)
		sortGaps(e.found)
		return e.found
	}
	var gaps []arch.Gap
	wanted := make(map[string]*want, len(e.wants))
	for i := range e.wants {
		if i%lookEvery == 0 && c.ctx.Err() != nil {
			c.fail(c.ctx.Err())
			return nil // the caller looks at c.err
		}
		w := &e.wants[i]
		wanted[w.Path] = w
		if !q.asks(arch.Missing) && !q.asks(arch.Changed) || !q.matches(w.Path) {
			continue
		}
		have, ok := side.whole(w.Path)
		switch f := e.foreign[w.Path]; {
		case f != nil:
			if q.asks(arch.Changed) {
				gaps = append(gaps, arch.Gap{Status: arch.Changed, Want: w.Want, Have: c.wholeOf(f.Have), Reason: f.Reason, Remedy: f.Remedy, Method: f.Method})
			}
		case !ok && !w.Optional && q.asks(arch.Missing):
			gaps = append(gaps, arch.Gap{Status: arch.Missing, Want: w.Want, Reason: w.reason, Remedy: w.remedy})
		case ok && q.asks(arch.Changed):
			if g := changed(w, have); g != nil {
				gaps = append(gaps, *g)
			}
		}
	}
	explainMissing(gaps, e)
	findSwapped(e, wanted, gaps)
	if q.asks(arch.Extra) {
		side.each(true, func(t tensor.Info) bool {
			if wanted[t.Path] != nil || !q.matches(t.Path) {
				return true
			}
			if why := e.whyExtra(t.Path); why != "" {
				gaps = append(gaps, arch.Gap{Status: arch.Extra, Want: arch.Want{Path: t.Path}, Have: &t, Reason: why})
			}
			return true
		})
	}
	sortGaps(gaps)
	return gaps
}

// sortGaps orders gaps by template, then by their numbers.
func sortGaps(gaps []arch.Gap) {
	type key struct {
		template string
		index    []int64
		at       int
	}
	keys := make([]key, len(gaps))
	for i := range gaps {
		template, index := tensor.SplitPath(gaps[i].Path)
		keys[i] = key{template, index, i}
	}
	slices.SortFunc(keys, func(a, b key) int {
		return cmp.Or(strings.Compare(a.template, b.template), slices.Compare(a.index, b.index), cmp.Compare(a.at, b.at))
	})
	sorted := make([]arch.Gap, len(gaps))
	for i, k := range keys {
		sorted[i] = gaps[k.at]
	}
	copy(gaps, sorted)
}

// explainMissing fills in reasons that the expectation did not know: an absent
// expert is distinguished from a lost tensor.
func explainMissing(gaps []arch.Gap, e *expectation) {
	experts := map[string]int64{}
	for i := range e.wants {
		template, index := tensor.SplitPath(e.wants[i].Path)
		if k := slices.Index(tensor.Placeholders(template), "expert"); k >= 0 {
			group := expertGroup(template, index, k)
			experts[group] = max(experts[group], index[k]+1)
		}
	}
	for i := range gaps {
		g := &gaps[i]
		if g.Status != arch.Missing || g.Reason != "" {
			continue
		}
		g.Reason = arch.Absent(g.Path, 0, 0)
		template, index := tensor.SplitPath(g.Path)
		if k := slices.Index(tensor.Placeholders(template), "expert"); k >= 0 {
			g.Reason = arch.Absent(g.Path, index[k], experts[expertGroup(template, index, k)])
		}
	}
	lost(gaps)
}

// lost says of missing tensors that nothing is known to make them.
func lost(gaps []arch.Gap) {
	for i := range gaps {
		if g := &gaps[i]; g.Status == arch.Missing && g.Remedy == "" {
			g.Remedy = arch.Lost
		}
	}
}

// expertGroup names all experts of one layer and projection.
func expertGroup(template string, index []int64, expert int) string {
	rest := slices.Clone(index)
	rest[expert] = -1
	return tensor.JoinPath(template, rest)
}
