package main

import (
	"os"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/term"

	"wreg/registry/arch"
	viewtext "wreg/view/text"
)

// terminalWidth is how many columns the terminal w has; 0 when w is none, or does not say.
func terminalWidth(w any) int {
	f := fileOf(w)
	if f == nil || !isTerminal(w) {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}

// keys makes the terminal hand over every key, ^C among them, until restore.
func (a *app) keys() (restore func(), err error) {
	fd := int(fileOf(a.in).Fd())
	was, err := term.MakeRaw(fd)
	return func() { term.Restore(fd, was) }, err
}

// colourful says that what is written to w may have colours.
func colourful(w any) bool {
	return isTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

func columnsOf(s string) int { return viewtext.Width(s) }

func breakLine(s string, width, indent int) []string { return viewtext.Break(s, width, indent) }

func middle(s string, width int) string { return viewtext.Middle(s, width) }

func tail(s string, width int) string { return viewtext.Tail(s, width) }

// colours are what statuses and results are shown in.
var colours = map[string]text.Color{
	"pass": text.FgGreen, "fail": text.FgRed, "error": text.FgRed,
	arch.Missing: text.FgRed, arch.Changed: text.FgYellow, arch.Extra: text.FgCyan,
}

// paint gives s the colour of what it says, whatever is around the word.
func paint(s string) string {
	if c, ok := colours[strings.TrimSpace(s)]; ok {
		return c.EscapeSeq() + s + text.EscapeReset
	}
	return s
}

const (
	gutter    = 2  // columns between two columns
	leastText = 16 // columns that a text is not shortened below

	linesOfPath = 3 // lines that a path may take before it is cut
)

// grid is a table of texts on its way to a terminal.
type grid struct {
	names  []string
	cells  [][]string
	right  []bool // aligned right, and never shortened
	widths []int
}

// gridOf is a report as people read it.
func gridOf(rep *report, terminal bool) *grid {
	g := &grid{}
	for _, r := range rep.rows {
		g.cells = append(g.cells, peopleCells(rep.columns, r, terminal))
	}
	for i, c := range rep.columns {
		g.names, g.right = append(g.names, escape(c)), append(g.right, numeric(rep.rows, i))
		width := columnsOf(g.names[i])
		for _, r := range g.cells {
			width = max(width, columnsOf(r[i]))
		}
		g.widths = append(g.widths, width)
	}
	return g
}

// width is what a line of the table takes.
func (g *grid) width() int {
	n := gutter * (len(g.widths) - 1)
	for _, w := range g.widths {
		n += w
	}
	return n
}

// least is how narrow column i may become.
func (g *grid) least(i int) int {
	if g.right[i] {
		return g.widths[i]
	}
	return min(g.widths[i], max(leastText, columnsOf(g.names[i])))
}

// drop takes column i out.
func (g *grid) drop(i int) {
	g.names, g.right, g.widths = slices.Delete(g.names, i, i+1), slices.Delete(g.right, i, i+1), slices.Delete(g.widths, i, i+1)
	for r := range g.cells {
		g.cells[r] = slices.Delete(g.cells[r], i, i+1)
	}
}

// fit makes lines of at most width columns: empty columns and such as can be spared go, the
// widest texts become narrower. It says which columns went, and whether it is narrow enough.
func (g *grid) fit(width int, spare []string) (gone []string, ok bool) {
	for i := len(g.names) - 1; i >= 0 && len(g.names) > 1; i-- {
		if !slices.ContainsFunc(g.cells, func(r []string) bool { return r[i] != "" }) {
			g.drop(i)
		}
	}
	for {
		least := gutter * (len(g.widths) - 1)
		for i := range g.widths {
			least += g.least(i)
		}
		for len(spare) > 0 && !slices.Contains(g.names, spare[0]) {
			spare = spare[1:]
		}
		if len(spare) > 0 { // rather without it than with names that are hard to tell apart
			least += max(0, min(g.widths[0], width/3)-g.least(0))
		}
		if least <= width {
			break
		}
		if len(spare) == 0 {
			return gone, false
		}
		gone = append(gone, spare[0])
		g.drop(slices.Index(g.names, spare[0]))
	}
	for g.width() > width {
		widest := -1
		for i, w := range g.widths {
			if w > g.least(i) && (widest < 0 || w > g.widths[widest]) {
				widest = i
			}
		}
		g.widths[widest]--
	}
	return gone, true
}

// broken are the lines of column i's cells: prose is broken between words, a name loses
// its middle, unless two names would then look the same. A path is what was asked for: it
// is broken behind a segment as long as that takes few lines.
func (g *grid) broken(i int) [][]string {
	lines := make([][]string, len(g.cells))
	full := map[string]string{}
	alike := false
	for r, row := range g.cells {
		short := middle(row[i], g.widths[i])
		if was, ok := full[short]; ok && was != row[i] {
			alike = true
		}
		full[short] = row[i]
		lines[r] = []string{short}
	}
	for r, row := range g.cells {
		whole := breakLine(row[i], g.widths[i], 0)
		if alike || strings.Contains(row[i], " ") || g.names[i] == "path" && len(whole) <= linesOfPath {
			lines[r] = whole
		}
	}
	return lines
}
