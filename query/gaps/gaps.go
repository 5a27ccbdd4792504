// Package gaps finds the tensors that are missing from a model, that should not be
// there, or that differ from what they should be, with the reason and the remedy for
// each.
//
// Most users need [Question] and [Question.Of]. What a model should hold comes from
// one of three places:
//
//   - its architecture (spec.go). For the checkpoint's own layout the answer is
//     arch.Resolve's, the one by which export decides; for the other layout it is
//     what that layout would need;
//   - another model (model.go), carried over to the mlx layout when the two name
//     their tensors differently, and compared by hash, slice by slice;
//   - the majority of the model's own layers (layers.go).
//
// The expectation is then compared with what is there (compare.go, changed.go,
// content.go), and missing tensors are looked for under other names and in other
// revisions (renamed.go, remedy.go). modelView lets arch look up the paths of a
// revision quickly.
//
// Invariants:
//   - With neither Against nor Layers nor another Layout, there are gaps if and only if
//     export refuses the checkpoint, with the same tensors and reasons.
//   - Bytes are never called equal without hashes: what could not be compared is
//     counted in a note.
//   - No gap is found by a name alone where the architecture knows another way to
//     make the tensor.
package gaps

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"wreg/registry"
	"wreg/registry/arch"
)

// Found is what is missing from a model, what it has too much of, and what differs.
type Found struct {
	Against string // what it was measured against: "spec hunyuan", "layers", a revision
	Layout  string // the layout that the gaps are listed in
	Gaps    []arch.Gap
	Notes   []string
	Doubts  []string // of the notes those that say what was not compared by its bytes

	Mapped   bool     // two models were carried over to layout mlx to be compared
	Unlike   []string // what is quantized on one side only: values not compared
	Unproven []string // what nothing was known of to compare bytes by, or what was cast

	// Uncompared is all of that which was asked about and may have changed. What one of the
	// two was made of by an export that proved its bytes, without a cast, has not.
	Uncompared []arch.Gap
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
	if err := findRemedies(s, c, e.against, list); err != nil {
		return nil, err
	}
	if c.err != nil {
		return nil, c.err
	}
	told := make(map[string]bool, len(list))
	for i := range list {
		told[list[i].Path] = true
	}
	e.uncompared = slices.DeleteFunc(e.uncompared, func(g arch.Gap) bool { return told[g.Path] || !q.shows(&g) })
	return &Found{Against: e.against, Layout: e.layout, Gaps: list, Notes: e.notes, Doubts: e.doubts, Mapped: e.mapped, Unlike: e.unlike, Unproven: e.unproven, Uncompared: e.uncompared}, nil
}

// Remedied completes what arch.Resolve says of a model by what the registry knows, as Of
// does: where to get missing tensors from. The gaps are sorted.
func Remedied(ctx context.Context, s *registry.Snapshot, v *registry.Revision, list []arch.Gap) error {
	c := &modelView{ctx: ctx, snapshot: s, revision: v}
	lost(list)
	sortGaps(list)
	return cmp.Or(findRemedies(s, c, againstSpec, list), c.err)
}

// What is measured against when that is no model: an architecture, whose name follows, or
// most layers of the model itself.
const (
	againstSpec   = "spec "
	againstLayers = "layers"
)

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
