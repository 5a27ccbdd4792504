package view

import (
	"context"
	"errors"

	"wreg/query"
	"wreg/registry"
	"wreg/registry/arch"
)

// Of is a revision at a glance. a is nil, or in place of the architecture that
// config.json names. That there is none is not an error: Problem says why.
func Of(ctx context.Context, s *registry.Snapshot, v *registry.Revision, a *arch.Arch) (*Model, error) {
	m := &Model{
		Ref: v.Ref(), Root: v.Root, Created: v.Created.UTC(), Tool: v.Tool, Source: v.Source, Layout: v.Layout,
		Tensors: int64(v.Tensors), Files: len(v.Files),
	}
	res, err := query.Resolve(ctx, s, v, a)
	if _, damaged := errors.AsType[*registry.DamagedError](err); damaged || ctx.Err() != nil {
		return nil, err
	}
	if err != nil {
		m.Problem = err.Error()
	} else {
		m.Arch, m.Layout = res.Arch.Name, res.Layout
	}
	m.Findings = make([]Finding, len(v.Findings))
	for i, f := range v.Findings {
		m.Findings[i] = Finding{f.Rule, f.File, f.Tensor, f.Message, f.Note()}
	}
	t := &tally{model: m, dtypes: map[string]*Share{}, components: map[string]*Share{}, extent: newExtent(), large: Large{}}
	if err := t.count(ctx, s, v, res); err != nil {
		return nil, err
	}
	if res != nil && len(res.Gaps) > 0 {
		if err := query.Remedied(ctx, s, v, res.Gaps); err != nil {
			return nil, err
		}
	}
	m.Verdict = Judge(v, res, t.large)
	if res != nil && m.Verdict.State == Whole {
		m.Quantized = atFourBits(v.Config, res)
	}
	return m, nil
}
