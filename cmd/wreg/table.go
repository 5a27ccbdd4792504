package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"wreg/registry/tensor"
)

// printTable writes aligned columns for people, and each row's remark under it. On a
// terminal no line is wider than that; elsewhere lines are as wide as their cells.
func (a *app) printTable(rep *report) error {
	width, colours := terminalWidth(a.out), colourful(a.out)
	g := gridOf(rep, width > 0)
	if width > 0 && g.width() > width {
		gone, ok := g.fit(width, rep.spare)
		if !ok {
			return a.printRecords(rep, width)
		}
		if len(gone) > 0 {
			a.say("%d columns are too narrow for %s; --json shows all", width, strings.Join(gone, ", "))
		}
	}
	columns := make([][][]string, len(g.names))
	for i := range columns {
		columns[i] = g.broken(i)
	}
	if err := g.line(a.out, g.names, colours, true); err != nil {
		return err
	}
	cells := make([]string, len(g.names))
	for r := range rep.rows {
		for k, more := 0, true; more; k++ {
			more = false
			for i := range cells {
				cells[i] = ""
				if k < len(columns[i][r]) {
					cells[i] = columns[i][r][k]
				}
				more = more || k+1 < len(columns[i][r])
			}
			if err := g.line(a.out, cells, colours, false); err != nil {
				return err
			}
		}
		if err := a.printRemark(rep, r, width, "    "); err != nil {
			return err
		}
	}
	return nil
}

// printRemark writes what is said of a row.
func (a *app) printRemark(rep *report, row, width int, indent string) error {
	if rep.remarks == nil {
		return nil
	}
	for _, l := range breakLine(rep.remarks[row], width-len(indent), 2) {
		if _, err := fmt.Fprintln(a.out, indent+l); err != nil {
			return err
		}
	}
	return nil
}

// line writes one line of a table.
func (g *grid) line(w io.Writer, cells []string, colours, bold bool) error {
	var b strings.Builder
	last := len(cells) - 1
	for last > 0 && cells[last] == "" {
		last--
	}
	for i, c := range cells[:last+1] {
		if i > 0 {
			b.WriteString(strings.Repeat(" ", gutter))
		}
		gap := strings.Repeat(" ", max(0, g.widths[i]-columnsOf(c)))
		if colours && !bold {
			c = paint(c)
		}
		switch {
		case g.right[i]:
			b.WriteString(gap + c)
		case i == last:
			b.WriteString(c)
		default:
			b.WriteString(c + gap)
		}
	}
	s := strings.TrimRight(b.String(), " ")
	if colours && bold {
		s = text.Bold.EscapeSeq() + s + text.EscapeReset
	}
	_, err := fmt.Fprintln(w, s)
	return err
}

// printRecords writes a table that no terminal of this width holds: a line for each cell,
// and an empty one between rows.
func (a *app) printRecords(rep *report, width int) error {
	g, name := gridOf(rep, true), 0
	for _, n := range g.names {
		name = max(name, columnsOf(n))
	}
	name = min(name, width/3)
	for r, row := range g.cells {
		if r > 0 {
			fmt.Fprintln(a.out)
		}
		for i, c := range row {
			if c == "" {
				continue
			}
			label := middle(g.names[i], name)
			label += strings.Repeat(" ", name-columnsOf(label))
			for k, l := range breakLine(c, max(1, width-name-gutter), 0) {
				if k > 0 {
					label = strings.Repeat(" ", name)
				}
				if colourful(a.out) {
					l = paint(l)
				}
				fmt.Fprintln(a.out, strings.TrimRight(label+strings.Repeat(" ", gutter)+l, " "))
			}
		}
		if err := a.printRemark(rep, r, width, ""); err != nil {
			return err
		}
	}
	return nil
}

// sizes are the columns that hold numbers of bytes.
var sizes = []string{"bytes", "size", "sum(bytes)", "min(bytes)", "max(bytes)"}

// shortNumber is a fraction with as many digits as a table shows; data have all.
func shortNumber(f float64) string { return strconv.FormatFloat(f, 'g', 6, 64) }

// peopleCells are the cells of a row as people read them: fractions are short; on a
// terminal sizes have units, and a hash begins.
func peopleCells(columns []string, row []any, terminal bool) []string {
	cells := make([]string, len(row))
	for i, v := range row {
		cells[i] = cell(v)
		if f, ok := v.(float64); ok {
			cells[i] = shortNumber(f)
		}
		if !terminal {
			continue
		}
		switch v := v.(type) {
		case int64:
			if slices.Contains(sizes, columns[i]) {
				cells[i] = size(v)
			}
		case tensor.Hash:
			cells[i] = shortHash(cells[i])
		}
	}
	return cells
}

// shortHash is enough of a hash to tell it from others.
func shortHash(s string) string {
	const digits = 12
	if at := strings.IndexByte(s, ':') + 1; len(s) > at+digits {
		return s[at:][:digits]
	}
	return s
}

// printMarkdown writes a table in Markdown.
func printMarkdown(w io.Writer, rep *report) error {
	t := table.NewWriter()
	style := table.StyleDefault
	style.Format.Header = text.FormatDefault
	t.SetStyle(style)
	header := make(table.Row, len(rep.columns))
	configs := make([]table.ColumnConfig, len(rep.columns))
	for i, c := range rep.columns {
		header[i] = escape(c)
		configs[i].Number = i + 1
		if numeric(rep.rows, i) {
			configs[i].Align, configs[i].AlignHeader = text.AlignRight, text.AlignRight
		}
	}
	t.AppendHeader(header)
	for _, r := range rep.rows {
		row := make(table.Row, len(r))
		for i, v := range r {
			row[i] = plainMarkdown(cell(v))
			if f, ok := v.(float64); ok {
				row[i] = shortNumber(f)
			}
		}
		t.AppendRow(row)
	}
	t.SetColumnConfigs(configs)
	_, err := fmt.Fprintln(w, t.RenderMarkdown())
	return err
}

// plainMarkdown makes text stand for itself: names neither become markup nor lose
// a character to it. go-pretty sees to the bars of a table.
func plainMarkdown(s string) string {
	if !strings.ContainsAny(s, "\\`*_<&~]") {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; c {
		case '\\', '`', '*', '<', '&', '~':
			b.WriteByte('\\')
		case '_': // within a word it is not markup
			if i == 0 || i+1 == len(s) || !wordByte(s[i-1]) || !wordByte(s[i+1]) {
				b.WriteByte('\\')
			}
		case ']':
			if i+1 < len(s) && s[i+1] == '(' { // a link
				b.WriteByte('\\')
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func wordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// numeric says that column i holds only numbers, so that it is aligned right.
func numeric(rows [][]any, i int) bool {
	some := false
	for _, r := range rows {
		switch r[i].(type) {
		case nil:
		case int, int64, float64:
			some = true
		default:
			return false
		}
	}
	return some
}
