package query

import (
	"context"
	"fmt"
	"strings"

	"wreg/query/lang"
	"wreg/query/rows"
	"wreg/registry"
	"wreg/registry/tensor"
)

// Explain prints how the query was understood and what running it will do:
// columns and types resolved, the blocks each pattern selects, and which parts of
// where need no row to be read.
func (q *Query) Explain(ctx context.Context, s *registry.Snapshot, o Options) (string, error) {
	var b strings.Builder
	say(&b, "query   %s", q.Text)
	say(&b, "verb    %s", q.Verb)
	for _, p := range q.Patterns {
		say(&b, "pattern %s", p)
	}
	if q.Verb != lang.Find {
		against := q.Against
		if against == "" {
			against = lang.AgainstSpec
		}
		say(&b, "against %s", against)
		if q.Layout != "" {
			say(&b, "as      %s", q.Layout)
		}
	}
	for _, c := range q.Conditions() {
		say(&b, "where   %s", c)
	}
	for _, k := range q.Keys {
		say(&b, "group   %s", k)
	}
	for _, o := range q.Outputs {
		say(&b, "select  %s", o.Value)
	}
	if q.Having != nil {
		say(&b, "having  %s", q.Having)
	}
	for _, o := range q.Order {
		direction := "asc"
		if o.Descending {
			direction = "desc"
		}
		say(&b, "order   %s %s", o.Value, direction)
	}
	if q.Limit >= 0 {
		say(&b, "limit   %d", q.Limit)
	}
	models, err := q.resolveModels(s, o)
	if err != nil {
		return "", err
	}
	for _, v := range models {
		if err := q.explainModel(ctx, &b, s, v, o); err != nil {
			return "", err
		}
	}
	return b.String(), nil
}

func (q *Query) explainModel(ctx context.Context, b *strings.Builder, s *registry.Snapshot, v *registry.Revision, o Options) error {
	say(b, "model   %s: %s", v.Ref(), tensor.Count(v.Tensors, "tensor"))
	if q.Verb != lang.Find {
		return q.explainGaps(ctx, b, s, v, o)
	}
	list, err := rows.Blocks(ctx, s, v, q.Patterns, &q.Spec)
	for _, p := range list {
		how := "columns only"
		if p.RowByRow {
			how = "row by row"
		}
		say(b, "  block %s: %s: matched %d, selected %d, %s", p.Template, tensor.Count(p.Rows, "row"), p.Matched, p.Selected, how)
	}
	return err
}

// explainGaps says what a model is compared with, and how many gaps it has.
func (q *Query) explainGaps(ctx context.Context, b *strings.Builder, s *registry.Snapshot, v *registry.Revision, o Options) error {
	found, err := q.question(o).Of(ctx, s, v)
	if err != nil {
		return err
	}
	expects := found.Against
	if found.Layout != "" {
		expects += " in layout " + found.Layout
	}
	say(b, "  expects %s: %s before where", expects, tensor.Count(len(found.Gaps), "gap"))
	for _, n := range found.Notes {
		say(b, "  note %s", n)
	}
	return nil
}

// say writes one line; a line break in a name does not begin another.
func say(b *strings.Builder, format string, args ...any) {
	b.WriteString(strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", `\n`) + "\n")
}
