package query

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"wreg/registry"
	"wreg/registry/tensor"
)

// Run answers the query from a snapshot.
func (q *Query) Run(ctx context.Context, s *registry.Snapshot, o Options) (*Result, error) {
	models, err := q.resolveModels(s, o)
	if err != nil {
		return nil, err
	}
	r := &Result{Query: q.text, Model: refs(models)}
	out := newSink(q, len(models))
	if q.verb == Find {
		err = q.find(ctx, s, models, out, r)
	} else {
		err = q.gaps(ctx, s, models, o, out, r)
	}
	if err != nil {
		return nil, err
	}
	return r, out.finish(r)
}

func refs(models []*registry.Revision) string {
	list := make([]string, len(models))
	for i, v := range models {
		list[i] = v.Ref()
	}
	return strings.Join(list, ", ")
}

// resolveModels finds the revisions asked about, each once.
func (q *Query) resolveModels(s *registry.Snapshot, o Options) ([]*registry.Revision, error) {
	names := q.models
	if len(names) == 0 && o.Model != "" {
		names = []string{o.Model}
	}
	if len(names) == 0 {
		all, err := s.Models()
		switch {
		case err != nil:
			return nil, err
		case len(all) == 0:
			return nil, fmt.Errorf("the registry holds no model: wreg ingest PATH adds one")
		case len(all) > 1:
			return nil, fmt.Errorf("the registry holds %d models: say which with in NAME, or in * for all: %s", len(all), someRefs(all))
		}
		return all, nil
	}
	var list []*registry.Revision
	seen := map[string]bool{}
	for _, name := range names {
		matched, err := s.Match(name)
		if err != nil {
			return nil, err
		}
		for _, v := range matched {
			if ref := v.Ref(); !seen[ref] {
				seen[ref] = true
				list = append(list, v)
			}
		}
	}
	return list, nil
}

// someRefs lists the first few models.
func someRefs(models []*registry.Revision) string {
	const most = 8
	if len(models) > most {
		return refs(models[:most]) + ", …"
	}
	return refs(models)
}

// find passes the selected tensors to out.
func (q *Query) find(ctx context.Context, s *registry.Snapshot, models []*registry.Revision, out *sink, r *Result) error {
	covered := newCoverage(q, out)
	fast := q.byDuplicates()
	if fast {
		if err := q.findDuplicates(ctx, s, models, out); err != nil {
			return err
		}
	}
	m := newMatcher(q.patterns)
	conditions := q.conditions()
	known := map[narrowing][]int64{}
	p := &part{}
	for _, v := range models {
		if err := ctx.Err(); err != nil {
			return err
		}
		for b, err := range s.BlocksWhere(v, m.may) {
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				return err
			}
			if out.keeps {
				p = &part{}
			}
			p.open(b, v, m.shape(b.Template()))
			p.match(q.patterns)
			if p.len() > 0 {
				if covered.see(p); fast {
					continue
				}
				if err := p.filter(conditions, known); err != nil {
					return err
				}
			}
			if p.len() == 0 {
				continue
			}
			if done, err := out.take(p); err != nil || done {
				return err
			}
		}
	}
	note, err := covered.verdict()
	if note != "" {
		r.Notes = append(r.Notes, note)
	}
	return err
}

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
	m.shapes[template] = s
	return s
}
