package registry

import (
	"bytes"
	"context"
	"encoding/binary"
	"iter"
	"slices"
	"strings"

	bolt "go.etcd.io/bbolt"

	"wreg/registry/block"
	"wreg/registry/codec"
	"wreg/registry/hashindex"
	"wreg/registry/record"
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
	d := codec.NewReader(table)
	if st.files = d.Table(record.MaxFiles); d.Err == "" {
		d.Err = record.FilesFault(st.files)
	}
	if d.Err != "" {
		return nil, s.r.damage(filesPlace(e.id), "%s", d.Err)
	}
	blocks := own.Bucket(blocksKey)
	if blocks == nil {
		return nil, s.r.damage(st.ref, "the bucket of blocks is absent")
	}
	var count block.RowCount
	for k, value := range keys(blocks) {
		x := rawBlock{string(k), value}
		st.raw = append(st.raw, x)
		rows, err := block.Rows(x.key, x.value)
		if err != nil {
			return nil, s.r.damage(st.ref, "%v", err)
		}
		if count.Add(x.key, int(rows), len(value)); count.Wrong() != "" {
			return nil, s.r.damage(st.ref, "%s", count.Wrong())
		}
	}
	if len(st.raw) != e.blocks {
		return nil, s.r.damage(st.ref, "%d blocks, %d were written", len(st.raw), e.blocks)
	}
	if !s.kept.keepState(st, count.Free) {
		return nil, s.r.damage(st.ref, "its tensors and those of other revisions are too many for the bytes they are stored in")
	}
	return st, nil
}

// block reads the header of block at, once.
func (s *Snapshot) block(st *state, at int) (*block.Block, error) {
	if b := s.kept.head(st, at); b != nil {
		return b, nil
	}
	x := st.raw[at]
	b, err := block.Decode(x.key, x.value, st.files, func(err error) { s.r.report(st.ref, err) })
	if err != nil {
		return nil, s.r.damage(st.ref, "%v", err)
	}
	return s.kept.keepHead(st, at, b), nil
}

// Blocks yields a revision's blocks in template order: one block per template.
// Columns are decoded when asked for, so a query costs what it touches. A context that
// is done is an error.
func (s *Snapshot) Blocks(ctx context.Context, v *Revision) iter.Seq2[*block.Block, error] {
	return s.BlocksWhere(ctx, v, nil)
}

// BlocksWhere is Blocks for the templates that keep accepts; the others are not
// read at all. nil keeps all.
func (s *Snapshot) BlocksWhere(ctx context.Context, v *Revision, keep func(template string) bool) iter.Seq2[*block.Block, error] {
	return func(yield func(*block.Block, error) bool) {
		st, err := s.state(v)
		if err != nil {
			yield(nil, err)
			return
		}
		for at, x := range st.raw {
			if keep != nil && !keep(block.TemplateOf(x.key)) {
				continue
			}
			if err := ctx.Err(); err != nil {
				yield(nil, err)
				return
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
	key, index := block.KeyOf(path)
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
func (s *Snapshot) Tensors(ctx context.Context, v *Revision) iter.Seq2[tensor.Info, error] {
	return func(yield func(tensor.Info, error) bool) {
		for b, err := range s.Blocks(ctx, v) {
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
			for p := range c.Find(hashindex.Prefix(h)) {
				at, row, err := s.locate(st, p.Row)
				if err != nil {
					return nil, err
				}
				b, err := s.block(st, at)
				if err != nil {
					return nil, err
				}
				if b.Holds(row, int(p.Slice), h) {
					list = append(list, Where{st.ref, b.Path(row), int(p.Slice)})
				}
				if b.Err() != nil {
					return nil, s.r.damage(st.ref, "%v", b.Err())
				}
			}
		}
	}
	return list, nil
}

// Proven is a file whose bytes were held against its digest.
type Proven struct {
	Revision *Revision
	File     tensor.File
}

// ByDigest lists the files with this SHA-256 whose tensors are known from their bytes: those that were
// verified, and those that inherited what is known of one. The newest revision comes first.
func (s *Snapshot) ByDigest(digest tensor.Hash) (list []Proven, err error) {
	all, err := s.entries("")
	if err != nil {
		return nil, err
	}
	ids, err := s.digestOwners(digest)
	if err != nil {
		return nil, err
	}
	for _, id := range slices.Backward(ids) {
		at := slices.IndexFunc(all, func(e modelEntry) bool { return e.id == id })
		if at < 0 {
			return nil, s.r.damage(digestPlace(digestKey(digest, id)), "no such revision")
		}
		v, err := s.record(all[at])
		if err != nil {
			return nil, err
		}
		had := len(list)
		for _, f := range v.Files {
			if f.Trust.Proven() && f.Digest == digest.String() {
				list = append(list, Proven{v, f})
			}
		}
		if len(list) == had {
			return nil, s.r.damage(digestPlace(digestKey(digest, id)), "%s has no file of that digest", v.Ref())
		}
	}
	return list, nil
}

// digestOwners lists the revisions that the digests name, oldest first.
func (s *Snapshot) digestOwners(digest tensor.Hash) (ids []uint32, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.tx.Bucket(digestsBucket)
	if b == nil { // a registry of an older schema, open for reading
		return nil, nil
	}
	c := b.Cursor()
	for k, v := c.Seek(digest[:]); k != nil && bytes.HasPrefix(k, digest[:]); k, v = c.Next() {
		if _, err := s.r.unseal(digestPlace(k), v); err != nil {
			return nil, err
		}
		_, id, ok := splitDigestKey(k)
		if !ok {
			return nil, s.r.damage(digestPlace(k), "the key is not a digest and a revision's id")
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// FileTensors lists the tensors that lie in one file of a revision.
func (s *Snapshot) FileTensors(ctx context.Context, v *Revision, file string) (list []tensor.Info, err error) {
	for b, err := range s.Blocks(ctx, v) {
		if err != nil {
			return nil, err
		}
		files := b.Files()
		if _, same := files.Code().Const(); same && b.Len() > 0 && files.At(0) != file {
			continue
		}
		for i := range b.Len() {
			if files.At(i) == file {
				list = append(list, b.Info(i))
			}
		}
	}
	return list, nil
}

// content reads a revision's part of the content index once.
func (s *Snapshot) content(st *state) ([]hashindex.Chunk, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return once(s.kept, &st.chunks, func() ([]hashindex.Chunk, error) {
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
			n, err := block.Rows(x.key, x.value)
			if err != nil {
				return nil, s.r.damage(st.ref, "%v", err)
			}
			row += n
		}
		return starts, nil
	})
}

// locate finds the block a revision's row lies in, and its row there.
func (s *Snapshot) locate(st *state, row uint32) (at, inBlock int, err error) {
	starts, err := s.rowStarts(st)
	if err != nil {
		return 0, 0, err
	}
	at, exact := slices.BinarySearch(starts, row)
	if !exact {
		at--
	}
	if at < 0 {
		return 0, 0, s.r.damage(st.ref, "the content index names row %d of none", row)
	}
	x := st.raw[at]
	inBlock = int(row - starts[at])
	n, err := block.Rows(x.key, x.value)
	if err != nil || inBlock >= int(n) {
		return 0, 0, s.r.damage(st.ref, "the content index names row %d, block %q ends at %d", row, block.TemplateOf(x.key), starts[at]+n)
	}
	return at, inBlock, nil
}

// chunks reads a revision's part of the content index, verified.
func (r *Registry) chunks(tx *bolt.Tx, id uint32) ([]hashindex.Chunk, error) {
	b, err := r.bucket(tx, contentBucket)
	if err != nil {
		return nil, err
	}
	var all []hashindex.Chunk
	c := b.Cursor()
	prefix := idKey(id)
	next := [2]int{}
	for k, v := c.Seek(prefix); len(k) >= 4 && string(k[:4]) == string(prefix); k, v = c.Next() {
		if len(k) != 9 || k[4] > hashindex.Sliced || int(binary.BigEndian.Uint32(k[5:])) != next[k[4]] {
			return nil, r.damage(contentPlace(k), "the key does not continue the index")
		}
		next[k[4]]++
		value, err := r.unseal(contentPlace(k), v)
		if err != nil {
			return nil, err
		}
		part, err := hashindex.Decode(k[4], value)
		if err != nil {
			return nil, r.damage(contentPlace(k), "%v", err)
		}
		all = append(all, part)
	}
	return all, nil
}
