// Package query answers questions about the tensors of a registry: what is there
// (find), what should be there and is not (missing), what should not be (extra),
// what is there but otherwise (changed), and all three at once (gaps).
//
//	missing mlp.switch_mlp.* where layer<64
//	find * group by hash select hash, count(), min(path) having count() > 1
//
// Most users need Parse, Query.Run and Result.Fold.
//
// Rules that bite: a pattern matches at any segment boundary and must reach the
// end of the path; an absent value makes a comparison false, so not (nans > 0)
// holds where no statistics were taken; a question about gaps for which there is
// no expectation is an error, never an empty answer; a Result owns its values and
// may outlive the Snapshot.
package query

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"wreg/registry/arch"
	"wreg/registry/expr"
	"wreg/registry/tensor"
)

// The verbs.
const (
	Find    = "find"
	Missing = "missing"
	Extra   = "extra"
	Changed = "changed"
	Gaps    = "gaps"
)

var verbs = []struct{ name, about string }{
	{Find, "the tensors that are there"},
	{Missing, "those that should be there and are not"},
	{Extra, "those that are there and should not be"},
	{Changed, "those that are there with another shape, dtype or other bytes"},
	{Gaps, "missing, extra and changed"},
}

func verbNames() (names []string) {
	for _, v := range verbs {
		names = append(names, v.name)
	}
	return names
}

// Query is a parsed question. It may be run many times, also concurrently.
type Query struct {
	text     string
	verb     string
	patterns []*tensor.Pattern
	models   []string
	against  string // "", "spec", "layers" or a model
	layout   string // of as; "" when not given
	where    *node
	grouping bool
	keys     []*node
	sums     []*aggregate
	selects  []output
	having   *node
	order    []ordering
	limit    int // -1: none
}

// output is one column of the answer.
type output struct {
	name  string
	value *node
}

type ordering struct {
	value      *node
	descending bool
}

// Options of Run. The zero value works where the registry holds one model.
type Options struct {
	Model string     // the model asked about where the query has no in
	Arch  *arch.Arch // used instead of the one that config.json's model_type names
}

// limits of a query's parts.
const (
	maxPatterns = 64
	maxClauses  = 16
)

// Parse reads a query. Errors are *expr.SyntaxError: line, caret, and what was
// expected or is nearest.
func Parse(text string) (*Query, error) {
	s, err := parseSentence(text)
	if err != nil {
		return nil, err
	}
	q := &Query{text: text, verb: strings.ToLower(s.Verb), limit: -1}
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
func (q *Query) sort(list []*clause) (all clause, err error) {
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
func (q *Query) resolve(c clause) (err error) {
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
func (q *Query) resolveOutput(c clause, r *resolver) (err error) {
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
			q.selects = append(q.selects, output{g.text(q.text), &node{op: opSlot, slot: len(r.keys) - 1, kind: key.kind, text: key.text}})
		}
	}
	r.grouped = q.grouping
	switch {
	case c.Select != nil && c.Select.All && q.grouping:
		return expr.ErrorAt(q.text, c.Select.Pos, "select * lists tensors; with group by, name the keys and aggregates")
	case c.Select != nil && c.Select.All:
		for i := range columns {
			if !column(i).ofGaps() || q.verb != Find {
				q.selects = append(q.selects, columnOutput(column(i)))
			}
		}
	case c.Select != nil:
		for _, i := range c.Select.Items {
			value, err := r.expression(i.Value)
			if err != nil {
				return err
			}
			name := i.text(q.text)
			if slices.ContainsFunc(q.selects, func(o output) bool { return o.name == name }) {
				return expr.ErrorAt(q.text, i.Pos, "%s is selected twice", name)
			}
			q.selects = append(q.selects, output{name, value})
		}
	case q.grouping:
		n, err := r.aggregate(&expr.Node{Op: expr.OpCall, Text: "count"})
		if err != nil {
			return err
		}
		q.selects = append(q.selects, output{"count()", n})
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

func columnOutput(c column) output {
	return output{c.String(), &node{op: opColumn, column: c, kind: columns[c].kind, text: c.String()}}
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

// outputs are the columns of the answer: those selected, or the verb's own and
// what the query itself mentions, so that where nans > 0 shows the count.
func (q *Query) outputs(models int) []output {
	if q.selects != nil {
		return q.selects
	}
	list := map[string][]column{
		Find:    {colPath, colDType, colShape, colBytes},
		Missing: {colPath, colStatus, colExpectedShape, colReason, colRemedy},
		Extra:   {colPath, colStatus, colDType, colShape, colReason, colRemedy},
		Changed: {colPath, colStatus, colExpectedShape, colShape, colExpectedDType, colDType, colReason, colRemedy},
		Gaps:    {colPath, colStatus, colExpectedShape, colShape, colReason, colRemedy},
	}[q.verb]
	if models > 1 {
		list = append([]column{colModel}, list...)
	}
	var mentioned columnSet
	q.where.columns(&mentioned)
	for _, o := range q.order {
		o.value.columns(&mentioned)
	}
	for c := range numColumns {
		if mentioned.has(c) && !slices.Contains(list, c) && !columns[c].implied {
			list = append(list, c)
		}
	}
	var outputs []output
	for _, c := range list {
		outputs = append(outputs, columnOutput(c))
	}
	return outputs
}

// conditions are the parts of where, those that cost least first.
func (q *Query) conditions() []*node {
	parts := q.where.conjuncts()
	cost := func(n *node) int {
		var set columnSet
		n.columns(&set)
		dear := 0
		for c := range set.all() {
			if columns[c].costly {
				dear++
			}
		}
		return dear
	}
	slices.SortStableFunc(parts, func(a, b *node) int { return cmp.Compare(cost(a), cost(b)) })
	return parts
}

// matches reports whether a path is asked about.
func (q *Query) matches(path string) bool {
	return len(q.patterns) == 0 || slices.ContainsFunc(q.patterns, func(p *tensor.Pattern) bool { return p.Match(path) })
}

// patternText is the patterns as they were written, for errors.
func (q *Query) patternText() string {
	if len(q.patterns) == 0 {
		return "*"
	}
	var list []string
	for _, p := range q.patterns {
		list = append(list, p.String())
	}
	return strings.Join(list, ", ")
}
