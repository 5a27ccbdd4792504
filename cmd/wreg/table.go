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
