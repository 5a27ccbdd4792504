package query

import (
	"fmt"
	"strings"

	"wreg/query/rows"
	"wreg/registry/expr"
)

// literally says, of a query without an answer, what stands for itself in it and for
// something else in other languages.
func (q *Query) literally() (notes []string) {
	percent := func(pattern string) {
		if strings.Contains(pattern, "%") {
			notes = append(notes, fmt.Sprintf("%% in the pattern %s stands for itself; * matches any text in a segment, ** any number of segments", pattern))
		}
	}
	for _, p := range q.Patterns {
		percent(p.String())
	}
	var walk func(n *rows.Node)
	walk = func(n *rows.Node) {
		if n == nil {
			return
		}
		switch {
		case n.Op == rows.OpGlob:
			percent(n.Glob.String())
		case n.Op == rows.OpEqual:
			for _, a := range n.Args {
				if text, ok := a.Value.Text(); ok && a.Op == rows.OpConst && a.Kind == expr.StringKind && strings.ContainsAny(text, "*%") {
					notes = append(notes, fmt.Sprintf("= compares with the text %q as it stands; ~ matches a pattern, in which * is any text", text))
				}
			}
		}
		for _, a := range n.Args {
			walk(a)
		}
	}
	walk(q.Where)
	walk(q.Having)
	return notes
}
