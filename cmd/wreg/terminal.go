package main

import (
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/term"

	"wreg/registry/arch"
)

// terminalWidth is how many columns the terminal w has; 0 when w is none, or does not say.
func terminalWidth(w any) int {
	f, ok := w.(*os.File)
	if !ok || !isTerminal(w) {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}

// colourful says that what is written to w may have colours.
func colourful(w any) bool {
	return isTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// columnsOf is how many columns of a terminal s takes.
func columnsOf(s string) int { return text.StringWidthWithoutEscSequences(s) }

// breakLine breaks s between words so that no line takes more than width columns, the lines
// after the first indented. What is in single quotes is typed as it is, and stays whole
// where a line can hold it; a word that no line can hold is cut, a path behind a segment.
func breakLine(s string, width, indent int) []string {
	if width <= 0 || columnsOf(s) <= width {
		return []string{s}
	}
	if indent > width/2 {
		indent = 0
	}
	var lines []string
	line, margin := "", ""
	end := func() {
		lines = append(lines, margin+line)
		line, margin = "", strings.Repeat(" ", indent)
	}
	for _, w := range wordsOf(s, width-indent) {
		if line != "" && columnsOf(margin)+columnsOf(line)+1+columnsOf(w) > width {
			end()
		}
		if line != "" {
			line += " "
		}
		line += w
		for columnsOf(margin)+columnsOf(line) > width {
			rest := line
			line = head(line, width-columnsOf(margin))
			if at := strings.LastIndexAny(line, "./") + 1; at > len(line)/2 {
				line = line[:at]
			}
			rest = rest[len(line):]
			end()
			line = rest
		}
	}
	if line != "" {
		end()
	}
	return lines
}

// wordsOf splits s at spaces, but for quoted words that take at most most columns.
func wordsOf(s string, most int) (words []string) {
	for s = strings.TrimLeft(s, " "); s != ""; s = strings.TrimLeft(s, " ") {
		n := strings.IndexByte(s+" ", ' ')
		if quote := strings.IndexByte(s[:n], '\''); quote == 0 || quote > 0 && s[quote-1] == '(' {
			if end := strings.IndexByte(s[quote+1:], '\''); end >= 0 {
				end += quote + 1
				end += strings.IndexByte(s[end:]+" ", ' ')
				if columnsOf(s[:end]) <= most {
					n = end
				}
			}
		}
		words = append(words, s[:n])
		s = s[n:]
	}
	return words
}

// head is the beginning of s that takes at most width columns, one character at least.
func head(s string, width int) string {
	at := 0
	for room := width; at < len(s); {
		r, n := utf8.DecodeRuneInString(s[at:])
		if room -= text.RuneWidth(r); room < 0 && at > 0 {
			break
		}
		at += n
	}
	return s[:at]
}

// middle takes out of s what does not fit width columns; its end says more than its
// beginning.
func middle(s string, width int) string {
	if columnsOf(s) <= width || width < 3 {
		return s
	}
	end := tail(s, (width+1)*3/5) // has the ellipsis
	return head(s, width-columnsOf(end)) + end
}

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
		if least <= width {
			break
		}
		at := -1
		for len(spare) > 0 && at < 0 {
			at, spare = slices.Index(g.names, spare[0]), spare[1:]
		}
		if at < 0 {
			return gone, false
		}
		gone = append(gone, g.names[at])
		g.drop(at)
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
// its middle, unless two names would then look the same.
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
		if alike || strings.Contains(row[i], " ") {
			lines[r] = breakLine(row[i], g.widths[i], 0)
		}
	}
	return lines
}
