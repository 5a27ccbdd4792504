package query

import (
	"context"
	"fmt"
	"strings"

	"wreg/registry"
)

// Explain prints how the query was understood and what running it will do:
// columns and types resolved, the blocks each pattern selects, and which parts of
// where need no row to be read.
func (q *Query) Explain(ctx context.Context, s *registry.Snapshot, o Options) (string, error) {
	var b strings.Builder
	say(&b, "query   %s", q.text)
	say(&b, "verb    %s", q.verb)
	for _, p := range q.patterns {
		say(&b, "pattern %s", p)
	}
	if q.verb != Find {
		against := q.against
		if against == "" {
			against = againstSpec
		}
		say(&b, "against %s", against)
		if q.layout != "" {
			say(&b, "as      %s", q.layout)
		}
	}
	for _, c := range q.conditions() {
		say(&b, "where   %s", c)
	}
	for _, k := range q.keys {
		say(&b, "group   %s", k)
	}
	for _, o := range q.selects {
		say(&b, "select  %s", o.value)
	}
	if q.having != nil {
		say(&b, "having  %s", q.having)
	}
	for _, o := range q.order {
		direction := "asc"
		if o.descending {
			direction = "desc"
		}
		say(&b, "order   %s %s", o.value, direction)
	}
	if q.limit >= 0 {
		say(&b, "limit   %d", q.limit)
	}
	models, err := q.resolveModels(s, o)
	if err != nil {
		return "", err
	}
	m := newMatcher(q.patterns)
	for _, v := range models {
		if err := q.explainModel(ctx, &b, s, v, m, o); err != nil {
			return "", err
		}
	}
	return b.String(), nil
}

func (q *Query) explainModel(ctx context.Context, b *strings.Builder, s *registry.Snapshot, v *registry.Revision, m *matcher, o Options) error {
	say(b, "model   %s: %d tensors", v.Ref(), v.Tensors)
	if q.verb != Find {
		return q.explainExpectation(ctx, b, s, v, o)
	}
	for block, err := range s.BlocksWhere(v, m.may) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		p := &part{}
		p.open(block, v, m.shape(block.Template()))
		p.match(q.patterns)
		matched := p.len()
		how := "columns only"
		if matched > 0 {
			if err := p.filter(q.conditions(), map[narrowing][]int64{}); err != nil {
				return err
			}
		}
		if p.listed && p.grid != nil {
			how = "row by row"
		}
		say(b, "  block %s: %d rows, %d match, %d selected, %s", block.Template(), block.Len(), matched, p.len(), how)
	}
	return nil
}

// explainExpectation says what a model is measured against, and how it stands.
func (q *Query) explainExpectation(ctx context.Context, b *strings.Builder, s *registry.Snapshot, v *registry.Revision, o Options) error {
	c := &checkpoint{ctx: ctx, snapshot: s, revision: v}
	e, err := q.expect(s, c, o)
	if err != nil {
		return err
	}
	if c.err != nil {
		return c.err
	}
	expects := e.against
	if e.layout != "" {
		expects += " in layout " + e.layout
	}
	say(b, "  expects %s: %d gaps before where", expects, len(q.compare(c, e)))
	for _, n := range e.notes {
		say(b, "  note %s", n)
	}
	return c.err
}

// say writes one line; a line break in a name does not begin another.
func say(b *strings.Builder, format string, args ...any) {
	b.WriteString(strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", `\n`) + "\n")
}

// String writes the compiled expression with every grouping explicit.
func (n *node) String() string {
	args := make([]string, len(n.args))
	for i, a := range n.args {
		args[i] = a.String()
	}
	switch n.op {
	case opConst:
		return n.value.String()
	case opColumn:
		return n.column.String()
	case opSlot:
		return n.text
	case opNot, opNeg:
		return "(" + opText[n.op] + " " + args[0] + ")"
	case opIn:
		return "(" + args[0] + " in [" + strings.Join(args[1:], ", ") + "])"
	case opBetween:
		return "(" + args[0] + " in " + args[1] + ".." + args[2] + ")"
	case opGlob:
		return "(" + args[0] + " ~ " + n.glob.String() + ")"
	case opRegexp:
		return "(" + args[0] + " ~ /" + n.regexp.String() + "/)"
	case opIndex:
		return args[0] + "[" + args[1] + "]"
	case opCall:
		return n.function + "(" + strings.Join(args, ", ") + ")"
	case opPresent:
		return "present(" + args[0] + ")"
	case opIf:
		return "(" + args[1] + " if " + args[0] + " else " + args[2] + ")"
	}
	return "(" + strings.Join(args, " "+opText[n.op]+" ") + ")"
}
