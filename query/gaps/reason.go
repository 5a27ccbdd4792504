package gaps

import (
	"fmt"
	"slices"

	"wreg/registry/arch"
	"wreg/registry/tensor"
)

// explainMissing fills in reasons that the expectation did not know: an absent
// expert is told from a lost tensor.
func explainMissing(gaps []arch.Gap, e *expectation, side present) {
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
		if g.Status != arch.Missing {
			continue
		}
		if g.Reason == "" {
			g.Reason = absence(g.Path, experts)
		}
		if g.Remedy == "" {
			g.Remedy = "lost: nothing in the checkpoint makes it"
		}
	}
}

// expertGroup names all experts of one layer and projection.
func expertGroup(template string, index []int64, expert int) string {
	rest := slices.Clone(index)
	rest[expert] = -1
	return tensor.JoinPath(template, rest)
}

// absence says what is absent: "expert 2 of 4 absent in layer 3".
func absence(path string, experts map[string]int64) string {
	template, index := tensor.SplitPath(path)
	names := tensor.Placeholders(template)
	layer, expert := slices.Index(names, "layer"), slices.Index(names, "expert")
	in := ""
	if layer >= 0 && layer < len(index) {
		in = fmt.Sprintf(" in layer %d", index[layer])
	}
	if expert >= 0 && expert < len(index) {
		return fmt.Sprintf("expert %d of %d absent%s", index[expert], experts[expertGroup(template, index, expert)], in)
	}
	return "absent" + in
}
