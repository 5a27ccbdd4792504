package query

import (
	"context"
	"fmt"

	"wreg/registry"
	"wreg/registry/arch"
)

// found is what a model lacks, has too much or holds otherwise.
type found struct {
	Against string // what it was measured against: "spec hunyuan", "layers", a revision
	Layout  string // the layout that the gaps are listed in
	Gaps    []arch.Gap
	Notes   []string
}

// of measures a model.
func (q *question) of(ctx context.Context, s *registry.Snapshot, v *registry.Revision) (*found, error) {
	c := &checkpoint{ctx: ctx, snapshot: s, revision: v}
	e, err := q.expect(s, c)
	if err == nil {
		err = c.err
	}
	if err != nil {
		return nil, err
	}
	list := q.compare(c, e)
	if err := q.mend(s, c, e.against, list); err != nil {
		return nil, err
	}
	if c.err != nil {
		return nil, c.err
	}
	return &found{Against: e.against, Layout: e.layout, Gaps: list, Notes: e.notes}, nil
}

// expect finds what the query measures against.
func (q *question) expect(s *registry.Snapshot, c *checkpoint) (*expectation, error) {
	switch {
	case q.layers:
		return q.expectLayers(c)
	case q.against == "":
		return q.expectSpec(c)
	}
	reference, err := s.Find(q.against)
	if err != nil {
		return nil, fmt.Errorf("against %s: %w", q.against, err)
	}
	return q.expectModel(c, &checkpoint{ctx: c.ctx, snapshot: s, revision: reference})
}
