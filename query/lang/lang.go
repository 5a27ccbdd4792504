// Package lang is the language of queries: it turns text into a [Query] with names
// resolved and types checked.
//
// Most users need [Parse]. Text becomes a query in three steps: the lexer splits it
// into tokens and recognizes the words that begin a clause (lexer.go), a participle
// grammar arranges them (grammar.go), and the resolver compiles the expressions into
// [rows.Node] trees: it finds the columns and functions that names refer to, checks
// types, and turns aggregates into slots of the groups (resolve.go, compare.go,
// call.go). The expressions themselves are those of [wreg/registry/expr].
//
// To add a verb, add a row to verbs; to add a function, add it to expr and a row to
// functions; a column is added in [rows].
//
// Invariants:
//   - Every error is an [expr.SyntaxError] with line and column.
//   - Size, nesting and the number of parts of a query are bounded before they are
//     worked on.
//   - A word that begins a clause is a clause only where no expression or pattern can
//     go on: in is both a clause and an operator.
//   - Parsing needs no registry: whether a model exists is found out when the query
//     runs.
package lang

import (
	"math"
	"slices"
	"strings"

	"wreg/query/rows"
	"wreg/registry/arch"
	"wreg/registry/expr"
	"wreg/registry/tensor"
)

// The words that against takes besides models.
const (
	AgainstSpec   = "spec"
	AgainstLayers = "layers"
)

// Query is a parsed question: its verb, what it is asked of, and what is to be
// done with the rows.
type Query struct {
	Text     string
	Verb     string
	Patterns []*tensor.Pattern
	Models   []string
	Against  string // "", "spec", "layers" or a model
	Layout   string // of as; "" when not given
	rows.Spec
}

// limits of a query's parts.
const (
	maxPatterns = 64
	maxClauses  = 16
)

// Parse reads a query. Errors are *expr.SyntaxError: line, caret, and what was
// expected, is nearest, or is written instead.
func Parse(text string) (*Query, error) {
	text = strings.TrimRight(text, "; \t\r\n") // as SQL ends
	q, err := parse(text)
	if err != nil {
		return nil, instead(text, err)
	}
	return q, nil
}

func parse(text string) (*Query, error) {
	s, err := parseSentence(text)
	if err != nil {
		return nil, err
	}
	q := &Query{Text: text, Verb: strings.ToLower(s.Verb), Spec: rows.Spec{Limit: -1}}
	start := s.Pos
	if !slices.Contains(VerbNames(), q.Verb) {
		return nil, expr.ErrorAt(text, start, "unknown verb %q%s", s.Verb, didYouMean(q.Verb, VerbNames()))
	}
	if len(s.Patterns) > maxPatterns {
		return nil, expr.ErrorAt(text, s.Patterns[maxPatterns].Pos, "more than %d patterns", maxPatterns)
	}
	for _, w := range s.Patterns {
		pattern, err := tensor.ParsePattern(w.text())
		if err != nil {
			at := w.Pos
			if e, ok := err.(*tensor.PatternError); ok {
				at.Column, at.Offset = at.Column+e.Offset, at.Offset+e.Offset
			}
			return nil, expr.ErrorAt(text, at, "%v", err)
		}
		q.Patterns = append(q.Patterns, pattern)
	}
	clauses, err := q.sort(s.Clauses)
	if err != nil {
		return nil, err
	}
	return q, q.resolve(clauses)
}

// sort puts the clauses into one, refusing a second of a kind.
func (q *Query) sort(list []*clause) (all clause, err error) {
	if len(list) > maxClauses {
		return all, expr.ErrorAt(q.Text, list[maxClauses].Pos, "more than %d clauses", maxClauses)
	}
	for _, c := range list {
		name, twice := "", false
		switch {
		case c.In != nil:
			name, twice, all.In = "in", all.In != nil, c.In
		case c.Against != nil:
			name, twice, all.Against = "against", all.Against != nil, c.Against
		case c.As != nil:
			name, twice, all.As = "as", all.As != nil, c.As
		case c.Where != nil:
			name, twice, all.Where = "where", all.Where != nil, c.Where
		case c.Select != nil:
			name, twice, all.Select = "select", all.Select != nil, c.Select
		case c.Group != nil:
			name, twice, all.Group = "group by", all.Group != nil, c.Group
		case c.Having != nil:
			name, twice, all.Having = "having", all.Having != nil, c.Having
		case c.Order != nil:
			name, twice, all.Order = "order by", all.Order != nil, c.Order
		case c.Limit != nil:
			name, twice, all.Limit = "limit", all.Limit != nil, c.Limit
		}
		if twice {
			return all, expr.ErrorAt(q.Text, c.Pos, "%s is given twice", name)
		}
		if q.Verb == Find && (c.Against != nil || c.As != nil) {
			return all, expr.ErrorAt(q.Text, c.Pos, "%s belongs to missing, extra, changed and gaps; find does not take it", name)
		}
	}
	return all, nil
}

// resolve compiles the clauses.
func (q *Query) resolve(c clause) (err error) {
	for _, w := range c.In {
		q.Models = append(q.Models, w.text())
	}
	if c.Against != nil {
		q.Against = c.Against.text()
	}
	if c.As != nil {
		if q.Layout = c.As.text(); !slices.Contains(arch.Layouts, q.Layout) {
			return expr.ErrorAt(q.Text, c.As.Pos, "unknown layout %q%s", q.Layout, didYouMean(q.Layout, arch.Layouts))
		}
		if q.Against != "" && q.Against != AgainstSpec {
			return expr.ErrorAt(q.Text, c.As.Pos, "as selects a layout of the architecture; it cannot be combined with against %s", q.Against)
		}
	}
	if c.Limit != nil {
		v, _ := expr.ParseNumber(c.Limit.Number)
		n, ok := v.Int()
		if !ok || n < 0 || n > math.MaxInt32 {
			return expr.ErrorAt(q.Text, c.Limit.Pos, "limit must be an integer from 0 to %d", math.MaxInt32)
		}
		q.Limit = int(n)
	}
	r := &resolver{text: q.Text, gaps: q.Verb != Find}
	if c.Where != nil {
		if q.Where, err = r.condition(c.Where, "where"); err != nil {
			return err
		}
	}
	return q.resolveOutput(c, r)
}

// resolveOutput compiles what follows where: in a query with group by or an
// aggregate, names there mean the groups.
func (q *Query) resolveOutput(c clause, r *resolver) (err error) {
	q.Grouping = c.Group != nil || c.Having != nil || mentionsAggregate(c, q.Text)
	for _, g := range c.Group {
		tree, err := treeOf(g.Value, q.Text)
		if err != nil {
			return err
		}
		key, err := r.compile(tree)
		if err != nil {
			return err
		}
		r.keys, r.keyTexts = append(r.keys, key), append(r.keyTexts, tree.String())
		if c.Select == nil {
			q.Outputs = append(q.Outputs, rows.Output{Name: g.text(q.Text), Value: &rows.Node{Op: rows.OpSlot, Slot: len(r.keys) - 1, Kind: key.Kind, Text: key.Text}})
		}
	}
	r.grouped = q.Grouping
	switch {
	case c.Select != nil && c.Select.All && q.Grouping:
		return expr.ErrorAt(q.Text, c.Select.Pos, "select * lists tensors; with group by, name the keys and aggregates")
	case c.Select != nil && c.Select.All:
		for _, name := range rows.ColumnNames(r.gaps) {
			column, _ := rows.ColumnNamed(name)
			q.Outputs = append(q.Outputs, rows.OutputOf(column))
		}
	case c.Select != nil:
		for _, i := range c.Select.Items {
			value, err := r.expression(i.Value)
			if err != nil {
				return err
			}
			name := i.text(q.Text)
			if slices.ContainsFunc(q.Outputs, func(o rows.Output) bool { return o.Name == name }) {
				return expr.ErrorAt(q.Text, i.Pos, "%s is selected twice", name)
			}
			q.Outputs = append(q.Outputs, rows.Output{Name: name, Value: value})
		}
	case q.Grouping:
		n, err := r.aggregate(&expr.Node{Op: expr.OpCall, Text: "count"})
		if err != nil {
			return err
		}
		q.Outputs = append(q.Outputs, rows.Output{Name: "count()", Value: n})
	}
	if c.Having != nil {
		if q.Having, err = r.condition(c.Having, "having"); err != nil {
			return err
		}
	}
	for _, o := range c.Order {
		value, err := r.expression(o.Value)
		if err != nil {
			return err
		}
		q.Order = append(q.Order, rows.Ordering{Value: value, Descending: o.Direction == "desc"})
	}
	q.Keys, q.Sums = r.keys, r.aggregates
	return nil
}

// mentionsAggregate reports whether select or order by compute over rows.
func mentionsAggregate(c clause, text string) bool {
	var look func(e *expr.Node) bool
	look = func(e *expr.Node) bool {
		return e != nil && (e.Op == expr.OpCall && slices.Contains(rows.AggregateNames, e.Text) || slices.ContainsFunc(e.Args, look))
	}
	mentions := func(e *expr.Expr) bool {
		tree, err := treeOf(e, text)
		return err == nil && look(tree)
	}
	return c.Select != nil && slices.ContainsFunc(c.Select.Items, func(i *item) bool { return mentions(i.Value) }) ||
		slices.ContainsFunc(c.Order, func(o *ordered) bool { return mentions(o.Value) })
}

// text is the word without its quotes.
func (w *word) text() string {
	t := w.Text
	if len(t) >= 2 && (t[0] == '"' || t[0] == '\'') && t[len(t)-1] == t[0] {
		return strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\'`, `'`).Replace(t[1 : len(t)-1])
	}
	return t
}

// text is the item as it was written.
func (i *item) text(query string) string {
	return strings.TrimSpace(query[i.Pos.Offset:max(i.Pos.Offset, min(i.EndPos.Offset, len(query)))])
}
