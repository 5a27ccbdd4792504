package query

import (
	"math"
	"slices"
	"strings"

	"wreg/registry/arch"
	"wreg/registry/expr"
	"wreg/registry/tensor"
)

// The words that against takes beside models.
const (
	againstSpec   = "spec"
	againstLayers = "layers"
)

// parsed is a parsed question: its verb, what it is asked of, and what is to be
// done with the rows.
type parsed struct {
	text     string
	verb     string
	patterns []*tensor.Pattern
	models   []string
	against  string // "", "spec", "layers" or a model
	layout   string // of as; "" when not given
	spec
}

// limits of a query's parts.
const (
	maxPatterns = 64
	maxClauses  = 16
)

// parse reads a query. Errors are *expr.SyntaxError: line, caret, and what was
// expected or is nearest.
func parse(text string) (*parsed, error) {
	s, err := parseSentence(text)
	if err != nil {
		return nil, err
	}
	q := &parsed{text: text, verb: strings.ToLower(s.Verb), spec: spec{limit: -1}}
	start := s.Pos
	if !slices.Contains(verbNames(), q.verb) {
		return nil, expr.ErrorAt(text, start, "unknown verb %q%s", s.Verb, didYouMean(q.verb, verbNames()))
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
		q.patterns = append(q.patterns, pattern)
	}
	clauses, err := q.sort(s.Clauses)
	if err != nil {
		return nil, err
	}
	return q, q.resolve(clauses)
}

// sort puts the clauses into one, refusing a second of a kind.
func (q *parsed) sort(list []*clause) (all clause, err error) {
	if len(list) > maxClauses {
		return all, expr.ErrorAt(q.text, list[maxClauses].Pos, "more than %d clauses", maxClauses)
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
			return all, expr.ErrorAt(q.text, c.Pos, "a second %s", name)
		}
		if q.verb == Find && (c.Against != nil || c.As != nil) {
			return all, expr.ErrorAt(q.text, c.Pos, "%s goes with missing, extra, changed and gaps, not with find", name)
		}
	}
	return all, nil
}

// resolve compiles the clauses.
func (q *parsed) resolve(c clause) (err error) {
	for _, w := range c.In {
		q.models = append(q.models, w.text())
	}
	if c.Against != nil {
		q.against = c.Against.text()
	}
	if c.As != nil {
		layouts := []string{arch.HF, arch.MLX}
		if q.layout = c.As.text(); !slices.Contains(layouts, q.layout) {
			return expr.ErrorAt(q.text, c.As.Pos, "unknown layout %q%s", q.layout, didYouMean(q.layout, layouts))
		}
		if q.against != "" && q.against != againstSpec {
			return expr.ErrorAt(q.text, c.As.Pos, "as chooses a layout of the architecture: it goes with against spec, not with against %s", q.against)
		}
	}
	if c.Limit != nil {
		v, _ := expr.ParseNumber(c.Limit.Number)
		n, ok := v.Int()
		if !ok || n < 0 || n > math.MaxInt32 {
			return expr.ErrorAt(q.text, c.Limit.Pos, "limit wants an integer from 0 to %d", math.MaxInt32)
		}
		q.limit = int(n)
	}
	r := &resolver{text: q.text, gaps: q.verb != Find}
	if c.Where != nil {
		if q.where, err = r.condition(c.Where, "where"); err != nil {
			return err
		}
	}
	return q.resolveOutput(c, r)
}

// resolveOutput compiles what follows where: in a query with group by or an
// aggregate, names there mean the groups.
func (q *parsed) resolveOutput(c clause, r *resolver) (err error) {
	q.grouping = c.Group != nil || c.Having != nil || mentionsAggregate(c, q.text)
	for _, g := range c.Group {
		tree, err := treeOf(g.Value, q.text)
		if err != nil {
			return err
		}
		key, err := r.compile(tree)
		if err != nil {
			return err
		}
		r.keys, r.keyTexts = append(r.keys, key), append(r.keyTexts, tree.String())
		if c.Select == nil {
			q.spec.outputs = append(q.spec.outputs, output{g.text(q.text), &node{op: opSlot, slot: len(r.keys) - 1, kind: key.kind, text: key.text}})
		}
	}
	r.grouped = q.grouping
	switch {
	case c.Select != nil && c.Select.All && q.grouping:
		return expr.ErrorAt(q.text, c.Select.Pos, "select * lists tensors; with group by, name the keys and aggregates")
	case c.Select != nil && c.Select.All:
		for i := range columns {
			if !column(i).ofGaps() || q.verb != Find {
				q.spec.outputs = append(q.spec.outputs, columnOutput(column(i)))
			}
		}
	case c.Select != nil:
		for _, i := range c.Select.Items {
			value, err := r.expression(i.Value)
			if err != nil {
				return err
			}
			name := i.text(q.text)
			if slices.ContainsFunc(q.spec.outputs, func(o output) bool { return o.name == name }) {
				return expr.ErrorAt(q.text, i.Pos, "%s is selected twice", name)
			}
			q.spec.outputs = append(q.spec.outputs, output{name, value})
		}
	case q.grouping:
		n, err := r.aggregate(&expr.Node{Op: expr.OpCall, Text: "count"})
		if err != nil {
			return err
		}
		q.spec.outputs = append(q.spec.outputs, output{"count()", n})
	}
	if c.Having != nil {
		if q.having, err = r.condition(c.Having, "having"); err != nil {
			return err
		}
	}
	for _, o := range c.Order {
		value, err := r.expression(o.Value)
		if err != nil {
			return err
		}
		q.order = append(q.order, ordering{value, o.Direction == "desc"})
	}
	q.keys, q.sums = r.keys, r.aggregates
	return nil
}

// mentionsAggregate reports whether select or order by compute over rows.
func mentionsAggregate(c clause, text string) bool {
	var look func(e *expr.Node) bool
	look = func(e *expr.Node) bool {
		return e != nil && (e.Op == expr.OpCall && slices.Contains(aggregateNames, e.Text) || slices.ContainsFunc(e.Args, look))
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
