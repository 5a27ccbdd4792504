package query

import (
	"context"
	"slices"
	"strings"

	"wreg/registry"
	"wreg/registry/arch"
	"wreg/registry/tensor"
)

// question is what is asked about a model's gaps.
type question struct {
	status   string // one of arch's, else all are asked for
	patterns []*tensor.Pattern
	against  string     // "" and "spec": its architecture; "layers"; a model
	layout   string     // of the architecture; "": the model's own
	arch     *arch.Arch // in place of the one that config.json's model_type names
}

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

// asks reports a status that is asked for.
func (q *question) asks(status string) bool {
	return q.status == status || q.status != arch.Missing && q.status != arch.Changed && q.status != arch.Extra
}

// matches reports whether a path is asked about.
func (q *question) matches(path string) bool {
	return len(q.patterns) == 0 || slices.ContainsFunc(q.patterns, func(p *tensor.Pattern) bool { return p.Match(path) })
}

// patternText is the patterns as they were written, for errors.
func (q *question) patternText() string {
	if len(q.patterns) == 0 {
		return "*"
	}
	var list []string
	for _, p := range q.patterns {
		list = append(list, p.String())
	}
	return strings.Join(list, ", ")
}
