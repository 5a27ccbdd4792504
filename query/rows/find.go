package rows

import (
	"context"
	"slices"

	"wreg/registry"
	"wreg/registry/tensor"
)

// Find takes in the tensors that the patterns and where select.
func (out *Sink) Find(ctx context.Context, s *registry.Snapshot, models []*registry.Revision, patterns []*tensor.Pattern) error {
	fast := out.byDuplicates(patterns)
	if fast {
		if err := out.findDuplicates(ctx, s, models); err != nil {
			return err
		}
	}
	m := newMatcher(patterns)
	conditions := out.Conditions()
	known := map[narrowing][]int64{}
	p := &part{}
	for _, v := range models {
		if err := ctx.Err(); err != nil {
			return err
		}
		of := &source{Revision: v}
		for b, err := range s.BlocksWhere(ctx, v, m.may) {
			if err != nil {
				return err
			}
			if out.keeps {
				p = &part{}
			}
			p.open(ctx, b, of, m.shape(b.Template()))
			p.match(patterns)
			if p.len() > 0 {
				if out.covered.see(p); fast {
					continue
				}
				if err := p.filter(conditions, known); err != nil {
					return err
				}
			}
			if p.len() == 0 {
				continue
			}
			out.shown.see(p)
			if err := out.take(p); err != nil || out.Done {
				return err
			}
		}
	}
	return nil
}

// maxShapes is how many templates a matcher remembers: a large model has some hundreds.
const maxShapes = 1 << 14

// matcher remembers what the patterns make of each template: a hundred models of
// a family share their templates.
type matcher struct {
	patterns []*tensor.Pattern
	shapes   map[string]*shape
}

func newMatcher(patterns []*tensor.Pattern) *matcher {
	return &matcher{patterns: patterns, shapes: map[string]*shape{}}
}

// may reports whether some tensor of the template can match.
func (m *matcher) may(template string) bool { return m.shape(template).may }

func (m *matcher) shape(template string) *shape {
	s := m.shapes[template]
	if s != nil {
		return s
	}
	names := tensor.Placeholders(template)
	s = &shape{slots: len(names), layer: slices.Index(names, "layer"), expert: slices.Index(names, "expert")}
	s.may, s.all = len(m.patterns) == 0, len(m.patterns) == 0
	for _, p := range m.patterns {
		t := p.MatchTemplate(template)
		s.matches = append(s.matches, t)
		s.all = s.all || t.All()
		s.may = s.may || !t.None() || s.slots > 0 && p.Match(template) // a path may hold {layer} as text
	}
	if len(m.shapes) >= maxShapes {
		clear(m.shapes)
	}
	m.shapes[template] = s
	return s
}

// blockPlan is what a query does with one block of a model.
type blockPlan struct {
	Template                string
	Rows, Matched, Selected int
	RowByRow                bool // values of single rows are looked at
}

// Blocks lists what a query does with the blocks of a model that may match.
func Blocks(ctx context.Context, s *registry.Snapshot, v *registry.Revision, patterns []*tensor.Pattern, q *Spec) (list []blockPlan, err error) {
	m, of := newMatcher(patterns), &source{Revision: v}
	for block, err := range s.BlocksWhere(ctx, v, m.may) {
		if err != nil {
			return nil, err
		}
		p := &part{}
		p.open(ctx, block, of, m.shape(block.Template()))
		p.match(patterns)
		plan := blockPlan{Template: block.Template(), Rows: block.Len(), Matched: p.len()}
		if plan.Matched > 0 {
			if err := p.filter(q.Conditions(), map[narrowing][]int64{}); err != nil {
				return nil, err
			}
		}
		plan.Selected, plan.RowByRow = p.len(), p.listed && p.grid != nil
		list = append(list, plan)
	}
	return list, nil
}
