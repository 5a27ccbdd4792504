package registry

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	bolt "go.etcd.io/bbolt"
)

// maxFaults bounds how many faults of one place Check lists; the rest are counted.
const maxFaults = 100

// Check walks everything: bbolt's pages, keys, blocks, dangling references, the
// content index both ways. It reports every fault, not the first.
func (r *Registry) Check(ctx context.Context) ([]Fault, error) {
	c := &checker{r: r, ctx: ctx, count: map[string]int{}}
	err := r.alone(func(tx *bolt.Tx) error {
		pages, err := r.walkAll()
		if err != nil {
			return err
		}
		for _, f := range pages.faults {
			c.fault("pages", "%v", f)
		}
		if len(c.faults) == 0 {
			// bbolt's own check trusts the shape of the pages.
			for err := range tx.Check() {
				c.fault("pages", "%v", err)
			}
		}
		c.s = newSnapshot(r, tx)
		if err := c.all(tx); err != nil && ctx.Err() == nil {
			c.fault("registry", "%v", err)
		}
		return ctx.Err()
	})
	if err != nil {
		return nil, err
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
	faults []Fault
	count  map[string]int
	known  map[uint32]bool // visible or pending revisions
}

func (c *checker) fault(where, format string, args ...any) {
	c.count[where]++
	if c.count[where] <= maxFaults {
		c.faults = append(c.faults, Fault{where, fmt.Sprintf(format, args...)})
	}
}

func (c *checker) done() []Fault {
	var wheres []string
	for where, n := range c.count {
		if n > maxFaults {
			wheres = append(wheres, where)
		}
	}
	slices.Sort(wheres)
	for _, where := range wheres {
		c.faults = append(c.faults, Fault{where, fmt.Sprintf("and %d more faults", c.count[where]-maxFaults)})
	}
	return c.faults
}

// all goes through the buckets.
func (c *checker) all(tx *bolt.Tx) error {
	if _, err := c.r.readSchema(tx); err != nil {
		c.fault("meta", "%v", err)
	}
	c.topBuckets(tx)
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
	for _, e := range visible {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		if err := c.r.guard(func() error { return c.revision(e) }); err != nil {
			c.fault(e.ref(), "%v", err)
		}
	}
	return nil
}

func (c *checker) topBuckets(tx *bolt.Tx) {
	for _, name := range buckets {
		if tx.Bucket(name) == nil {
			c.fault(string(name), "the bucket is absent")
		}
	}
	cursor := tx.Cursor()
	for k, _ := cursor.First(); k != nil; k, _ = cursor.Next() {
		if !slices.ContainsFunc(buckets, func(b []byte) bool { return string(b) == string(k) }) {
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
	cursor, n := b.Cursor(), uint64(0)
	for k, v := cursor.First(); k != nil; k, v = cursor.Next() {
		n++
		e, err := c.s.entry(k, v)
		if err == nil {
			err = CheckName(e.name)
		}
		if err != nil {
			c.fault(modelPlace(k), "%v", err)
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
	b := tx.Bucket(pendingBucket)
	if b == nil {
		return
	}
	cursor := b.Cursor()
	for k, _ := cursor.First(); k != nil; k, _ = cursor.Next() {
		switch {
		case len(k) != 4:
			c.fault("pending", "key %x is no revision id", k)
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
	b := tx.Bucket(numbersBucket)
	if b == nil {
		return
	}
	cursor := b.Cursor()
	for k, v := cursor.First(); k != nil; k, v = cursor.Next() {
		name := string(k)
		value, err := c.r.unseal(numberPlace(name), v)
		d := &reader{b: value}
		n := d.uvarint()
		top, ok := last[name]
		delete(last, name)
		switch {
		case err != nil:
			c.fault(numberPlace(name), "%v", err)
		case !ok:
			c.fault(numberPlace(name), "no such model")
		case d.err != "" || n < uint64(top):
			c.fault(numberPlace(name), "%d is below the model's last revision %d", n, top)
		}
	}
	for name := range last {
		c.fault(numberPlace(name), "the key is absent")
	}
}

// dangling finds what no model refers to.
func (c *checker) dangling(tx *bolt.Tx) {
	if b := tx.Bucket(revisionsBucket); b != nil {
		cursor := b.Cursor()
		for k, v := cursor.First(); k != nil; k, v = cursor.Next() {
			switch {
			case len(k) != 4 || v != nil:
				c.fault("revisions", "key %x is no revision's bucket", k)
			case !c.known[binary.BigEndian.Uint32(k)]:
				c.fault(fmt.Sprintf("revisions/%d", binary.BigEndian.Uint32(k)), "no model refers to it")
			}
		}
	}
	b := tx.Bucket(contentBucket)
	if b == nil {
		return
	}
	cursor := b.Cursor()
	for k, _ := cursor.First(); k != nil; k, _ = cursor.Next() {
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
		return err
	}
	st, err := c.s.stateOf(e)
	if err != nil {
		return err
	}
	var want [2][]place
	rows, bytes := 0, int64(0)
	for _, x := range st.raw {
		b, err := decodeBlock(x.key, x.value, st.files, nil)
		if err == nil {
			err = b.verify()
		}
		if err != nil {
			c.fault(ref, "%v", err)
			continue
		}
		sum, ok := b.Bytes().Sum()
		if !ok || sum < 0 {
			c.fault(ref, "block %q: sizes overflow", b.Template())
		}
		bytes += sum
		for i := range b.Len() {
			row := uint32(rows + i)
			if h := b.Hashes().At(i); !h.IsZero() {
				want[wholeKind] = append(want[wholeKind], place{prefixOf(h), row, -1})
			}
			for k, h := range b.Slices(i) {
				want[sliceKind] = append(want[sliceKind], place{prefixOf(h), row, int32(k)})
			}
		}
		rows += b.Len()
	}
	if rows != v.Tensors || bytes != v.Bytes {
		c.fault(ref, "its blocks hold %d tensors of %d bytes, its record says %d of %d", rows, bytes, v.Tensors, v.Bytes)
	}
	chunks, err := c.s.content(st)
	if err != nil {
		return err
	}
	var have [2][]place
	for _, part := range chunks {
		for i := range part.n {
			have[part.kind] = append(have[part.kind], part.at(i))
		}
	}
	for kind := range want {
		if !slices.IsSortedFunc(have[kind], comparePlace) {
			c.fault(ref, "the content index is not sorted")
			slices.SortFunc(have[kind], comparePlace)
		}
		c.compare(ref, want[kind], have[kind])
	}
	return nil
}

// compare reports the differences of two lists of places, want sorted here.
func (c *checker) compare(ref string, want, have []place) {
	slices.SortFunc(want, comparePlace)
	for len(want) > 0 || len(have) > 0 {
		order := 0
		switch {
		case len(have) == 0:
			order = -1
		case len(want) == 0:
			order = 1
		default:
			order = comparePlace(want[0], have[0])
		}
		switch {
		case order < 0:
			c.fault(ref, "row %d slice %d: hash %016x… is not in the content index", want[0].row, want[0].slice, want[0].prefix)
			want = want[1:]
		case order > 0:
			c.fault(ref, "the content index has hash %016x… at row %d slice %d, which does not", have[0].prefix, have[0].row, have[0].slice)
			have = have[1:]
		default:
			want, have = want[1:], have[1:]
		}
	}
}

// verify decodes every column of every row.
func (b *Block) verify() error {
	for i := range b.grid {
		b.prove(&b.grid[i])
	}
	for i := range b.cols {
		b.prove(&b.cols[i])
	}
	if err := b.Err(); err != nil {
		return err
	}
	for _, x := range []struct {
		name  string
		codes Ints
		table int
	}{
		{"shape", b.column(colShape), len(b.shapes)},
		{"file", b.column(colFile), len(b.files)},
		{"format", b.column(colFormat), len(b.formats)},
	} {
		for i := range b.rows {
			if v := x.codes.At(i); v < 0 || v >= int64(x.table) {
				return fmt.Errorf("block %q: row %d: %s %d of %d", b.template, i, x.name, v, x.table)
			}
		}
	}
	var last []int64
	for i := range b.rows {
		index := b.index(i)
		if i > 0 && slices.Compare(last, index) >= 0 {
			return fmt.Errorf("block %q: row %d does not come after the row before", b.template, i)
		}
		last = index
		t := b.Info(i)
		if err := checkInfo(&t); err != nil {
			return fmt.Errorf("block %q: row %d: %w", b.template, i, err)
		}
		if key, numbers := blockKey(t.Path); key[1:] != b.template || (key[0] == literalKey) != b.literal || !slices.Equal(numbers, index) {
			return fmt.Errorf("block %q: row %d: path %q belongs to block %q", b.template, i, t.Path, key[1:])
		}
	}
	return b.Err()
}
