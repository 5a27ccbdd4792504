package gaps

import (
	"context"
	"fmt"

	"wreg/registry"
	"wreg/registry/arch"
)

// Found is what a model lacks, has too much or holds otherwise.
type Found struct {
	Against string // what it was measured against: "spec hunyuan", "layers", a revision
	Layout  string // the layout that the gaps are listed in
	Gaps    []arch.Gap
	Notes   []string
}

// Of measures a model.
func (q *Question) Of(ctx context.Context, s *registry.Snapshot, v *registry.Revision) (*Found, error) {
	c := &modelView{ctx: ctx, snapshot: s, revision: v}
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
	return &Found{Against: e.against, Layout: e.layout, Gaps: list, Notes: e.notes}, nil
}

// expect finds what the query measures against.
func (q *Question) expect(s *registry.Snapshot, c *modelView) (*expectation, error) {
	switch {
	case q.Layers:
		return q.expectLayers(c)
	case q.Against == "":
		return q.expectSpec(c)
	}
	reference, err := s.Find(q.Against)
	if err != nil {
		return nil, fmt.Errorf("against %s: %w", q.Against, err)
	}
	return q.expectModel(c, &modelView{ctx: c.ctx, snapshot: s, revision: reference})
}
