package registry

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	bolt "go.etcd.io/bbolt"

	"wreg/registry/block"
	"wreg/registry/codec"
	"wreg/registry/hashindex"
	"wreg/registry/record"
	"wreg/registry/tensor"
)

// fillPercent packs pages of keys that arrive in order and never change.
const fillPercent = 0.95

// Put stores tensors as the next revision of v.Model in bounded transactions; the
// revision becomes visible in the last one. On error nothing of it is visible,
// and the remains are removed by the next Put or by GC. Tensors may come in any
// order; two with one path are an error.
func (r *Registry) Put(ctx context.Context, v Revision, tensors []tensor.Info) (*Revision, error) {
	if err := record.CheckName(v.Model); err != nil {
		return nil, err
	}
	groups, err := block.Group(tensors)
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", v.Model, err)
	}
	v.Tensors, v.Bytes = len(tensors), 0
	for i := range tensors {
		if v.Bytes > math.MaxInt64-tensors[i].Bytes {
			return nil, fmt.Errorf("model %s: the sizes of its tensors add up to more than 64 bits", v.Model)
		}
		v.Bytes += tensors[i].Bytes
	}
	return r.write(ctx, v, groups.Len(), func(w *putter) error { return w.run(groups, tensors) })
}

// write makes a revision of what run puts.
func (r *Registry) write(ctx context.Context, v Revision, blocks int, run func(w *putter) error) (*Revision, error) {
	v = v.Trusted()
	if wrong := v.Fault(); wrong != "" {
		return nil, fmt.Errorf("model %s: %s", v.Model, wrong)
	}
	if err := r.GC(ctx); err != nil {
		return nil, err
	}
	w := &putter{r: r, ctx: ctx, record: v, blocks: blocks}
	if err := run(w); err != nil {
		return nil, errors.Join(fmt.Errorf("model %s: %w", v.Model, err), w.abandon())
	}
	w.release()
	r.settle()
	return &w.record, nil
}

// putter writes one revision. Until finish nothing of it is visible.
type putter struct {
	r      *Registry
	ctx    context.Context
	record Revision
	blocks int
	chunks int    // of the content index, put so far
	id     uint32 // 0 until the first transaction
	batch  []write
	bytes  int
}

// write is one key of the revision; bucket is nil for its own bucket.
type write struct {
	bucket     []byte
	key, value []byte
}

func (w *putter) run(groups *block.Groups, tensors []tensor.Info) error {
	names, codes := fileTable(tensors)
	if wrong := record.FilesFault(names); wrong != "" {
		return errors.New(wrong)
	}
	if err := w.begin(); err != nil {
		return err
	}
	var whole, sliced []hashindex.Place
	var count block.RowCount
	row := uint32(0)
	for e, err := range groups.Encode(codes) {
		if err != nil {
			return err
		}
		for i := range e.Len() {
			whole, sliced = hashindex.Add(e.Info(i), row, whole, sliced)
			row++
		}
		if count.Add(e.Key, e.Len(), len(e.Bytes)); count.Wrong() != "" {
			return errors.New(count.Wrong())
		}
		if err := w.put(blocksKey, []byte(e.Key), e.Bytes); err != nil {
			return err
		}
	}
	for kind, places := range [][]hashindex.Place{whole, sliced} {
		for n, chunk := range hashindex.Chunks(byte(kind), places) {
			if err := w.content(byte(kind), n, chunk); err != nil {
				return err
			}
		}
	}
	return w.finish(names)
}

// copy is run for a revision of another registry that was checked: its bytes follow
// from its tensors, so they are the same here.
func (w *putter) copy(s *Snapshot, st *state) error {
	chunks, err := s.content(st)
	if err != nil {
		return err
	}
	if err := w.begin(); err != nil {
		return err
	}
	for _, x := range st.raw {
		if err := w.put(blocksKey, []byte(x.key), slices.Clone(x.value)); err != nil {
			return err
		}
	}
	var next [2]int // of either kind
	for _, c := range chunks {
		if err := w.content(c.Kind, next[c.Kind], c.Bytes); err != nil {
			return err
		}
		next[c.Kind]++
	}
	return w.finish(st.files)
}

// content puts a chunk of the content index.
func (w *putter) content(kind byte, n int, chunk []byte) error {
	w.chunks++
	key := contentKey(w.id, kind, n)
	return w.put(contentBucket, key, codec.Seal(contentPlace(key), chunk))
}

// fileTable lists the files the tensors lie in, sorted, and each one's place.
func fileTable(tensors []tensor.Info) ([]string, map[string]int) {
	codes := map[string]int{}
	var names []string
	for i := range tensors {
		if i > 0 && tensors[i].File == tensors[i-1].File {
			continue
		}
		if _, ok := codes[tensors[i].File]; !ok {
			codes[tensors[i].File] = 0
			names = append(names, tensors[i].File)
		}
	}
	slices.Sort(names)
	for i, n := range names {
		codes[n] = i
	}
	return names, codes
}

// begin reserves an id and marks it as pending, so that a killed process leaves
// a trace of what to clean up.
func (w *putter) begin() error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	return w.r.update(func(tx *bolt.Tx) error {
		revisions, err := w.r.bucket(tx, revisionsBucket)
		if err != nil {
			return err
		}
		pending, err := w.r.bucket(tx, pendingBucket)
		if err != nil {
			return err
		}
		n, err := revisions.NextSequence()
		if err != nil {
			return err
		}
		if n == 0 || n > math.MaxUint32 {
			return fmt.Errorf("registry %s: no revision ids are left", w.r.path)
		}
		w.id = uint32(n)
		w.r.mu.Lock()
		w.r.active[w.id] = true
		w.r.mu.Unlock()
		b, err := revisions.CreateBucket(idKey(w.id))
		if err != nil {
			return err
		}
		if _, err := b.CreateBucket(blocksKey); err != nil {
			return err
		}
		return pending.Put(idKey(w.id), []byte(w.record.Model))
	})
}

// put collects a write and commits when enough have come together.
func (w *putter) put(bucket, key, value []byte) error {
	w.batch = append(w.batch, write{bucket, key, value})
	w.bytes += len(key) + len(value)
	if w.bytes < batchBytes && len(w.batch) < batchKeys {
		return nil
	}
	if err := w.ctx.Err(); err != nil {
		return err
	}
	return w.r.update(w.flush)
}

// flush writes the batch within tx.
func (w *putter) flush(tx *bolt.Tx) error {
	content, err := w.r.bucket(tx, contentBucket)
	if err != nil {
		return err
	}
	revisions, err := w.r.bucket(tx, revisionsBucket)
	if err != nil {
		return err
	}
	own := revisions.Bucket(idKey(w.id))
	if own == nil {
		return fmt.Errorf("registry %s: revision %d was removed while it was written", w.r.path, w.id)
	}
	blocks := own.Bucket(blocksKey)
	blocks.FillPercent, content.FillPercent = fillPercent, fillPercent
	for _, x := range w.batch {
		b := own
		switch string(x.bucket) {
		case string(blocksKey):
			b = blocks
		case string(contentBucket):
			b = content
		}
		if err := b.Put(x.key, x.value); err != nil {
			return err
		}
	}
	w.batch, w.bytes = nil, 0
	return nil
}

// finish writes what is left and makes the revision visible.
func (w *putter) finish(files []string) error {
	if err := w.put(nil, filesKey, codec.Seal(filesPlace(w.id), codec.AppendTable(nil, files))); err != nil {
		return err
	}
	if err := w.ctx.Err(); err != nil {
		return err
	}
	return w.r.update(func(tx *bolt.Tx) error {
		if err := w.flush(tx); err != nil {
			return err
		}
		models, err := w.r.bucket(tx, modelsBucket)
		if err != nil {
			return err
		}
		number, err := w.r.nextNumber(tx, w.record.Model)
		if err != nil {
			return err
		}
		w.record.Number = number
		own := tx.Bucket(revisionsBucket).Bucket(idKey(w.id))
		if err := own.Put(infoKey, codec.Seal(infoPlace(w.id), record.Encode(&w.record))); err != nil {
			return err
		}
		digests, err := w.r.bucket(tx, digestsBucket)
		if err != nil {
			return err
		}
		for _, d := range provenDigests(&w.record) {
			key := digestKey(d, w.id)
			if err := digests.Put(key, codec.Seal(digestPlace(key), nil)); err != nil {
				return err
			}
		}
		key := modelKey(w.record.Model, number)
		if err := models.Put(key, codec.Seal(modelPlace(key), appendModel(w.id, w.blocks, w.chunks))); err != nil {
			return err
		}
		if err := countModels(models, 1); err != nil {
			return err
		}
		return tx.Bucket(pendingBucket).Delete(idKey(w.id))
	})
}

// nextNumber counts a model's revisions. A number is not given twice while the
// model exists, even when its last revision was removed.
func (r *Registry) nextNumber(tx *bolt.Tx, model string) (int, error) {
	b, err := r.bucket(tx, numbersBucket)
	if err != nil {
		return 0, err
	}
	last := uint64(0)
	if sealed := b.Get([]byte(model)); sealed != nil {
		value, err := r.unseal(numberPlace(model), sealed)
		if err != nil {
			return 0, err
		}
		d := codec.NewReader(value)
		if last = d.Uvarint(); d.Err != "" || last >= math.MaxInt32 {
			return 0, r.damage(numberPlace(model), "%d is not a revision's number", last)
		}
	}
	number := int(last) + 1
	return number, b.Put([]byte(model), codec.Seal(numberPlace(model), appendNumber(number)))
}

// release ends the protection of the id from GC.
func (w *putter) release() {
	w.r.mu.Lock()
	delete(w.r.active, w.id)
	w.r.mu.Unlock()
}

// abandon removes what was written of a revision that will not be.
func (w *putter) abandon() error {
	w.release()
	if w.id == 0 {
		return nil
	}
	w.r.mu.Lock()
	broken := w.r.broken
	w.r.mu.Unlock()
	if broken != nil {
		return nil // nothing may be written any more; the next GC does it
	}
	return w.r.erase(context.WithoutCancel(w.ctx), w.id)
}
