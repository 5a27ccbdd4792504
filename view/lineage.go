package view

import (
	"cmp"
	"context"
	"slices"
	"time"

	"wreg/registry"
	"wreg/registry/arch/wrap"
)

// Kin says where a revision comes from, as far as the registry knows.
type Kin struct {
	Ref     string    `json:"model"`
	Created time.Time `json:"created"`
	From    string    `json:"from,omitempty"`  // another revision; of an adapter, what it names as its base
	How     string    `json:"how,omitempty"`   // Exported, Adapts or Shares; "" where nothing is known
	Gone    bool      `json:"gone,omitempty"`  // From is not in the registry
	Share   float64   `json:"share,omitempty"` // of its bytes, those that From holds too, in whole tensors
}

// How a revision is related to another.
const (
	Exported = "exported" // an export was recorded
	Adapts   = "adapts"   // an adapter names its base
	Shares   = "shares"   // tensors are equal, byte for byte
)

// minShare is from which share of its bytes a revision is related to another by content:
// norms that are all ones are equal in models that have nothing to do with each other.
const minShare = 0.01

// maxPairs bounds the revisions of one content that are compared with each other.
const maxPairs = 64

// Lineage says of every revision, oldest first, what it was exported from, or else which
// older one holds most of its content. Tensors without a hash are unknown.
func Lineage(ctx context.Context, s *registry.Snapshot) ([]Kin, error) {
	all, err := Revisions(s)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(all, func(a, b *registry.Revision) int { return a.Created.Compare(b.Created) })
	shared, err := sharedBytes(ctx, s, all)
	if err != nil {
		return nil, err
	}
	at := map[string]int{}
	for i, v := range all {
		at[v.Ref()] = i
	}
	list := make([]Kin, len(all))
	for i, v := range all {
		k := Kin{Ref: v.Ref(), Created: v.Created.UTC()}
		share := func(from int) float64 { return float64(shared[[2]int{from, i}]) / float64(max(v.Bytes, 1)) }
		if v.Source != "" {
			k.From, k.How, k.Gone = v.Source, Exported, true
			if from, there := at[v.Source]; there && from != i {
				k.Gone, k.Share = false, share(from)
			}
		} else if base := base(v); base != "" {
			k.From, k.How, k.Gone = base, Adapts, true
		} else if from := closest(shared, all, i); from >= 0 && share(from) >= minShare {
			k.From, k.How, k.Share = all[from].Ref(), Shares, share(from)
		}
		list[i] = k
	}
	return list, nil
}

// Revisions lists every revision of every model, by name and number.
func Revisions(s *registry.Snapshot) (all []*registry.Revision, err error) {
	names, err := s.Names()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		list, err := s.Revisions(name)
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
	}
	return all, nil
}

func base(v *registry.Revision) string {
	if v.Adapter == nil {
		return ""
	}
	return wrap.ReadTrained(v.Adapter).Base
}

// sharedBytes counts, for each pair of an older and a younger revision, the younger's
// bytes in tensors that the older holds, too.
func sharedBytes(ctx context.Context, s *registry.Snapshot, all []*registry.Revision) (map[[2]int]int64, error) {
	shared := map[[2]int]int64{}
	n := 0
	for group, err := range s.Duplicates(all) {
		if err != nil {
			return nil, err
		}
		if n++; n%lookEvery == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		var olds []int // revisions before the one at hand, each once
		for _, x := range group {
			for _, old := range olds {
				if old != x.Revision {
					shared[[2]int{old, x.Revision}] += x.Block.Bytes().At(x.Row)
				}
			}
			if len(olds) < maxPairs && (len(olds) == 0 || olds[len(olds)-1] != x.Revision) {
				olds = append(olds, x.Revision)
			}
		}
	}
	return shared, nil
}

// closest is the older revision that holds most of i's content: of several, one of the same
// model, then the oldest. -1: none holds any.
func closest(shared map[[2]int]int64, all []*registry.Revision, i int) int {
	best := -1
	for from := range i {
		n := shared[[2]int{from, i}]
		if n == 0 {
			continue
		}
		if best < 0 || cmp.Or(cmp.Compare(n, shared[[2]int{best, i}]), same(all[from].Model == all[i].Model, all[best].Model == all[i].Model)) > 0 {
			best = from
		}
	}
	return best
}

func same(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}
