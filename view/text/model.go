package text

import (
	"fmt"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"

	"wreg/registry/tensor"
	"wreg/view"
	"wreg/view/words"
)

const (
	shownGaps     = 2 // lines of gaps, each with its reason
	mostNext      = 4 // lines of commands to type
	mostReason    = 2 // lines of a reason; of the second gap, one where findings follow
	shownFindings = 2
	labelWidth    = 9 // missing, and two columns
	mostParts     = 5
	widestBar     = 28
	leastBar      = 8
)

// Model draws a model at a glance: what it is, how large, what of, whether it is whole,
// what an export would be, what to type next, where it came from.
func Model(m *view.Model, o Options) []string {
	d := &summary{drawing{o: o, width: o.width()}}
	d.title(m)
	d.facts(m)
	d.bars("dtype", m.DTypes, m.Bytes)
	d.bars("parts", m.Components, m.Bytes)
	d.verdict(m)
	d.findings(m)
	if m.Verdict.Export != "" {
		d.labelled("export", 0, "--target mlx: "+words.Line(m.Verdict.Export), 2)
	}
	for next := m.Verdict.Next; len(next) > 0; next = next[:len(next)-1] { // rather none than one that is cut: they are typed
		if s := words.Line(strings.Join(next, " · ")); len(Break(s, max(1, d.width-labelWidth), 0)) <= mostNext {
			d.labelled("next", 0, s, mostNext)
			break
		}
	}
	if m.Source != "" {
		d.labelled("made of", 0, words.Inert(m.Source), 1)
	}
	d.labelled("from", 0, words.Inert(m.Root), 1)
	d.labelled("", 0, fmt.Sprintf("%s, %singested %s by %s", count(int64(m.Files), "file"), proven(m), m.Created.Local().Format("2006-01-02 15:04"), words.Inert(m.Tool)), 1)
	return d.lines
}

// proven says that the files were held against their digests.
func proven(m *view.Model) string {
	switch m.Trust {
	case tensor.TrustVerified.String():
		return "verified, "
	case tensor.TrustInherited.String():
		return "known by their digests, "
	}
	return ""
}

// summary is a model while it is drawn.
type summary struct{ drawing }

// labelled adds text behind a label, in a colour unless that is 0, on at most most lines:
// of one that is cut the beginning and the end are there.
func (d *summary) labelled(label string, c text.Color, s string, most int) {
	room := max(1, d.width-labelWidth)
	lines := Break(s, room, 0)
	if len(lines) > most {
		lines = lines[: most-1 : most-1]
		for _, l := range lines {
			s = strings.TrimLeft(strings.TrimPrefix(strings.TrimLeft(s, " "), l), " ")
		}
		lines = append(lines, Middle(s, room))
	}
	for i, l := range lines {
		lead := pad("", labelWidth)
		if i == 0 {
			lead = pad(label, labelWidth)
			if c != 0 {
				lead = d.o.paint(label, c) + pad("", labelWidth-Width(label))
			}
		}
		d.add(lead + l)
	}
}

// parted adds parts with dots between them, a line ending at a dot.
func (d *summary) parted(parts []string) {
	line := ""
	for _, p := range parts {
		switch {
		case line == "":
			line = p
		case Width(line)+3+Width(p) > d.width:
			d.add(Middle(line, d.width))
			line = p
		default:
			line += " · " + p
		}
	}
	if line != "" {
		d.add(Middle(line, d.width))
	}
}

// title is the name, what it is, and at the end of the line whether it is whole.
func (d *summary) title(m *view.Model) {
	state, colour := stateOf(m)
	ref := strings.TrimSpace(words.Inert(m.Ref))
	var what []string
	if m.Arch != "" {
		what = append(what, words.Inert(m.Arch))
	}
	if m.Layout != "" {
		what = append(what, words.Inert(m.Layout)+" layout")
	}
	if len(m.DTypes) > 0 {
		what = append(what, words.Inert(m.DTypes[0].Name))
	}
	line := ref + "  " + strings.Join(what, " · ")
	if gap := d.width - Width(line) - Width(state); gap >= 2 {
		if d.o.Width <= 0 {
			gap = 2
		}
		d.add(d.o.paint(ref, bold) + line[len(ref):] + strings.Repeat(" ", gap) + d.o.paint(state, colour))
		return
	}
	d.add(d.o.paint(Middle(ref, d.width), bold))
	d.add(d.o.paint(Middle(state, d.width), colour))
	d.parted(what)
}

func stateOf(m *view.Model) (string, text.Color) {
	faults := ""
	if n := m.Verdict.Findings; n > 0 {
		faults = ", " + count(int64(n), "finding")
	}
	switch m.Verdict.State {
	case view.Whole:
		if faults != "" {
			return "WHOLE" + faults, yellow
		}
		return "WHOLE", green
	case view.Gapped:
		return strings.ToUpper(count(m.Verdict.Gaps, "gap")) + faults, red
	}
	return "NOT CHECKED" + faults, yellow
}

// facts are what can be counted.
func (d *summary) facts(m *view.Model) {
	parts := []string{
		fmt.Sprintf("%s parameters in %s", words.Params(m.Params), count(m.Tensors, "tensor")),
		fmt.Sprintf("%s in %s", words.Size(m.Bytes), count(int64(m.Shards), "shard")),
	}
	if m.Layers > 0 {
		parts = append(parts, count(m.Layers, "layer"))
	}
	if m.Experts > 0 {
		parts = append(parts, count(m.Experts, "expert"))
	}
	d.parted(parts)
	parts = nil
	if m.Bits > 0 {
		parts = append(parts, fmt.Sprintf("%.3g bits a parameter", m.Bits))
	}
	if q := m.Quantized; q != nil {
		parts = append(parts, fmt.Sprintf("at 4 bits %s (%.3g bits)", words.Size(q.Bytes), q.Bits))
	}
	switch x := m.Values; {
	case x == nil && m.Trust == tensor.TrustHeader.String():
		parts = append(parts, "values not known: never read")
	case x == nil:
		parts = append(parts, "values not looked at")
	default:
		parts = append(parts, fmt.Sprintf("NaN %s", words.Number(x.NaNs)), fmt.Sprintf("Inf %s", words.Number(x.Infs)))
		if x.AbsMaxAt != "" {
			parts = append(parts, fmt.Sprintf("absmax %.4g", x.AbsMax))
		}
		if x.Zero > 0 {
			parts = append(parts, count(x.Zero, "tensor")+" all zero")
		}
		if x.Tensors < m.Tensors {
			parts = append(parts, fmt.Sprintf("values of %s of %s", words.Number(x.Tensors), count(m.Tensors, "tensor")))
		}
	}
	d.parted(parts)
}

// eighths are bars of less than a column.
var eighths = []string{"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"}

// bar is a bar of a share of columns.
func bar(share float64, columns int) string {
	n := int(share*float64(columns)*8 + 0.5)
	if n == 0 && share > 0 {
		n = 1
	}
	return strings.Repeat("█", n/8) + eighths[n%8]
}

// bars shows what the bytes are of, the largest parts first.
func (d *summary) bars(label string, shares []view.Share, total int64) {
	if total <= 0 || len(shares) == 0 {
		return
	}
	room := d.width - labelWidth
	n := min(len(shares), mostParts)
	for n > 1 && partsWidth(shares, n)+leastBar > room {
		n--
	}
	columns := max(1, min(widestBar, room-partsWidth(shares, n)))
	line := ""
	for i, s := range shares[:n] {
		if i > 0 {
			line += "   "
		}
		share := float64(s.Bytes) / float64(total)
		line += words.Inert(s.Name) + " " + bar(share, columns) + " " + words.Rounded(share)
	}
	if n < len(shares) {
		line += fmt.Sprintf("   +%d", len(shares)-n)
	}
	d.add(pad(label, labelWidth) + Middle(line, max(3, room)))
}

// partsWidth is what n parts take beside the columns that their bars share.
func partsWidth(shares []view.Share, n int) (width int) {
	for _, s := range shares[:n] {
		width += Width(words.Inert(s.Name)) + len(" ") + 1 + len(" >99 %") + len("   ") // a bar may end within a column
	}
	if n < len(shares) {
		width += len("+") + len(words.Number(int64(len(shares))))
	}
	return width
}

// colourOf is the colour of a gap.
func colourOf(status string) text.Color {
	for _, m := range marks {
		if m.means == status {
			return m.colour
		}
	}
	return 0
}

// verdict lists the first gaps, or why there is no verdict.
func (d *summary) verdict(m *view.Model) {
	v := &m.Verdict
	if m.Problem != "" {
		d.labelled("problem", yellow, words.Line(m.Problem), 3)
	}
	for i, g := range v.Lines {
		if i == shownGaps && len(v.Lines) > shownGaps {
			d.labelled("", 0, fmt.Sprintf("… %s of gaps", count(int64(len(v.Lines)-i), "more line")), 1)
			break
		}
		path := words.Inert(g.Path)
		d.labelled(g.Status, colourOf(g.Status), Middle(path, max(3, d.width-labelWidth)), 1)
		why := g.Reason
		if g.Remedy != "" {
			why += "; " + g.Remedy
		}
		most := mostReason
		if len(m.Findings) > 0 {
			most = max(1, mostReason-i)
		}
		d.labelled("", 0, words.Line(why), most)
	}
}

// findings lists what ingest found, faults first.
func (d *summary) findings(m *view.Model) {
	shown := 0
	for _, note := range []bool{false, true} {
		for _, f := range m.Findings {
			if f.Note != note {
				continue
			}
			if shown++; shown > shownFindings {
				continue
			}
			label := "finding"
			if note {
				label = "note"
			}
			d.labelled(label, map[bool]text.Color{false: yellow}[note], words.Line(f.Rule+": "+f.Message), 1)
		}
	}
	if shown > shownFindings {
		d.labelled("", 0, fmt.Sprintf("… %s; --all lists them", words.Number(int64(shown-shownFindings))+" more"), 1)
	}
}
