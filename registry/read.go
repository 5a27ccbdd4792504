package registry

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	"wreg/registry/tensor"
)

// state finds a revision's blocks.
func (s *Snapshot) state(v *Revision) (*state, error) {
	if v == nil {
		return nil, errNoRevision
	}
	e, err := s.find(v.Ref())
	if err != nil {
		return nil, err
	}
	return s.stateOf(e)
}

func (s *Snapshot) stateOf(e modelEntry) (*state, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st := s.kept.state(e.id); st != nil {
		return st, nil
	}
	st := &state{entry: e, ref: e.ref()}
	own, err := s.own(e.id)
	if err != nil {
		return nil, err
	}
	table, err := s.r.unseal(filesPlace(e.id), own.Get(filesKey))
	if err != nil {
		return nil, err
	}
	d := &reader{b: table}
	if st.files = d.table(maxFiles); d.err == "" {
		d.err = filesFault(st.files)
	}
	if d.err != "" {
		return nil, s.r.damage(filesPlace(e.id), "%s", d.err)
	}
	blocks := own.Bucket(blocksKey)
	if blocks == nil {
		return nil, s.r.damage(st.ref, "the bucket of blocks is absent")
	}
	c := blocks.Cursor()
	var count rowCount
	for k, value := c.First(); k != nil; k, value = c.Next() {
		x := rawBlock{string(k), value}
		st.raw = append(st.raw, x)
		rows, err := x.rows()
		if err != nil {
			return nil, s.r.damage(st.ref, "%v", err)
		}
		if count.add(x.key, int(rows), len(value)); count.wrong() != "" {
			return nil, s.r.damage(st.ref, "%s", count.wrong())
		}
	}
	if len(st.raw) != e.blocks {
		return nil, s.r.damage(st.ref, "%d blocks, %d were written", len(st.raw), e.blocks)
	}
	if !s.kept.keepState(st, count.free) {
		return nil, s.r.damage(st.ref, "its tensors and those of other revisions are too many for the bytes they are stored in")
	}
	return st, nil
}

// block reads the header of block at, once.
func (s *Snapshot) block(st *state, at int) (*Block, error) {
	if b := s.kept.head(st, at); b != nil {
		return b, nil
	}
	x := st.raw[at]
	b, err := decodeBlock(x.key, x.value, st.files, func(err error) { s.r.report(st.ref, err) })
	if err != nil {
		return nil, s.r.damage(st.ref, "%v", err)
	}
	return s.kept.keepHead(st, at, b), nil
}

// Blocks yields a revision's blocks in template order: one block per template.
// Columns are decoded when asked for, so a query costs what it touches.
func (s *Snapshot) Blocks(v *Revision) iter.Seq2[*Block, error] {
	return s.BlocksWhere(v, nil)
}

// BlocksWhere is Blocks for the templates that keep accepts; the others are not
// read at all. nil keeps all.
func (s *Snapshot) BlocksWhere(v *Revision, keep func(template string) bool) iter.Seq2[*Block, error] {
	return func(yield func(*Block, error) bool) {
		st, err := s.state(v)
		if err != nil {
			yield(nil, err)
			return
		}
		for at, x := range st.raw {
			if keep != nil && !keep(x.template()) {
				continue
			}
			b, err := s.block(st, at)
			if err == nil && !yield(b, nil) {
				return
			}
			if err == nil && b.Err() != nil {
				err = s.r.damage(st.ref, "%v", b.Err())
			}
			if err != nil && !yield(nil, err) {
				return
			}
		}
	}
}

// Lookup finds one tensor by its path.
func (s *Snapshot) Lookup(v *Revision, path string) (tensor.Info, bool, error) {
	st, err := s.state(v)
	if err != nil {
		return tensor.Info{}, false, err
	}
	key, index := blockKey(path)
	at, ok := slices.BinarySearchFunc(st.raw, key, func(x rawBlock, key string) int { return strings.Compare(x.key, key) })
	if !ok {
		return tensor.Info{}, false, nil
	}
	b, err := s.block(st, at)
	if err != nil {
		return tensor.Info{}, false, err
	}
	row, ok := b.Row(index)
	var t tensor.Info
	if ok {
		t = b.Info(row)
	}
	if b.Err() != nil {
		return tensor.Info{}, false, s.r.damage(st.ref, "%v", b.Err())
	}
	return t, ok, nil
}

// Tensors yields every tensor of a revision, block by block, then in index order.
func (s *Snapshot) Tensors(v *Revision) iter.Seq2[tensor.Info, error] {
	return func(yield func(tensor.Info, error) bool) {
		for b, err := range s.Blocks(v) {
			if err != nil {
				yield(tensor.Info{}, err)
				return
			}
			for i := range b.Len() {
				t := b.Info(i)
				if b.Err() != nil {
					break // Blocks yields it
				}
				if !yield(t, nil) {
					return
				}
			}
		}
	}
}

// Where is one place of some content.
type Where struct {
	Model string // revision ref
	Path  string
	Slice int // -1: the whole tensor; else the slice along axis 0
}

// ByHash lists where content with this hash lies, over all revisions, slices of
// stacked tensors included.
func (s *Snapshot) ByHash(h tensor.Hash) ([]Where, error) {
	all, err := s.entries("")
	if err != nil || h.IsZero() {
		return nil, err
	}
	var list []Where
	for _, e := range all {
		st, err := s.stateOf(e)
		if err != nil {
			return nil, err
		}
		chunks, err := s.content(st)
		if err != nil {
			return nil, err
		}
		for _, c := range chunks {
			for i := c.find(prefixOf(h)); i < c.n && c.prefix(i) == prefixOf(h); i++ {
				p := c.at(i)
				at, row, err := s.locate(st, p.row)
				if err != nil {
					return nil, err
				}
				b, err := s.block(st, at)
				if err != nil {
					return nil, err
				}
				if b.holds(row, int(p.slice), h) {
					list = append(list, Where{st.ref, b.Path(row), int(p.slice)})
				}
				if b.Err() != nil {
					return nil, s.r.damage(st.ref, "%v", b.Err())
				}
			}
		}
	}
	return list, nil
}

// holds reports whether a row's hash, or that of one of its slices, is h.
func (b *Block) holds(row, slice int, h tensor.Hash) bool {
	if slice < 0 {
		return b.Hashes().At(row) == h
	}
	start, end := b.sliceSpan(row)
	if slice >= end-start {
		b.damaged(fmt.Sprintf("the content index names slice %d of row %d, which has %d", slice, row, end-start))
		return false
	}
	return b.sliceHash(start+slice) == h
}

// content reads a revision's part of the content index once.
func (s *Snapshot) content(st *state) ([]chunk, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return once(s.kept, &st.chunks, func() ([]chunk, error) {
		chunks, err := s.r.chunks(s.tx, st.entry.id)
		if err == nil && len(chunks) != st.entry.chunks {
			err = s.r.damage(st.ref, "%d chunks of the content index, %d were written", len(chunks), st.entry.chunks)
		}
		return chunks, err
	})
}

// rowStarts counts the rows before each block.
func (s *Snapshot) rowStarts(st *state) ([]uint32, error) {
	return once(s.kept, &st.starts, func() ([]uint32, error) {
		starts, row := make([]uint32, 0, len(st.raw)), uint32(0)
		for _, x := range st.raw {
			starts = append(starts, row)
			n, err := x.rows()
			if err != nil {
				return nil, s.r.damage(st.ref, "%v", err)
			}
			row += n
		}
		return starts, nil
	})
}

// rows reads how many rows a block has from the beginning of its header.
func (x rawBlock) rows() (uint32, error) {
	d := &reader{b: x.value}
	d.byte()
	n := d.uvarint()
	if d.err != "" || n == 0 || n > maxRows || len(x.value) < minBlock {
		return 0, fmt.Errorf("block %.60q: %d rows in %d bytes", x.template(), n, len(x.value))
	}
	return uint32(n), nil
}

// locate finds the block a revision's row lies in, and its row there.
func (s *Snapshot) locate(st *state, row uint32) (block, at int, err error) {
	starts, err := s.rowStarts(st)
	if err != nil {
		return 0, 0, err
	}
	block, exact := slices.BinarySearch(starts, row)
	if !exact {
		block--
	}
	if block < 0 {
		return 0, 0, s.r.damage(st.ref, "the content index names row %d of none", row)
	}
	at = int(row - starts[block])
	n, err := st.raw[block].rows()
	if err != nil || at >= int(n) {
		return 0, 0, s.r.damage(st.ref, "the content index names row %d, block %q ends at %d", row, st.raw[block].template(), starts[block]+n)
	}
	return block, at, nil
}
