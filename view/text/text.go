// Package text draws what package view gathers for a terminal: the map of a model, a
// model at a glance. It also knows how wide text is, and where lines may end.
//
// Most users need [Map], [Model], [Width] and [Break].
//
// Invariants: no line is wider than the terminal or ends in a space, and none is empty;
// names are made inert before they are drawn; nothing is asked of a registry here.
package text

import (
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"

	"wreg/view/words"
)

// Options say what is drawn on.
type Options struct {
	Width   int  // columns of the terminal; 0: as wide as needed
	Colours bool // it shows colours
}

// unbounded is how wide a drawing is where no terminal bounds it.
const unbounded = 240

func (o Options) width() int {
	if o.Width <= 0 {
		return unbounded
	}
	return max(o.Width, 20)
}

// Colours of what is drawn.
const (
	red    = text.FgRed
	yellow = text.FgYellow
	cyan   = text.FgCyan
	green  = text.FgGreen
	faint  = text.Faint
	bold   = text.Bold
)

// paint gives s a colour where there are colours.
func (o Options) paint(s string, c text.Color) string {
	if !o.Colours || s == "" {
		return s
	}
	plain := strings.TrimRight(s, " ") // a line must not end in a space
	return c.EscapeSeq() + plain + text.EscapeReset + s[len(plain):]
}

// pad fills s up to width columns.
func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-Width(s)))
}

// list is names with commas, as many as fit into width columns.
func list(names []string, width int) string {
	for n := len(names); n > 0; n-- {
		s := strings.Join(names[:n], ", ")
		if n < len(names) {
			s += ", … " + words.Number(int64(len(names)-n)) + " more"
		}
		if Width(s) <= width {
			return s
		}
	}
	return Middle(strings.Join(names, ", "), width)
}
