package query

import (
	"context"
	"fmt"

	"wreg/registry"
)

const againstSpec = "spec"

func (q *Query) gaps(ctx context.Context, s *registry.Snapshot, models []*registry.Revision, o Options, out *sink, r *Result) error {
	return fmt.Errorf("not yet")
}
