package text

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"
)

// drawing is lines with one cell for each layer, or for several where they are more than
// fit.
type drawing struct {
	o     Options
	width int
	lines []string
	label int    // columns of the names
	room  int    // columns of the cells
	tail  int    // columns of what follows them
	fold  int    // layers in a cell
	noun  string // what a cell is; "": a layer
	ruled string
}

const leastLabel = 12 // columns of a name without which numbers say nothing

// mark is a cell.
type mark struct {
	text   string
	colour text.Color // 0: none
}

func (d *drawing) add(line string) { d.lines = append(d.lines, strings.TrimRight(line, " ")) }

func (d *drawing) prose(s string) {
	for _, l := range Break(s, d.width, 2) {
		d.add(l)
	}
}

// each paints every word of s, so that lines may end between them.
func (o Options) each(s string, c text.Color) string {
	list := strings.Split(s, " ")
	for i := range list {
		list[i] = o.paint(list[i], c)
	}
	return strings.Join(list, " ")
}

// title is the first line: what it is about, and more of that; where one line does not hold
// both, the rest has lines of its own.
func (d *drawing) title(name string, about []string) {
	rest := strings.Join(about, " · ")
	if rest != "" && Width(name)+2+Width(rest) <= d.width {
		d.add(d.o.paint(name, bold) + "  " + rest)
		return
	}
	for _, l := range Break(name, d.width, 2) {
		d.add(d.o.paint(l, bold))
	}
	margin := strings.Repeat(" ", min(2, d.width/8))
	for _, l := range Break(rest, d.width-len(margin), 0) {
		d.add(margin + l)
	}
}

// columns lays out lines: a name, a cell for each of the layers, and so many columns more.
func (d *drawing) columns(title string, names []string, layers []int64, tail int) {
	d.label = Width(title)
	for _, n := range names {
		d.label = max(d.label, Width(n))
	}
	d.tail = tail
	if len(layers) > d.width-d.label-2-d.tail {
		d.label = max(d.label, len("128 a column"))
	}
	least := min(leastColumn, len(layers))
	if d.width-tail-2-least < leastLabel { // the drawing before the numbers
		d.tail = 0
	}
	d.label = max(1, min(d.label, d.width/2, d.width-d.tail-2-least))
	most := max(1, min(maxColumns, d.width-d.label-2-d.tail))
	d.fold = max(1, (len(layers)+most-1)/most)
	d.room = (len(layers) + d.fold - 1) / d.fold
	line, ends := []byte{}, max(d.room, 1)
	if d.tail == 0 { // nothing follows
		ends = d.width - d.label - 2
	}
	for i := 0; i < len(layers); i += d.fold {
		at := i / d.fold
		number := strconv.FormatInt(layers[i], 10)
		if at%10 == 0 && (len(line) == 0 || len(line) < at) && at+len(number) <= ends {
			line = append(append(line, strings.Repeat(" ", at-len(line))...), number...)
		}
	}
	if d.fold > 1 {
		if title = strconv.Itoa(d.fold) + " " + cmp.Or(d.noun, "layer") + "s a column"; Width(title) > d.label {
			title = strconv.Itoa(d.fold) + " a column"
		}
	}
	d.ruled = pad(Middle(title, d.label), d.label) + "  " + string(line)
}

// header numbers the layers and names what follows them.
func (d *drawing) header(tail string) {
	if d.tail == 0 {
		tail = ""
	}
	d.add(d.o.paint(strings.TrimRight(pad(d.ruled, d.label+2+d.room)+tail, " "), faint))
}

// cells draws one line; of the notes the first that fits is put behind it, else the first
// below it.
func (d *drawing) cells(name string, line []mark, tail string, notes []string) {
	var b strings.Builder
	b.WriteString(pad(Middle(name, d.label), d.label) + "  ")
	for i := 0; i < len(line); { // equal colours at once
		j := i
		run := ""
		for ; j < len(line) && line[j].colour == line[i].colour; j++ {
			run += line[j].text
		}
		if line[i].colour != 0 {
			run = d.o.paint(run, line[i].colour)
		}
		b.WriteString(run)
		i = j
	}
	b.WriteString(strings.Repeat(" ", max(0, d.room-len(line))))
	wide := d.label + 2 + d.room
	if d.tail > 0 {
		b.WriteString(tail)
		wide += Width(tail)
	}
	for _, note := range notes {
		if wide+2+Width(note) <= d.width {
			d.add(b.String() + "  " + note)
			return
		}
	}
	d.add(b.String())
	if len(notes) > 0 {
		indent := min(d.label+2, d.width/2)
		for _, l := range Break("↑"+strings.TrimPrefix(notes[0], "←"), d.width-indent, 2) {
			d.add(strings.Repeat(" ", indent) + l)
		}
	}
}

// more says how many were left out.
func (d *drawing) more(n int, noun string) {
	if n > 0 {
		d.prose("… " + count(int64(n), "more "+noun) + "; --json has them")
	}
}

// remarkable are at most most of the rows, in their order: those worth a remark first.
func remarkable[T any](rows []T, most int, worth func(T) bool) (kept []T, left int) {
	if len(rows) <= most {
		return rows, 0
	}
	room := most
	for _, r := range rows {
		if worth(r) {
			room--
		}
	}
	for _, r := range rows {
		if len(kept) == most {
			break
		}
		switch {
		case worth(r):
			kept = append(kept, r)
		case room > 0:
			room--
			kept = append(kept, r)
		}
	}
	return kept, len(rows) - len(kept)
}
