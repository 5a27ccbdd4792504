package registry

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"slices"

	"wreg/registry/codec"
	"wreg/registry/record"
)

// Merged says what became of one revision of a merged registry.
type Merged struct {
	From string // its ref there
	To   string // its ref here
	New  bool   // false: this registry held the same already
}

// Merge folds every revision of other into r, oldest first. A revision that r has
// already under the same name (the same record and tensors, whatever its number)
// is not stored again, so a merge that was interrupted can be repeated. Numbers
// may differ here; Revision.Source follows them. On error the list says what was
// done before.
func (r *Registry) Merge(ctx context.Context, other *Registry) ([]Merged, error) {
	mine, err := os.Stat(r.path)
	if err != nil {
		return nil, err
	}
	theirs, err := os.Stat(other.path)
	if err != nil {
		return nil, err
	}
	if os.SameFile(mine, theirs) {
		return nil, fmt.Errorf("registry %s cannot be merged into itself", r.path)
	}
	var done []Merged
	refs := map[string]string{} // there → here
	known := map[string]map[[32]byte]string{}
	err = other.View(func(s *Snapshot) error {
		all, err := s.entries("")
		if err != nil {
			return err
		}
		all = slices.Clone(all)
		// Ids grow as revisions are made, so an export comes after its source.
		slices.SortFunc(all, compareIDs)
		for _, e := range all {
			if err := ctx.Err(); err != nil {
				return err
			}
			stored, err := s.record(e)
			if err != nil {
				return err
			}
			v := *stored
			from := v.Ref()
			if to, ok := refs[v.Source]; ok {
				v.Source = to
			}
			print, err := s.fingerprint(e, v)
			if err != nil {
				return err
			}
			if known[v.Model] == nil {
				if known[v.Model], err = r.fingerprints(v.Model); err != nil {
					return err
				}
			}
			m := Merged{From: from, To: known[v.Model][print]}
			if m.To == "" {
				to, err := r.copyRevision(ctx, s, e, v)
				if err != nil {
					return err
				}
				m.To, m.New = to.Ref(), true
				known[v.Model][print] = m.To
			}
			refs[from] = m.To
			done = append(done, m)
		}
		return nil
	})
	return done, err
}

// copyRevision puts a revision of another registry after it was checked. It is never
// in memory whole: how large it is only its file says.
func (r *Registry) copyRevision(ctx context.Context, s *Snapshot, e modelEntry, v Revision) (*Revision, error) {
	c := newChecker(ctx, s)
	if err := c.revision(e); err != nil {
		return nil, err
	}
	if len(c.faults) > 0 {
		return nil, s.r.damage(c.faults[0].File, "%s", c.faults[0].Message)
	}
	st, err := s.stateOf(e)
	if err != nil {
		return nil, err
	}
	return r.write(ctx, v, len(st.raw), func(w *putter) error { return w.copy(s, st) })
}

// fingerprints are those of a model's revisions, with their refs.
func (r *Registry) fingerprints(model string) (map[[32]byte]string, error) {
	prints := map[[32]byte]string{}
	err := r.View(func(s *Snapshot) error {
		list, err := s.entries(model)
		if err != nil {
			return err
		}
		for _, e := range list {
			stored, err := s.record(e)
			if err != nil {
				return err
			}
			print, err := s.fingerprint(e, *stored)
			if err != nil {
				return err
			}
			prints[print] = stored.Ref()
		}
		return nil
	})
	return prints, err
}

// fingerprint is a hash of all that makes a revision but its number. The bytes of
// a block follow from its tensors alone.
func (s *Snapshot) fingerprint(e modelEntry, v Revision) (sum [32]byte, err error) {
	st, err := s.stateOf(e)
	if err != nil {
		return sum, err
	}
	v.Number = 0
	h := sha256.New()
	field := func(b []byte) {
		h.Write(binary.AppendUvarint(nil, uint64(len(b))))
		h.Write(b)
	}
	field(record.Encode(&v))
	field(codec.AppendTable(nil, st.files))
	for _, x := range st.raw {
		field([]byte(x.key))
		field(x.value)
	}
	return [32]byte(h.Sum(nil)), nil
}
