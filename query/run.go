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
	r := &Result{Query: q.text, Verb: q.verb, Model: refs(models)}
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
	for _, name := range names {
		matched, err := s.Match(name)
		if err != nil {
			return nil, err
		}
		for _, v := range matched {
			if !slices.ContainsFunc(list, func(w *registry.Revision) bool { return w.Ref() == v.Ref() }) {
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
	matcher := newMatcher(q.patterns)
	conditions := q.conditions()
	for _, v := range models {
		for b, err := range s.BlocksWhere(v, matcher.may) {
			if err != nil {
				return err
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			p := newPart(b, v)
			if matches := matcher.of(b); matches != nil {
				p.match(matches)
			}
			if p.len() > 0 {
				covered.see(p)
				if err := p.filter(conditions); err != nil {
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
	patterns  []*tensor.Pattern
	templates map[string][]*tensor.TemplateMatch
}

func newMatcher(patterns []*tensor.Pattern) *matcher {
	return &matcher{patterns: patterns, templates: map[string][]*tensor.TemplateMatch{}}
}

// may reports whether some tensor of the template can match.
func (m *matcher) may(template string) bool {
	return len(m.patterns) == 0 || slices.ContainsFunc(m.template(template), func(t *tensor.TemplateMatch) bool { return !t.None() }) ||
		slices.ContainsFunc(m.patterns, func(p *tensor.Pattern) bool { return p.Match(template) }) // a path that holds {layer} as text
}

func (m *matcher) template(template string) []*tensor.TemplateMatch {
	list, known := m.templates[template]
	if !known {
		for _, p := range m.patterns {
			list = append(list, p.MatchTemplate(template))
		}
		m.templates[template] = list
	}
	return list
}

// of gives the patterns' matches for a block, nil when all its rows match.
func (m *matcher) of(b *registry.Block) []*tensor.TemplateMatch {
	if len(m.patterns) == 0 {
		return nil
	}
	if _, numbered := b.Index(0); !numbered && len(tensor.Placeholders(b.Template())) > 0 {
		for _, p := range m.patterns { // such a path is its own template
			if p.Match(b.Template()) {
				return nil
			}
		}
		return []*tensor.TemplateMatch{{}}
	}
	return m.template(b.Template())
}
