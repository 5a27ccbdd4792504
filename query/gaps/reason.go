package gaps

import (
	"slices"

	"wreg/registry/arch"
	"wreg/registry/tensor"
)

// explainMissing fills in reasons that the expectation did not know: an absent
// expert is told from a lost tensor.
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
