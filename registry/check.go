package registry

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	bolt "go.etcd.io/bbolt"

	"wreg/registry/block"
	"wreg/registry/boltfile"
	"wreg/registry/codec"
	"wreg/registry/hashindex"
	"wreg/registry/tensor"
)

// maxFaults bounds how many faults of one place Check lists; the rest are counted.
const maxFaults = 100

// Check walks everything: bbolt's pages, keys, blocks, dangling references, the
// content index both ways. It reports every fault, not the first.
func (r *Registry) Check(ctx context.Context) ([]tensor.Finding, error) {
	c := newChecker(ctx, &Snapshot{r: r})
	err := r.alone(func(tx *bolt.Tx) error {
		pages, err := r.walkAll(ctx)
		if err != nil {
			return err
		}
		for _, id := range pages.Meta().Damaged(r.file) {
			c.fault("pages", "page %d: not a valid meta page; the file is read by the other one, and the next write repairs it", id)
		}
		pages.Lost()
		c.pages(pages)
		c.s = newSnapshot(r, tx)
		if err := c.all(tx); err != nil && ctx.Err() == nil {
			c.failed("registry", err)
		}
		return ctx.Err()
	})
	if err != nil {
		return nil, err
	}
	return c.done(), nil
}

// CheckFile is Check for a file that may be too damaged to be opened: then its pages
// are walked alone. It reads only. The error says what kept it from looking.
func CheckFile(ctx context.Context, path string, o Options) ([]tensor.Finding, error) {
	o.ReadOnly = true
	r, err := Open(path, o)
	if err == nil {
		faults, err := r.Check(ctx)
		return faults, errors.Join(err, r.Close())
	}
	damaged, ok := errors.AsType[*DamagedError](err)
	if !ok {
		return nil, err
	}
	r = newRegistry(damaged.Path, true)
	c := newChecker(ctx, &Snapshot{r: r})
	if err := r.open(true, defaultTimeout); err == nil {
		if pages, err := r.walkAll(ctx); err == nil {
			c.pages(pages)
		}
		if err := r.Close(); err != nil {
			return nil, err
		}
	}
	if len(c.faults) == 0 {
		c.failed("registry", damaged)
	}
	return c.done(), nil
}

// errUndo ends a transaction that was only opened to keep others out.
var errUndo = errors.New("undo")

// alone runs fn while nobody writes, in this process or another.
func (r *Registry) alone(fn func(*bolt.Tx) error) error {
	if r.readOnly {
		return r.view(fn)
	}
	err := r.update(func(tx *bolt.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		return errUndo
	})
	if err == errUndo {
		return nil
	}
	return err
}

type checker struct {
	r      *Registry
	ctx    context.Context
	s      *Snapshot
	faults []tensor.Finding
	count  map[string]int
	known  map[uint32]bool // visible or pending revisions

	digests map[string]bool // the keys that there should be
	blurred bool            // the record of a revision cannot be read: what digests it has is not known
}

func newChecker(ctx context.Context, s *Snapshot) *checker {
	return &checker{r: s.r, ctx: ctx, s: s, count: map[string]int{}}
}

func (c *checker) fault(where, format string, args ...any) {
	c.count[where]++
	if c.count[where] <= maxFaults {
		c.faults = append(c.faults, tensor.Finding{File: where, Message: fmt.Sprintf(format, args...)})
	}
}

func (c *checker) pages(w *boltfile.Walk) {
	faults, more := w.Take()
	for _, f := range faults {
		c.fault("pages", "%v", f)
	}
	c.count["pages"] += more
}

// failed is fault for an error, which knows a better place when it is about damage.
func (c *checker) failed(where string, err error) {
	if d, ok := errors.AsType[*DamagedError](err); ok {
		if d.Where != "" && d.Where != where {
			where += ": " + d.Where
		}
		c.fault(where, "%s", d.Message)
		return
	}
	c.fault(where, "%v", err)
}

func (c *checker) done() []tensor.Finding {
	var wheres []string
	for where, n := range c.count {
		if n > maxFaults {
			wheres = append(wheres, where)
		}
	}
	slices.Sort(wheres)
	for _, where := range wheres {
		c.faults = append(c.faults, tensor.Finding{File: where, Message: fmt.Sprintf("and %d more faults", c.count[where]-maxFaults)})
	}
	return c.faults
}

// all goes through the buckets.
func (c *checker) all(tx *bolt.Tx) error {
	schema, err := c.r.readSchema(tx)
	if err != nil {
		c.failed("meta", err)
	}
	c.topBuckets(tx, schema)
	visible := c.models(tx)
	c.known = map[uint32]bool{}
	for _, e := range visible {
		if c.known[e.id] {
			c.fault(modelPlace(modelKey(e.name, e.number)), "revision %d belongs to another model too", e.id)
		}
		c.known[e.id] = true
	}
	c.pending(tx)
	c.numbers(tx, visible)
	c.dangling(tx)
	c.digests = map[string]bool{}
	for _, e := range visible {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		if err := c.r.guard(func() error { return c.revision(e) }); err != nil {
			c.failed(e.ref(), err)
		}
	}
	c.digestKeys(tx)
	return nil
}

// digestKeys checks that digests are kept of the files that have them, and of no others.
func (c *checker) digestKeys(tx *bolt.Tx) {
	b := tx.Bucket(digestsBucket)
	if b == nil {
		return // which is a fault already, or an older schema
	}
	for k, v := range keys(b) {
		_, err := c.r.unseal(digestPlace(k), v)
		known := c.digests[string(k)]
		delete(c.digests, string(k))
		if err != nil {
			c.failed(digestPlace(k), err)
		} else if !known && !c.blurred {
			c.fault(digestPlace(k), "no file has that digest")
		}
	}
	for k := range c.digests {
		c.fault(digestPlace([]byte(k)), "the key is absent")
	}
}

func (c *checker) topBuckets(tx *bolt.Tx, schema int) {
	for _, name := range buckets {
		if string(name) == string(digestsBucket) && schema < 2 {
			continue
		}
		if tx.Bucket(name) == nil {
			c.fault(string(name), "the bucket is absent")
		}
	}
	cursor := tx.Cursor()
	for k, _ := cursor.First(); k != nil; k, _ = cursor.Next() {
		if !slices.ContainsFunc(buckets, func(b []byte) bool { return string(b) == string(k) }) && string(k) != string(copyBucket) {
			c.fault("registry", "unknown bucket %q", k)
		}
	}
}

// models reads the names, every fault by itself.
func (c *checker) models(tx *bolt.Tx) []modelEntry {
	var list []modelEntry
	b := tx.Bucket(modelsBucket)
	if b == nil {
		return nil
	}
	n := uint64(0)
	for k, v := range keys(b) {
		n++
		e, err := c.s.entry(k, v)
		if err != nil {
			c.failed(modelPlace(k), err)
			continue
		}
		list = append(list, e)
	}
	if n != b.Sequence() {
		c.fault("models", "%d revisions, %d were written", n, b.Sequence())
	}
	return list
}

func (c *checker) pending(tx *bolt.Tx) {
	for k := range keys(tx.Bucket(pendingBucket)) {
		switch {
		case len(k) != 4:
			c.fault("pending", "key %.60x is not a revision id", k)
		case c.known[binary.BigEndian.Uint32(k)]:
			c.fault("pending", "revision %d is visible already", binary.BigEndian.Uint32(k))
		default:
			c.known[binary.BigEndian.Uint32(k)] = true
		}
	}
}

// numbers checks that each model has its count and no other has.
func (c *checker) numbers(tx *bolt.Tx, visible []modelEntry) {
	last := map[string]int{}
	for _, e := range visible {
		last[e.name] = max(last[e.name], e.number)
	}
	if tx.Bucket(numbersBucket) == nil {
		return // which is a fault already
	}
	for k, v := range keys(tx.Bucket(numbersBucket)) {
		name := string(k)
		value, err := c.r.unseal(numberPlace(name), v)
		d := codec.NewReader(value)
		n := d.Uvarint()
		top, ok := last[name]
		delete(last, name)
		switch {
		case err != nil:
			c.failed(numberPlace(name), err)
		case !ok:
			c.fault(numberPlace(name), "no such model")
		case d.Err != "" || n < uint64(top):
			c.fault(numberPlace(name), "%d is below the model's last revision %d", n, top)
		}
	}
	for name := range last {
		c.fault(numberPlace(name), "the key is absent")
	}
}

// dangling finds what no model refers to.
func (c *checker) dangling(tx *bolt.Tx) {
	for k, v := range keys(tx.Bucket(revisionsBucket)) {
		switch {
		case len(k) != 4 || v != nil:
			c.fault("revisions", "key %x is not a revision's bucket", k)
		case !c.known[binary.BigEndian.Uint32(k)]:
			c.fault(fmt.Sprintf("revisions/%d", binary.BigEndian.Uint32(k)), "no model refers to it")
		}
	}
	for k := range keys(tx.Bucket(contentBucket)) {
		if len(k) != 9 || !c.known[binary.BigEndian.Uint32(k)] {
			c.fault(contentPlace(k), "no revision refers to it")
		}
	}
}

// revision decodes all of one revision and compares it with the content index.
func (c *checker) revision(e modelEntry) error {
	ref := e.ref()
	v, err := c.s.record(e)
	if err != nil {
		c.blurred = true
		return err
	}
	for _, d := range provenDigests(v) {
		if c.digests != nil {
			c.digests[string(digestKey(d, e.id))] = true
		}
	}
	st, err := c.s.stateOf(e)
	if err != nil {
		return err
	}
	chunks, missing := c.s.content(st)
	var have [2][]hashindex.Place
	for _, part := range chunks {
		have[part.Kind] = slices.Grow(have[part.Kind], part.N)
		for i := range part.N {
			have[part.Kind] = append(have[part.Kind], part.At(i))
		}
	}
	var want [2][]hashindex.Place
	more := 0
	expect := func(kind int, p hashindex.Place) {
		// A hash that all rows share takes no bytes, however many rows there are.
		if len(want[kind]) > len(have[kind])+maxFaults {
			more++
			return
		}
		want[kind] = append(want[kind], p)
	}
	rows, bytes := 0, int64(0)
	for _, x := range st.raw {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		b, err := block.Decode(x.key, x.value, st.files, nil)
		if err == nil {
			err = b.Verify()
		}
		if err != nil {
			c.failed(ref, err)
			continue
		}
		sum, ok := b.Bytes().Sum()
		if !ok || sum < 0 || sum > math.MaxInt64-bytes {
			c.fault(ref, "block %q: sizes overflow", b.Template())
			sum = 0
		}
		bytes += sum
		for i := range b.Len() {
			row := uint32(rows + i)
			if h := b.Hashes().At(i); !h.IsZero() {
				expect(hashindex.Whole, hashindex.Place{Prefix: hashindex.Prefix(h), Row: row, Slice: -1})
			}
			for k, h := range b.Slices(i) {
				expect(hashindex.Sliced, hashindex.Place{Prefix: hashindex.Prefix(h), Row: row, Slice: int32(k)})
			}
		}
		rows += b.Len()
	}
	if rows != v.Tensors || bytes != v.Bytes {
		c.fault(ref, "its blocks hold %d tensors of %d bytes, its record says %d of %d", rows, bytes, v.Tensors, v.Bytes)
	}
	if missing != nil {
		return missing
	}
	for kind := range want {
		if !slices.IsSortedFunc(have[kind], hashindex.Compare) {
			c.fault(ref, "the content index is not sorted")
			slices.SortFunc(have[kind], hashindex.Compare)
		}
		c.compare(ref, want[kind], have[kind])
	}
	if more > 0 {
		c.fault(ref, "%d more hashes are not in the content index", more)
	}
	return nil
}

// compare reports the differences of two lists of places, want sorted here.
func (c *checker) compare(ref string, want, have []hashindex.Place) {
	slices.SortFunc(want, hashindex.Compare)
	for len(want) > 0 || len(have) > 0 {
		order := 0
		switch {
		case len(have) == 0:
			order = -1
		case len(want) == 0:
			order = 1
		default:
			order = hashindex.Compare(want[0], have[0])
		}
		switch {
		case order < 0:
			c.fault(ref, "row %d slice %d: hash %016x… is not in the content index", want[0].Row, want[0].Slice, want[0].Prefix)
			want = want[1:]
		case order > 0:
			c.fault(ref, "the content index has hash %016x… at row %d slice %d, which does not", have[0].Prefix, have[0].Row, have[0].Slice)
			have = have[1:]
		default:
			want, have = want[1:], have[1:]
		}
	}
}
