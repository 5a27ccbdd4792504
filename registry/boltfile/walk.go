package boltfile

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"

	bolt "go.etcd.io/bbolt"
)

// Walk collects what is wrong with the pages it visits.
type Walk struct {
	ctx    context.Context
	over   error // of ctx, once it was seen to be done
	file   File
	meta   *Meta
	seen   pageSet
	into   func(key []byte) bool // whether to go into the pages of a bucket; nil is yes
	faults []error
	more   int // faults beyond MaxFaults
}

// NewWalk begins a walk of a file as of its newest meta page. The caller sees to it
// that no writer is at work while it walks, and that it was not ended by its context, which
// is no fault.
func NewWalk(ctx context.Context, f File) (*Walk, error) {
	meta, err := ReadMeta(f)
	if err != nil {
		return nil, err
	}
	return &Walk{ctx: ctx, file: f, meta: meta, seen: make(pageSet, meta.pages/64+1)}, nil
}

// All walks every page of the file.
func (w *Walk) All() {
	w.Top(nil)
	w.freePages()
}

// Top walks from the page of the top buckets, into those that into accepts; nil
// accepts all.
func (w *Walk) Top(into func(key []byte) bool) { w.Bucket(w.meta.root, 0, into) }

// Bucket walks from the root page of a bucket that lies in depth-1 others.
func (w *Walk) Bucket(root uint64, depth int, into func(key []byte) bool) {
	w.into = into
	w.tree(root, inside{bucket: depth})
}

// Meta is the meta page the walk goes by.
func (w *Walk) Meta() *Meta { return w.meta }

// Take gives the faults found since the last call, and how many more there were.
func (w *Walk) Take() (faults []error, more int) {
	faults, more = w.faults, w.more
	w.faults, w.more = nil, 0
	return faults, more
}

func (w *Walk) fault(id uint64, format string, args ...any) {
	if len(w.faults) == MaxFaults {
		w.more++
		return
	}
	w.faults = append(w.faults, fmt.Errorf("page %d: %s", id, fmt.Sprintf(format, args...)))
}

// page reads a page's first bytes and takes the pages that overflow from it, after
// its header proved sane. body is all of them.
func (w *Walk) page(id uint64) (head []byte, body *io.SectionReader) {
	if w.over == nil {
		w.over = w.ctx.Err()
	}
	if w.over != nil {
		return nil, nil
	}
	if id < 2 || id >= w.meta.pages {
		w.fault(id, "out of range 2:%d", w.meta.pages)
		return nil, nil
	}
	if w.seen.has(id) {
		w.fault(id, "is used twice")
		return nil, nil
	}
	start := int64(id) * w.meta.pageSize
	head = make([]byte, w.meta.pageSize)
	if _, err := w.file.ReadAt(head, start); err != nil {
		w.fault(id, "%v", err)
		return nil, nil
	}
	le := binary.LittleEndian
	self, overflow := le.Uint64(head), uint64(le.Uint32(head[12:]))
	switch {
	case self != id:
		w.fault(id, "says it is page %d", self)
		return nil, nil
	case overflow >= w.meta.pages-id:
		w.fault(id, "overflows by %d pages of %d", overflow, w.meta.pages)
		return nil, nil
	}
	for i := id; i <= id+overflow; i++ {
		if !w.seen.add(i) {
			w.fault(i, "is used twice")
			return nil, nil
		}
	}
	if overflow == 0 {
		return head, io.NewSectionReader(bytes.NewReader(head), 0, w.meta.pageSize)
	}
	return head, io.NewSectionReader(w.file, start, int64(1+overflow)*w.meta.pageSize)
}

// Lost is for after All, which went through everything and found no fault: pages that
// nothing uses and the free list does not name. They only take room.
func (w *Walk) Lost() {
	if w.over != nil || len(w.faults) > 0 || w.meta.freelist == noFreelist {
		return
	}
	for id := uint64(2); id < w.meta.pages; id++ {
		if !w.seen.has(id) {
			w.fault(id, "is neither used nor free")
		}
	}
}

// pageSet is a set of page ids below a bound, one bit each.
type pageSet []uint64

func (s pageSet) has(id uint64) bool { return s[id/64]&(1<<(id%64)) != 0 }

// add reports whether the id was not there yet.
func (s pageSet) add(id uint64) bool {
	if s.has(id) {
		return false
	}
	s[id/64] |= 1 << (id % 64)
	return true
}

// inside is where a page lies: in which bucket, how deep in its tree, between which
// keys. nil is no bound.
type inside struct {
	bucket    int // buckets around it
	inline    bool
	depth     int
	low, high []byte // keys lie in [low, high)
}

// tree walks the branch and leaf pages from id on.
func (w *Walk) tree(id uint64, at inside) {
	head, body := w.page(id)
	if head == nil {
		return
	}
	if at.depth > MaxTreeDepth {
		w.fault(id, "lies %d deep", at.depth)
		return
	}
	flags, count := binary.LittleEndian.Uint16(head[8:]), int(binary.LittleEndian.Uint16(head[10:]))
	if flags != branchFlag && flags != leafFlag || flags == branchFlag && count == 0 {
		w.fault(id, "flags %#x with %d elements are neither a branch's nor a leaf's", flags, count)
		return
	}
	end := pageHeader + count*pageElement
	if int64(end) > body.Size() {
		w.fault(id, "%d elements do not fit %d bytes", count, body.Size())
		return
	}
	if end > len(head) {
		head = make([]byte, end)
		if _, err := body.ReadAt(head, 0); err != nil {
			w.fault(id, "%v", err)
			return
		}
	}
	w.elements(id, flags, head[pageHeader:end], body, at)
}

// element is one entry of a page: a key with a child page, or with a value.
type element struct {
	key      []byte
	child    uint64
	value    *io.SectionReader
	isBucket bool
}

// elements checks a page's elements and goes below them. table is their
// descriptions, body the page.
func (w *Walk) elements(id uint64, flags uint16, table []byte, body *io.SectionReader, at inside) {
	list := w.list(id, flags, table, body)
	for i, e := range list {
		switch last := list[max(0, i-1)].key; {
		case i > 0 && bytes.Compare(last, e.key) >= 0:
			w.fault(id, "element %d: key %.60q does not come after %.60q", i, e.key, last)
			return
		case bytes.Compare(e.key, at.low) < 0 || at.high != nil && bytes.Compare(e.key, at.high) >= 0:
			w.fault(id, "element %d: key %.60q is not between %.60q and %.60q, as its parent says", i, e.key, at.low, at.high)
			return
		}
	}
	for i, e := range list {
		switch {
		case flags == branchFlag:
			below := inside{bucket: at.bucket, depth: at.depth + 1, low: e.key, high: at.high}
			if i+1 < len(list) {
				below.high = list[i+1].key
			}
			w.tree(e.child, below)
		case e.isBucket && at.inline:
			w.fault(id, "bucket %.60q lies in a bucket that has no page of its own", e.key)
			return
		case e.isBucket && at.bucket == MaxBuckets:
			w.fault(id, "bucket %.60q lies in %d others, in a registry at most %d", e.key, at.bucket, MaxBuckets-1)
			return
		case e.isBucket:
			w.bucket(id, e.key, e.value, inside{bucket: at.bucket + 1, depth: at.depth + 1})
		}
	}
}

// list reads a page's elements, nil when they do not fit it.
func (w *Walk) list(id uint64, flags uint16, table []byte, body *io.SectionReader) []element {
	le := binary.LittleEndian
	var list []element
	end := int64(pageHeader + len(table)) // bbolt writes keys and values without a gap
	for i := 0; i*pageElement < len(table); i++ {
		x := table[i*pageElement:]
		// A branch element is pos, ksize, page; a leaf element flags, pos, ksize, vsize.
		pos, ksize, vsize, e := int64(le.Uint32(x)), int64(le.Uint32(x[4:])), int64(0), element{child: le.Uint64(x[8:])}
		if flags == leafFlag {
			e.isBucket = le.Uint32(x)&bucketElement != 0
			pos, ksize, vsize = int64(le.Uint32(x[4:])), int64(le.Uint32(x[8:])), int64(le.Uint32(x[12:]))
		}
		at := int64(pageHeader+i*pageElement) + pos
		if at != end || at+ksize+vsize > body.Size() || ksize > bolt.MaxKeySize {
			w.fault(id, "element %d takes %d+%d bytes at %d, it should start at %d and end by %d", i, ksize, vsize, at, end, body.Size())
			return nil
		}
		end = at + ksize + vsize
		e.key, e.value = make([]byte, ksize), io.NewSectionReader(body, at+ksize, vsize)
		if _, err := body.ReadAt(e.key, at); err != nil {
			w.fault(id, "%v", err)
			return nil
		}
		list = append(list, e)
	}
	return list
}

// bucket walks the bucket a leaf holds: a root page elsewhere, or a leaf page in
// the value itself.
func (w *Walk) bucket(id uint64, key []byte, value *io.SectionReader, at inside) {
	var head [bucketHeader]byte
	if _, err := value.ReadAt(head[:], 0); err != nil {
		w.fault(id, "bucket %.60q has %d bytes", key, value.Size())
		return
	}
	le := binary.LittleEndian
	if root := le.Uint64(head[:]); root != 0 {
		if value.Size() != bucketHeader {
			w.fault(id, "bucket %.60q has %d bytes, want %d", key, value.Size(), bucketHeader)
			return
		}
		if w.into == nil || w.into(key) {
			w.tree(root, at)
		}
		return
	}
	var page [pageHeader]byte
	if _, err := value.ReadAt(page[:], bucketHeader); err != nil {
		w.fault(id, "bucket %.60q has %d bytes", key, value.Size())
		return
	}
	flags, count := le.Uint16(page[8:]), int64(le.Uint16(page[10:]))
	if flags != leafFlag || pageHeader+count*pageElement > value.Size()-bucketHeader {
		w.fault(id, "bucket %.60q: flags %#x with %d elements in %d bytes", key, flags, count, value.Size())
		return
	}
	if count == 0 {
		return // nothing to read, which is an EOF at the value's end
	}
	elements := make([]byte, count*pageElement)
	if _, err := value.ReadAt(elements, bucketHeader+pageHeader); err != nil {
		w.fault(id, "bucket %.60q: %v", key, err)
		return
	}
	at.inline = true
	w.elements(id, flags, elements, io.NewSectionReader(value, bucketHeader, value.Size()-bucketHeader), at)
}

// freePages checks that the free list names pages that exist and nothing uses.
func (w *Walk) freePages() {
	id := w.meta.freelist
	if id == noFreelist {
		return
	}
	head, body := w.page(id)
	if head == nil {
		return
	}
	le := binary.LittleEndian
	flags, count, at := le.Uint16(head[8:]), int64(le.Uint16(head[10:])), int64(pageHeader)
	if count == manyFree {
		count, at = int64(min(le.Uint64(head[at:]), MaxPages)), at+8
	}
	if flags != freelistFlag || at+8*count > body.Size() {
		w.fault(id, "flags %#x with %d free pages in %d bytes are not a free list", flags, count, body.Size())
		return
	}
	list := bufio.NewReader(io.NewSectionReader(body, at, 8*count))
	for range count {
		var entry [8]byte
		if _, err := io.ReadFull(list, entry[:]); err != nil {
			w.fault(id, "%v", err)
			return
		}
		switch free := le.Uint64(entry[:]); {
		case free < 2 || free >= w.meta.pages:
			w.fault(id, "lists page %d of %d as free", free, w.meta.pages)
			return
		case !w.seen.add(free):
			w.fault(id, "lists page %d as free, which is in use", free)
			return
		}
	}
}
