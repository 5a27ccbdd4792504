package text

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"

	"wreg/view"
	"wreg/view/words"
)

const (
	maxColumns  = 200 // cells in a line
	maxRows     = 40  // rows with gaps that are drawn
	leastColumn = 10  // cells that a line has room for, whatever its label
	leastNames  = 24  // columns that are worth beginning a list of names in
)

// marks are what a cell shows, the worst first.
var marks = []struct {
	mark   string
	means  string
	colour text.Color
	has    func(c *view.Cell) bool
}{
	{"X", "missing", red, func(c *view.Cell) bool { return c.Missing > 0 }},
	{"~", "changed", yellow, func(c *view.Cell) bool { return c.Changed > 0 }},
	{"+", "extra", cyan, func(c *view.Cell) bool { return c.Extra > 0 }},
	{"·", "all there", faint, func(c *view.Cell) bool { return c.Expected > 0 || c.Tensors > 0 }},
}

const allThere = 3 // the mark of a cell without gaps; beyond it there is nothing

func markOf(c *view.Cell) int {
	for i := range marks {
		if marks[i].has(c) {
			return i
		}
	}
	return len(marks)
}

// Map draws the map of a model: a line for each component with gaps, a cell for each
// layer, or for two, four and so on where they are more than fit; what is whole on one
// line; what it comes to; what the marks mean.
func Map(m *view.Map, o Options) []string {
	d := &mapped{Map: m, o: o, width: o.width(), seen: map[int]bool{}}
	d.head()
	if m.Note != "" {
		d.prose(words.Line(m.Note))
		return d.lines
	}
	var holes []view.Row
	var whole, outside []string
	for _, r := range m.Rows {
		switch {
		case r.Outside != nil && markOf(r.Outside) < allThere, gaps(r.Cells) > 0:
			holes = append(holes, r)
		case len(r.Cells) > 0:
			whole = append(whole, words.Inert(r.Component))
		default:
			outside = append(outside, words.Inert(r.Component))
		}
	}
	d.rows(holes)
	d.whole(whole, "")
	if m.By == view.ByLayer {
		d.whole(outside, " outside the "+m.By+"s")
	}
	d.total()
	return d.lines
}

// mapped is a map while it is drawn.
type mapped struct {
	*view.Map
	o     Options
	width int
	lines []string
	seen  map[int]bool // marks that were drawn
	label int          // columns of the names
	fold  int          // columns of the map in one of the drawing
}

func (d *mapped) add(line string) { d.lines = append(d.lines, strings.TrimRight(line, " ")) }

func (d *mapped) prose(s string) {
	for _, l := range Break(s, d.width, 2) {
		d.add(l)
	}
}

func (d *mapped) head() {
	parts := []string{words.Inert(d.Ref), words.Inert(d.Arch), "layout " + words.Inert(d.Layout)}
	what := d.By
	if d.Layer != nil {
		parts = append(parts, fmt.Sprintf("layer %d", *d.Layer))
	}
	if n := len(d.Layers); n > 0 {
		parts = append(parts, count(int64(n), what))
	}
	head := parts[0]
	if len(parts) > 1 {
		head += "  " + strings.Join(parts[1:], " · ")
	}
	for i, l := range Break(head, d.width, 2) {
		if i == 0 && strings.HasPrefix(l, parts[0]) {
			l = d.o.paint(parts[0], bold) + l[len(parts[0]):]
		}
		d.add(l)
	}
}

// rows draws the components that have gaps.
func (d *mapped) rows(holes []view.Row) {
	if len(holes) == 0 {
		return
	}
	more := max(0, len(holes)-maxRows)
	holes = holes[:len(holes)-more]
	for _, r := range holes {
		d.label = max(d.label, Width(words.Inert(r.Component)))
	}
	if len(d.Layers) > d.width-d.label-2 { // the title is longer
		d.label = max(d.label, len("128 a column"))
	}
	d.label = max(1, min(d.label, d.width/2, d.width-2-leastColumn))
	room := min(maxColumns, d.width-d.label-2)
	for d.fold = 1; (len(d.Layers)+d.fold-1)/d.fold > room; d.fold *= 2 {
	}
	if len(d.Layers) > 0 {
		d.ruler()
	}
	for _, r := range holes {
		d.row(r)
	}
	if more > 0 {
		d.prose(fmt.Sprintf("… %s with gaps; --json has them", count(int64(more), "more component")))
	}
}

// ruler numbers the columns: at every tenth, as far as the numbers have room.
func (d *mapped) ruler() {
	line := []byte{}
	for i := 0; i < len(d.Layers); i += d.fold {
		at := i / d.fold
		number := strconv.FormatInt(d.Layers[i], 10)
		if at%10 == 0 && (len(line) == 0 || len(line) < at) && d.label+2+at+len(number) <= d.width {
			line = append(append(line, strings.Repeat(" ", at-len(line))...), number...)
		}
	}
	title := d.By
	if d.fold > 1 {
		if title = fmt.Sprintf("%d %ss a column", d.fold, d.By); Width(title) > d.label {
			title = fmt.Sprintf("%d a column", d.fold)
		}
	}
	d.add(d.o.paint(pad(Middle(title, d.label), d.label)+"  "+string(line), faint))
}

// row draws one component, and says where its gaps are.
func (d *mapped) row(r view.Row) {
	var line strings.Builder
	line.WriteString(pad(Middle(words.Inert(r.Component), d.label), d.label) + "  ")
	wide := d.label + 2
	if r.Outside != nil && len(r.Cells) == 0 {
		r.Cells = []view.Cell{*r.Outside}
	}
	run, last := 0, len(marks) // equal marks get one colour
	flush := func() {
		if last < len(marks) {
			d.seen[last] = true
			line.WriteString(d.o.paint(strings.Repeat(marks[last].mark, run), marks[last].colour))
		} else {
			line.WriteString(strings.Repeat(" ", run))
		}
		run = 0
	}
	for i := 0; i < len(r.Cells); i += max(d.fold, 1) {
		worst := len(marks)
		for k := i; k < min(i+max(d.fold, 1), len(r.Cells)); k++ {
			worst = min(worst, markOf(&r.Cells[k]))
		}
		if worst != last {
			flush()
			last = worst
		}
		run++
		wide++
	}
	flush()
	where, what := d.where(r), d.what(r)
	for _, note := range []string{"  ← " + where + ": " + what, "  ← " + where} {
		if wide+Width(note) <= d.width {
			d.add(line.String() + note)
			return
		}
	}
	d.add(line.String())
	indent := min(d.label+2, d.width/2)
	for _, l := range Break("↑ "+where+": "+what, d.width-indent, 2) {
		d.add(strings.Repeat(" ", indent) + l)
	}
}

// where lists the columns that have gaps: layer 3, layers 3–5, 9.
func (d *mapped) where(r view.Row) string {
	if r.Outside != nil {
		return "outside the layers"
	}
	var runs []string
	n, first, last := 0, "", ""
	for i := 0; i < len(r.Cells); i++ {
		if markOf(&r.Cells[i]) >= allThere {
			continue
		}
		end := i
		for end+1 < len(r.Cells) && markOf(&r.Cells[end+1]) < allThere && d.Layers[end+1] == d.Layers[end]+1 {
			end++
		}
		run := strconv.FormatInt(d.Layers[i], 10)
		last = strconv.FormatInt(d.Layers[end], 10)
		if first == "" {
			first = run
		}
		if end > i {
			run += "–" + last
		}
		n += end - i + 1
		runs = append(runs, run)
		i = end
	}
	const most = 4
	if len(runs) > most {
		return fmt.Sprintf("%d %ss from %s to %s", n, d.By, first, last)
	}
	if n == 1 {
		return d.By + " " + runs[0]
	}
	return d.By + "s " + strings.Join(runs, ", ")
}

// what counts the gaps of a component.
func (d *mapped) what(r view.Row) string {
	var sum view.Cell
	for i := range r.Cells {
		if c := &r.Cells[i]; markOf(c) < allThere {
			sum.Expected, sum.Missing, sum.Changed, sum.Extra = sum.Expected+c.Expected, sum.Missing+c.Missing, sum.Changed+c.Changed, sum.Extra+c.Extra
		}
	}
	return counts(&sum, true)
}

// counts says what a cell lacks.
func counts(c *view.Cell, of bool) string {
	var parts []string
	if c.Missing > 0 {
		s := words.Number(c.Missing)
		if of {
			s += " of " + words.Number(c.Expected)
		}
		parts = append(parts, s+" missing")
	}
	if c.Changed > 0 {
		parts = append(parts, words.Number(c.Changed)+" changed")
	}
	if c.Extra > 0 {
		parts = append(parts, words.Number(c.Extra)+" extra")
	}
	return strings.Join(parts, ", ")
}

func gaps(cells []view.Cell) (n int64) {
	for _, c := range cells {
		n += c.Missing + c.Changed + c.Extra
	}
	return n
}

// whole names the components that have no gaps.
func (d *mapped) whole(names []string, where string) {
	if len(names) == 0 {
		return
	}
	lead := fmt.Sprintf("%s%s: all there", count(int64(len(names)), "component"), where)
	rest := d.width - Width(lead) - 3
	if rest < leastNames {
		rest = d.width - 5 // of the next line
	}
	d.prose(lead + " (" + list(names, rest) + ")")
}

// total says what it comes to, and what the marks mean.
func (d *mapped) total() {
	t := &d.Total
	line := fmt.Sprintf("%s of %s present", words.Number(t.Expected-t.Missing), count(t.Expected, "tensor"))
	if c := counts(t, false); c != "" {
		line += "; " + c
	} else {
		line = fmt.Sprintf("all %s present", count(t.Expected, "tensor"))
	}
	d.prose(line)
	legend, plain := "", ""
	for i := range marks {
		if d.seen[i] {
			legend += "  " + d.o.paint(marks[i].mark, marks[i].colour) + " " + marks[i].means
			plain += "  " + marks[i].mark + " " + marks[i].means
		}
	}
	if plain != "" && Width(plain)-2 <= d.width {
		d.add(legend[2:])
	}
}

// count is a number and its noun.
func count(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return words.Number(n) + " " + noun + "s"
}
