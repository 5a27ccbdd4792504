package view

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"wreg/query"
	"wreg/registry"
	"wreg/registry/arch"
)

// NoConfig says why a checkpoint without config.json is not checked.
const NoConfig = arch.NoConfig

// resolve matches a revision with its architecture.
func resolve(ctx context.Context, s *registry.Snapshot, v *registry.Revision, a *arch.Arch) (*arch.Resolution, error) {
	if len(v.Config) == 0 && v.Adapter == nil {
		return nil, fmt.Errorf("%s: %s", v.Ref(), NoConfig)
	}
	return query.Resolve(ctx, s, v, a)
}

// Of is a revision at a glance. a is nil, or in place of the architecture that
// config.json names. That there is none is not an error: Problem says why.
func Of(ctx context.Context, s *registry.Snapshot, v *registry.Revision, a *arch.Arch) (*Model, error) {
	res, err := resolve(ctx, s, v, a)
	if _, damaged := errors.AsType[*registry.DamagedError](err); damaged || ctx.Err() != nil {
		return nil, err
	}
	why := ""
	if err != nil {
		why = strings.TrimPrefix(err.Error(), v.Ref()+": ")
	}
	m := Brief(v, res, why, nil)
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
