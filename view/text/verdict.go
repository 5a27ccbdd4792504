package text

import (
	"fmt"
	"strings"

	"wreg/registry/tensor"
	"wreg/view"
	"wreg/view/words"
)

// toldGaps is how many lines of gaps an ingest ends with.
const toldGaps = 3

// Verdict is what an ingest ends with, a sentence a line: whether the model is whole, its
// first gaps, and what an export would be.
func Verdict(m *view.Model) (lines []string) {
	v := &m.Verdict
	needs := fmt.Sprintf("%s that %s needs are present (%s layout)%s", count(v.Expected, "tensor"), words.Line(m.Arch), words.Line(m.Layout), values(m))
	switch {
	case v.State == view.Whole:
		return []string{"whole: all " + needs, "export --target mlx: " + words.Line(v.Export)}
	case v.State == view.Unknown && m.Problem != "":
		return []string{"not checked: " + words.Line(m.Problem)}
	case v.State == view.Unknown:
		return nil
	}
	if note := v.Note; note != "" {
		return []string{words.Line(note)}
	}
	lines = []string{fmt.Sprintf("%s: %s of the %s", count(v.Gaps, "gap"), words.Number(v.Expected-v.Missing), needs)}
	for i, g := range v.Lines {
		if i == toldGaps {
			lines = append(lines, fmt.Sprintf("… %s of gaps", count(int64(len(v.Lines)-i), "more line")))
			break
		}
		line := words.Line(g.Status + " " + g.Path)
		if g.Tensors > 1 {
			line += fmt.Sprintf(" (%s)", words.Number(g.Tensors))
		}
		line += ": " + words.Line(g.Reason)
		if g.Remedy != "" {
			line += "; " + words.Line(g.Remedy)
		}
		lines = append(lines, line)
	}
	if len(v.Next) == 1 { // nothing can be asked of it yet
		return append(lines, "export refuses it; "+v.Next[0]+" registers it, to ask where")
	}
	return append(lines, "export refuses it; "+strings.Join(v.Next, " shows where, ")+" lists them all")
}

// values says whether there are numbers that are none.
func values(m *view.Model) string {
	x, of := m.Values, ""
	if x != nil && m.Trust == tensor.TrustHeader.String() {
		of = fmt.Sprintf(" in the %s of %s whose values are known", words.Number(x.Tensors), count(m.Tensors, "tensor"))
	}
	switch {
	case x == nil:
		return ""
	case x.NaNs+x.Infs > 0:
		return fmt.Sprintf("; %s NaN, %s infinite%s", words.Number(x.NaNs), words.Number(x.Infs), of)
	}
	return "; no NaN, no infinity" + of
}
