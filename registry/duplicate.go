package registry

import (
	"iter"
	"slices"

	"wreg/registry/block"
	"wreg/registry/hashindex"
	"wreg/registry/tensor"
)

// Row is one tensor: row Row of Block, of revision Revision in the list that was
// asked for.
type Row struct {
	Revision int
	Block    *block.Block
	Row      int
}

// Path is the tensor's path.
func (x Row) Path() string { return x.Block.Path(x.Row) }

// Hash is the tensor's hash.
func (x Row) Hash() tensor.Hash { return x.Block.Hashes().At(x.Row) }

// Duplicates yields the tensors of the given revisions that share their content
// with another, one group per hash, in the order of the hashes; within a group in
// the order of revisions and their rows. Tensors without a hash are in none. The
// slice is used again for the next group.
//
// It reads the content index alone and, of groups it finds, the hashes, whatever
// else is stored of the tensors: see BenchmarkDuplicates.
func (s *Snapshot) Duplicates(revisions []*Revision) iter.Seq2[[]Row, error] {
	return func(yield func([]Row, error) bool) {
		var merge hashindex.Merge
		states := make([]*state, len(revisions))
		for i, v := range revisions {
			st, err := s.state(v)
			var chunks []hashindex.Chunk
			if err == nil {
				chunks, err = s.content(st)
			}
			if err != nil {
				yield(nil, err)
				return
			}
			states[i] = st
			merge.Add(i, chunks)
		}
		var rows []Row
		for prefix, found := range merge.Shared {
			rows = rows[:0]
			for _, at := range found {
				row, err := s.duplicate(states[at.Source], at, prefix)
				if err != nil {
					yield(nil, err)
					return
				}
				rows = append(rows, row)
			}
			if !yieldEqual(rows, yield) {
				return
			}
		}
	}
}

// duplicate finds the tensor at a place and makes sure that it has the hash the
// index says.
func (s *Snapshot) duplicate(st *state, at hashindex.Found, prefix uint64) (Row, error) {
	n, row, err := s.locate(st, at.Row)
	if err != nil {
		return Row{}, err
	}
	b, err := s.block(st, n)
	if err != nil {
		return Row{}, err
	}
	found := Row{at.Source, b, row}
	if hashindex.Prefix(found.Hash()) != prefix {
		return Row{}, s.r.damage(st.ref, "the content index and row %d of block %q differ", row, b.Template())
	}
	return found, nil
}

// yieldEqual yields the rows, all of one prefix, by their full hashes: one group,
// unless somebody made hashes that begin alike.
func yieldEqual(rows []Row, yield func([]Row, error) bool) bool {
	same := true
	first := rows[0].Hash()
	for _, x := range rows[1:] {
		if x.Hash() != first {
			same = false
			break
		}
	}
	if same {
		return yield(rows, nil)
	}
	slices.SortStableFunc(rows, func(a, b Row) int {
		x, y := a.Hash(), b.Hash()
		return slices.Compare(x[:], y[:])
	})
	for start := 0; start < len(rows); {
		end := start + 1
		for end < len(rows) && rows[end].Hash() == rows[start].Hash() {
			end++
		}
		if end-start > 1 && !yield(rows[start:end:end], nil) {
			return false
		}
		start = end
	}
	return true
}
