package gaps

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"wreg/registry"
	"wreg/registry/arch"
	"wreg/registry/tensor"
)

// maxRemedied bounds the rows for which other models are searched, and maxSearched
// the models: beyond that the search would take longer than it is worth.
const (
	maxRemedied = 512
	maxSearched = 32
)

// findRemedies says where missing tensors can be had: the shard to fetch again, the
// same bytes under another name, or another revision that has them.
func findRemedies(s *registry.Snapshot, c *modelView, against string, gaps []arch.Gap) error {
	var others []*modelView
	remedied := 0
	for i := range gaps {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		g := &gaps[i]
		then, renamed := strings.HasPrefix(g.Remedy, "then "), strings.HasPrefix(g.Remedy, "rename ") && strings.HasPrefix(against, againstSpec) // by the name alone
		if g.Status != arch.Missing || g.Remedy != "" && !then && !renamed && !strings.HasPrefix(g.Remedy, arch.Lost) {
			continue
		}
		if fetch := shardsToFetch(c.revision.Findings, g.Path); fetch != "" && !renamed {
			if then {
				fetch += ", " + g.Remedy
			}
			g.Remedy = fetch
			continue
		}
		if remedied++; remedied > maxRemedied && strings.HasPrefix(g.Remedy, arch.Lost) {
			g.Remedy += "; other models were not searched for it"
		}
		if then || remedied > maxRemedied {
			continue
		}
		if others == nil {
			var err error
			if others, err = otherRevisions(c.ctx, s, c.revision, against); err != nil {
				return err
			}
		}
		if err := remedyFrom(g, s, c, others, against); err != nil {
			return err
		}
	}
	return nil
}

// shardsToFetch reads in the findings of the ingest which shards a tensor may have
// been lost with.
func shardsToFetch(findings []tensor.Finding, path string) string {
	var absent []string
	for _, f := range findings {
		switch {
		case f.Rule == "index-missing-tensor" && f.Tensor == path:
			return fmt.Sprintf("fetch %s again: the index says that it holds this tensor", f.File)
		case f.Rule == "absent-shard", f.Rule == "unreadable-file":
			absent = append(absent, f.File)
		}
	}
	const most = 3
	switch n := len(absent); {
	case n == 0:
		return ""
	case n == 1:
		return "fetch " + absent[0] + " again"
	case n <= most:
		return "fetch again " + strings.Join(absent, ", ")
	default:
		return fmt.Sprintf("fetch again %s and %d more shards", strings.Join(absent[:most], ", "), n-most)
	}
}

// otherRevisions are those that may have what a model lacks: what it is compared with and
// what it was made from first, then its own earlier ones.
func otherRevisions(ctx context.Context, s *registry.Snapshot, v *registry.Revision, against string) ([]*modelView, error) {
	var first []*registry.Revision
	for _, ref := range []string{against, v.Source} {
		if ref == "" || ref == againstLayers || strings.HasPrefix(ref, againstSpec) {
			continue
		}
		o, err := s.Find(ref)
		switch _, gone := errors.AsType[*registry.NotFoundError](err); {
		case err == nil:
			first = append(first, o)
		case !gone:
			return nil, err
		}
	}
	own, err := s.Revisions(v.Model)
	if err != nil {
		return nil, err
	}
	all, err := s.Models()
	if err != nil {
		return nil, err
	}
	slices.Reverse(own)
	list := []*modelView{}
	for _, o := range slices.Concat(first, own, all) {
		seen := slices.ContainsFunc(list, func(c *modelView) bool { return c.revision.Ref() == o.Ref() })
		if o.Ref() != v.Ref() && !seen && len(list) < maxSearched {
			list = append(list, &modelView{ctx: ctx, snapshot: s, revision: o})
		}
	}
	return list, nil
}

// remedyFrom looks a lost tensor up in other revisions; with its hash, it is found
// here under any name.
func remedyFrom(g *arch.Gap, s *registry.Snapshot, c *modelView, others []*modelView, against string) error {
	for _, o := range others {
		t, ok := o.whole(g.Path)
		if o.err != nil {
			return o.err
		}
		if !ok || g.Shape != nil && !g.Shape.Equal(t.Shape) {
			continue
		}
		if !t.Hash.IsZero() {
			places, err := s.ByHash(t.Hash)
			if err != nil {
				return err
			}
			for _, p := range places {
				if _, own := o.Lookup(p.Path); own { // as norms that are all ones: that one is in its place
					continue
				}
				if here, _ := c.Lookup(p.Path); p.Model == c.revision.Ref() && p.Slice < 0 && here.Shape.Equal(t.Shape) {
					g.Reason = fmt.Sprintf("renamed? same bytes at %s as %s has here", p.Path, o.revision.Ref())
					g.Remedy = "rename " + p.Path
					return nil
				}
			}
		}
		switch ref := o.revision.Ref(); {
		case g.Remedy != arch.Lost: // an earlier one has it
		case o.revision.Model == c.revision.Model, ref == against, exported(c, o), exported(o, c):
			g.Remedy = fmt.Sprintf("copy it from %s, which holds it in %s", ref, t.File)
		default: // perhaps of the same family only, with other weights
			g.Remedy += fmt.Sprintf("; %s has one with this name and shape", ref)
		}
	}
	return nil
}
