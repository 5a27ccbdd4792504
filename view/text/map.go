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
	d := &mapped{drawing: &drawing{o: o, width: o.width(), noun: m.By}, Map: m, seen: map[int]bool{}}
	d.head()
	if m.Note != "" {
		d.prose(words.Line(m.Note))
		return d.lines
	}
	var holes []view.Row
	var whole, outside []string
	for _, r := range m.Rows {
		switch {
		case r.Outside != nil && markOf(r.Outside) < allThere, gapsOf(r.Cells) > 0:
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
	*drawing
	*view.Map
	seen map[int]bool // marks that were drawn
}

func (d *mapped) head() {
	about := []string{words.Inert(d.Arch), "layout " + words.Inert(d.Layout)}
	if d.Layer != nil {
		about = append(about, fmt.Sprintf("layer %d", *d.Layer))
	}
	if n := len(d.Layers); n > 0 {
		about = append(about, count(int64(n), d.By))
	}
	d.title(words.Inert(d.Ref), about)
}

// rows draws the components that have gaps.
func (d *mapped) rows(holes []view.Row) {
	if len(holes) == 0 {
		return
	}
	more := max(0, len(holes)-maxRows)
	holes = holes[:len(holes)-more]
	var names []string
	for _, r := range holes {
		names = append(names, words.Inert(r.Component))
	}
	d.columns(d.By, names, d.Layers, 0)
	if len(d.Layers) > 0 {
		d.header("")
	}
	for i, r := range holes {
		d.row(names[i], r)
	}
	d.more(more, "component")
}

// row draws one component, and says where its gaps are.
func (d *mapped) row(name string, r view.Row) {
	if r.Outside != nil && len(r.Cells) == 0 {
		r.Cells = []view.Cell{*r.Outside}
	}
	var line []mark
	for i := 0; i < len(r.Cells); i += d.fold {
		worst := len(marks)
		for k := i; k < min(i+d.fold, len(r.Cells)); k++ {
			worst = min(worst, markOf(&r.Cells[k]))
		}
		if worst == len(marks) {
			line = append(line, mark{" ", 0})
			continue
		}
		d.seen[worst] = true
		line = append(line, mark{marks[worst].mark, marks[worst].colour})
	}
	where := d.where(r)
	d.cells(name, line, "", []string{"← " + where + ": " + d.what(r), "← " + where})
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

func gapsOf(cells []view.Cell) (n int64) {
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
