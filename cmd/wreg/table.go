package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// printTable writes aligned columns for people, each row's remark under it, or
// Markdown.
func printTable(w io.Writer, rep *report, markdown bool) error {
	t := table.NewWriter()
	style := table.StyleDefault
	style.Options = table.OptionsNoBordersAndSeparators
	style.Format.Header = text.FormatDefault
	style.Box.PaddingLeft, style.Box.PaddingRight = "", "  "
	if isTerminal(w) && os.Getenv("NO_COLOR") == "" && !markdown {
		style.Color.Header = text.Colors{text.Bold}
	}
	t.SetStyle(style)
	header := make(table.Row, len(rep.columns))
	for i, c := range rep.columns {
		header[i] = escape(c)
	}
	t.AppendHeader(header)
	for _, r := range rep.rows {
		row := make(table.Row, len(r))
		for i, v := range r {
			row[i] = cell(v)
			if markdown {
				row[i] = plainMarkdown(cell(v))
			}
		}
		t.AppendRow(row)
	}
	configs := make([]table.ColumnConfig, len(rep.columns))
	for i := range configs {
		configs[i].Number = i + 1
		if numeric(rep.rows, i) {
			configs[i].Align, configs[i].AlignHeader = text.AlignRight, text.AlignRight
		}
	}
	t.SetColumnConfigs(configs)
	if markdown {
		_, err := fmt.Fprintln(w, t.RenderMarkdown())
		return err
	}
	// escape leaves no line break in a cell, so a row is a line after the header's.
	for i, line := range strings.Split(t.Render(), "\n") {
		line = strings.TrimRight(line, " ")
		if i > 0 && rep.remarks != nil {
			line += "\n    " + rep.remarks[i-1]
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
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
