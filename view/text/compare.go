package text

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"

	"wreg/view"
	"wreg/view/words"
)

// How a tensor differs, as a mark.
const (
	markMissing    = "X"
	markExtra      = "+"
	markChanged    = "~"
	markUncompared = "?"
	markEqual      = "·"
)

// statusColours are those of the statuses of gaps.
var statusColours = map[string]text.Color{"missing": red, "changed": yellow, "extra": cyan}

const (
	shownLines = 12 // gaps with their reasons
	shownWorst = 3  // weights with the largest error
)

// Comparison draws how two models differ: what is missing, extra, changed; which layers of
// which modules; and, once it was measured, by how much.
func Comparison(c *view.Comparison, o Options) []string {
	d := &comparison{drawing: &drawing{o: o, width: o.width()}, Comparison: c, seen: map[string]bool{}}
	about := []string{counted(c.Changed, "changed"), counted(c.Missing, "missing"), counted(c.Extra, "extra"), counted(c.Equal, "equal")}
	if c.Uncompared > 0 {
		about = append(about, counted(c.Uncompared, "not compared"))
	}
	if c.Arch != "" {
		about = append(about, words.Inert(c.Arch))
	}
	if n := len(c.Layers); n > 0 {
		about = append(about, count(int64(n), "layer"))
	}
	d.title(words.Inert(c.A)+" → "+words.Inert(c.B), about)
	d.parts()
	d.gaps()
	d.totals()
	return d.lines
}

func counted(n int64, what string) string { return words.Number(n) + " " + what }

// comparison is a view.Comparison while it is drawn.
type comparison struct {
	*drawing
	*view.Comparison
	low, high float64 // of the scale of bars
	seen      map[string]bool
}

// row is one module, or several that look the same.
type row struct {
	lead  string
	names []string
	cells []mark
	tail  string
	notes []string
}

func (d *comparison) parts() {
	var inside, outside []view.Part
	var equal []string
	for _, p := range d.Parts {
		switch {
		case p.Total.Changed+p.Total.Missing+p.Total.Extra+p.Total.Uncompared == 0:
			equal = append(equal, words.Inert(p.Component))
		case p.Outside != nil:
			outside = append(outside, p)
		default:
			inside = append(inside, p)
		}
		for _, x := range p.Patches {
			d.scale(x)
		}
	}
	parts, more := remarkable(append(inside, outside...), maxRows, func(p view.Part) bool { return p.Total.Missing > 0 })
	if len(parts) > 0 {
		d.rows(parts)
		d.more(more, "component")
		d.legend()
	}
	if len(equal) > 0 {
		lead := "= equal: "
		d.prose(lead + list(braced(equal), max(leastNames, 2*d.width-Width(lead)-4)))
	}
}

// scale takes a patch's error in.
func (d *comparison) scale(x *view.Patch) {
	if r, ok := relative(x); ok && r > 0 {
		if d.low == 0 || r < d.low {
			d.low = r
		}
		d.high = max(d.high, r)
	}
}

func relative(x *view.Patch) (float64, bool) {
	if x == nil || x.Change == nil || x.Change.Relative == nil {
		return 0, false
	}
	return *x.Change.Relative, true
}

func (d *comparison) rows(parts []view.Part) {
	title, heads := "by layer", ""
	if d.Measured {
		title = "‖Δ‖/‖W‖ by layer (log)"
		columns := []string{"‖Δ‖/‖W‖", "max|Δ|", "changed"}
		if d.Quantized != nil {
			columns = append(columns, "bits")
		}
		heads = cells(columns...)
	}
	d.fold = 1
	names := make([]string, len(parts))
	for i, p := range parts {
		names[i] = "~ " + words.Inert(p.Component)
	}
	d.columns(title, names, d.Layers, Width(heads))
	var drawn []row
	for _, p := range parts {
		r := d.row(p)
		if n := len(drawn); n > 0 && len(r.notes) == 0 {
			if at := slices.IndexFunc(drawn, func(o row) bool {
				return o.lead == r.lead && o.tail == r.tail && slices.Equal(o.cells, r.cells) && len(o.notes) == 0
			}); at >= 0 {
				drawn[at].names = append(drawn[at].names, r.names...)
				continue
			}
		}
		drawn = append(drawn, r)
	}
	var lines []row // names together where they have room
	names = names[:0]
	for _, r := range drawn {
		for _, list := range [][]string{{strings.Join(braced(r.names), ", ")}, braced(r.names), r.names} {
			if most := slices.MaxFunc(list, func(a, b string) int { return Width(a) - Width(b) }); Width(most)+2 <= d.width/2 || len(list) == len(r.names) {
				for _, name := range list {
					one := r
					one.names = []string{r.lead + " " + name}
					lines, names = append(lines, one), append(names, one.names[0])
				}
				break
			}
		}
	}
	d.columns(title, names, d.Layers, Width(heads))
	d.header(heads)
	for _, r := range lines {
		d.cells(r.names[0], r.cells, r.tail, r.notes)
	}
}

// row draws one module; d.fold is known.
func (d *comparison) row(p view.Part) row {
	t := &p.Total
	r := row{lead: leadOf(t), names: []string{words.Inert(p.Component)}}
	patches := p.Patches
	if p.Outside != nil {
		patches = nil
	}
	for i := 0; i < len(patches); i += d.fold {
		r.cells = append(r.cells, d.cell(patches[i:min(i+d.fold, len(patches))]))
	}
	if d.Measured {
		var columns []string
		if c := t.Change; c != nil {
			columns = []string{percentOf(c.Relative), value(c.Max), share(c)}
		} else {
			columns = []string{"", "", ""}
		}
		if d.Quantized != nil {
			columns = append(columns, bitsOf(t.BitsB))
		}
		r.tail = cells(columns...)
		if c := t.Change; c != nil && c.NaNs+c.Infs > 0 {
			r.notes = []string{"← " + words.Number(c.NaNs) + " NaN, " + words.Number(c.Infs) + " infinite", "← NaN"}
		}
	}
	return r
}

func leadOf(t *view.Patch) string {
	switch {
	case t.Missing > 0:
		return markMissing
	case t.Changed > 0:
		return markChanged
	case t.Extra > 0:
		return markExtra
	}
	return markUncompared
}

// cell is the worst of some patches.
func (d *comparison) cell(patches []*view.Patch) mark {
	var sum view.Patch
	most, measured := 0.0, false
	for _, x := range patches {
		if x == nil {
			continue
		}
		sum.Missing, sum.Extra, sum.Changed, sum.Uncompared, sum.Equal = sum.Missing+x.Missing, sum.Extra+x.Extra, sum.Changed+x.Changed, sum.Uncompared+x.Uncompared, sum.Equal+x.Equal
		if x.Change != nil {
			r, ok := relative(x)
			if !ok {
				r = math.Inf(1)
			}
			most, measured = max(most, r), true
		}
	}
	m := mark{" ", 0}
	switch {
	case sum.Missing > 0:
		m = mark{markMissing, red}
	case sum.Changed > 0 && measured:
		return mark{d.bar(most), yellow}
	case sum.Changed > 0:
		m = mark{markChanged, yellow}
	case sum.Extra > 0:
		m = mark{markExtra, cyan}
	case sum.Uncompared > 0:
		m = mark{markUncompared, yellow}
	case sum.Equal > 0:
		m = mark{markEqual, faint}
	}
	d.seen[m.text] = true
	return m
}

// bar is the height of an error on the scale, which spans a factor of ten at least.
func (d *comparison) bar(x float64) string {
	if x <= 0 || d.low == 0 {
		return string(bars[0])
	}
	span := max(math.Log(d.high/d.low), math.Ln10)
	at := float64(len(bars)) * math.Log(x/d.low) / span
	return string(bars[int(max(0, min(at, float64(len(bars)-1))))])
}

func (d *comparison) legend() {
	var parts []string
	for _, m := range []struct{ text, means string }{{markMissing, "missing"}, {markExtra, "extra"}, {markChanged, "changed"}, {markUncompared, "not compared"}, {markEqual, "equal"}} {
		if d.seen[m.text] {
			parts = append(parts, m.text+" "+m.means)
		}
	}
	if len(parts) > 1 || d.Measured && len(parts) == 1 && !d.seen[markEqual] { // one alone is what the lines begin with
		d.prose(strings.Join(parts, "  "))
	}
}

// gaps lists what says more than that values differ.
func (d *comparison) gaps() {
	for i, l := range d.Lines {
		if i == shownLines {
			d.more(len(d.Lines)-i, "line")
			return
		}
		n := ""
		if l.Tensors > 1 {
			n = ", " + count(l.Tensors, "tensor")
		}
		d.prose(d.o.paint(l.Status, statusColours[l.Status]) + " " + words.Inert(l.Path) + n)
		why := words.Line(l.Reason)
		if l.Remedy != "" {
			why += "; " + words.Line(l.Remedy)
		}
		for _, s := range Break(why, d.width-4, 2) {
			if s != "" {
				d.add("    " + s)
			}
		}
	}
}

func (d *comparison) totals() {
	if !d.Measured {
		if d.Uncompared > 0 {
			d.prose(count(d.Uncompared, "tensor") + " not compared: quantized on one side only, cast, or without hashes")
		}
		if d.Bytes > 0 {
			d.prose(fmt.Sprintf("which, not how much: wreg diff %s %s --values reads %s of both", words.Inert(d.A), words.Inert(d.B), words.Size(d.Bytes)))
		}
		return
	}
	if t := d.Total; t != nil {
		at := ""
		if t.AtPath != "" {
			at = fmt.Sprintf(" in %s %v", words.Inert(t.AtPath), index(t.At))
		}
		d.prose(fmt.Sprintf("changed: ‖Δ‖/‖W‖ %s, max |Δ| %s%s, %s of the elements of %s", cmp.Or(percentOf(t.Relative), "–"), cmp.Or(value(t.Max), "–"), at, share(t), count(d.Changed, "tensor")))
		if t.NaNs+t.Infs > 0 {
			d.prose(fmt.Sprintf("norms leave out %s not a number and %s infinite on either side", counted(t.NaNs, "elements"), words.Number(t.Infs)))
		}
	}
	if q := d.Quantized; q != nil {
		error := ""
		if q.Change != nil {
			error = "error ‖Δ‖/‖W‖ " + cmp.Or(percentOf(q.Change.Relative), "–") + ", "
		}
		d.prose(fmt.Sprintf("quantized: %s, %s%s → %s bits a weight; of the whole model %s → %s",
			count(q.Changed+q.Equal+q.Uncompared, "weight"), error, bitsOf(q.BitsA), bitsOf(q.BitsB), bitsOf(d.BitsA), bitsOf(d.BitsB)))
	}
	d.worst()
	if d.Uncompared > 0 {
		d.prose(count(d.Uncompared, "tensor") + " not compared; --json says why")
	}
}

// worst names the tensors with the largest error.
func (d *comparison) worst() {
	var worst []view.Difference
	for _, t := range d.Tensors {
		if t.Change != nil && t.Change.Relative != nil && t.Change.Changed > 0 {
			worst = append(worst, t)
		}
	}
	if len(worst) < 2 {
		return
	}
	slices.SortStableFunc(worst, func(a, b view.Difference) int { return cmp.Compare(*b.Change.Relative, *a.Change.Relative) })
	var parts []string
	for _, t := range worst[:min(shownWorst, len(worst))] {
		parts = append(parts, words.Inert(t.Path)+" "+percentOf(t.Change.Relative))
	}
	lead := "most changed: "
	if d.Quantized != nil {
		lead = "largest errors: "
	}
	d.prose(lead + strings.Join(parts, ", "))
}

// index is where an element lies.
func index(at []int64) string {
	var parts []string
	for _, n := range at {
		parts = append(parts, fmt.Sprint(n))
	}
	return "[" + strings.Join(parts, ",") + "]"
}

// percentOf is a fraction with three digits.
func percentOf(x *float64) string {
	if x == nil {
		return ""
	}
	return words.Ratio(*x)
}

func value(x *float64) string {
	if x == nil {
		return ""
	}
	return number(*x)
}

// share is the part of the elements that changed.
func share(c *view.Change) string {
	return words.Percent(float64(c.Changed) / float64(max(c.Elements, 1)))
}

// bitsOf are the bits of a weight, nothing where there are none.
func bitsOf(x float64) string {
	if x == 0 {
		return ""
	}
	return fmt.Sprintf("%.4g", x)
}

// braced writes names that differ in one word once: self_attn.{k,o,q,v}_proj.
func braced(names []string) (out []string) {
	taken := make([]bool, len(names))
	for i, n := range names {
		if taken[i] {
			continue
		}
		before, end := around(n)
		if before == "" {
			out = append(out, n)
			continue
		}
		middles := []string{n[len(before) : len(n)-len(end)]}
		for j := i + 1; j < len(names); j++ {
			if b, e := around(names[j]); b == before && e == end && !taken[j] {
				taken[j] = true
				middles = append(middles, names[j][len(b):len(names[j])-len(e)])
			}
		}
		if len(middles) == 1 {
			out = append(out, n)
			continue
		}
		out = append(out, before+"{"+strings.Join(middles, ",")+"}"+end)
	}
	return out
}

// around is what a name begins and ends with on both sides of the word that is its own;
// nothing where it is one word.
func around(name string) (before, end string) {
	at := strings.LastIndexByte(name, '.') + 1
	if k := strings.LastIndexByte(name[at:], '_'); k > 0 {
		end = name[at+k:]
	}
	return name[:at], end
}
