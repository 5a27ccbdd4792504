package registry

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"

	bolt "go.etcd.io/bbolt"
)

// bbolt trusts the pages it maps: a page that names itself as its child, or a
// free list that names pages in use, would end the process or the data. So the
// shape of the tree is walked before bbolt may use it, with plain reads. The
// numbers are those of bbolt's file format 2.
const (
	boltMagic   = 0xED0CDAED
	boltVersion = 2

	pageHeader    = 16 // id, flags, count, overflow
	pageElement   = 16
	bucketHeader  = 16 // root page, sequence
	metaSize      = 64
	minPageSize   = 1 << 10
	maxPageSize   = 1 << 24
	maxTreeDepth  = 32
	noFreelist    = 1<<64 - 1
	branchFlag    = 0x01
	leafFlag      = 0x02
	freelistFlag  = 0x10
	bucketElement = 0x01 // flag of a leaf element whose value is a bucket
	manyFree      = 0xFFFF
)

// boltMeta is the newer valid one of the two first pages.
type boltMeta struct {
	pageSize       int64
	root, freelist uint64
	pages          uint64 // every page in use has a smaller id
	tx             uint64
}

// readMeta finds the newest valid meta page and checks that the file is as long
// as it says.
func (r *Registry) readMeta() (*boltMeta, error) {
	info, err := r.file.Stat()
	if err != nil {
		return nil, err
	}
	size := info.Size()
	if size == 0 {
		return nil, r.damage("", "the file is empty")
	}
	var best *boltMeta
	magic := false
	try := func(at int64) {
		var b [pageHeader + metaSize]byte
		if _, err := r.file.ReadAt(b[:], at); err != nil {
			return
		}
		m, known := parseMeta(b[pageHeader:])
		magic = magic || known
		if m != nil && (at == 0 || at == m.pageSize) && (best == nil || m.tx > best.tx) {
			best = m
		}
	}
	try(0)
	for at := int64(minPageSize); at <= maxPageSize && at < size; at *= 2 {
		try(at)
	}
	switch {
	case best == nil && magic:
		return nil, r.damage("pages 0 and 1", "neither is a valid meta page")
	case best == nil:
		return nil, r.damage("pages 0 and 1", "not a bbolt file")
	case size/best.pageSize < int64(best.pages):
		return nil, r.damage("", "the file has %d bytes, its %d pages need %d: it was truncated", size, best.pages, best.pages*uint64(best.pageSize))
	}
	return best, nil
}

func parseMeta(b []byte) (m *boltMeta, magic bool) {
	le := binary.LittleEndian
	if le.Uint32(b) != boltMagic {
		return nil, false
	}
	sum := fnv.New64a()
	sum.Write(b[:metaSize-8])
	m = &boltMeta{
		pageSize: int64(le.Uint32(b[8:])), root: le.Uint64(b[16:]),
		freelist: le.Uint64(b[32:]), pages: le.Uint64(b[40:]), tx: le.Uint64(b[48:]),
	}
	if le.Uint32(b[4:]) != boltVersion || sum.Sum64() != le.Uint64(b[metaSize-8:]) ||
		m.pageSize < minPageSize || m.pageSize > maxPageSize || m.pageSize&(m.pageSize-1) != 0 ||
		m.pages > 1<<50/uint64(m.pageSize) {
		return nil, true
	}
	return m, true
}

// pageWalk collects what is wrong with the pages it visits.
type pageWalk struct {
	file   io.ReaderAt
	meta   *boltMeta
	seen   map[uint64]bool
	nested func(key []byte) bool // whether to go into a bucket of a leaf; nil is yes
	faults []error
}

func (w *pageWalk) fault(id uint64, format string, args ...any) {
	w.faults = append(w.faults, fmt.Errorf("page %d: %s", id, fmt.Sprintf(format, args...)))
}

// page reads a page with all that overflows from it, after its header proved sane.
func (w *pageWalk) page(id uint64, head []byte) (flags uint16, count int, size int64, ok bool) {
	if id < 2 || id >= w.meta.pages {
		w.fault(id, "out of range 2:%d", w.meta.pages)
		return
	}
	if w.seen[id] {
		w.fault(id, "is used twice")
		return
	}
	if _, err := w.file.ReadAt(head[:pageHeader], int64(id)*w.meta.pageSize); err != nil {
		w.fault(id, "%v", err)
		return
	}
	le := binary.LittleEndian
	self, overflow := le.Uint64(head), uint64(le.Uint32(head[12:]))
	flags, count = le.Uint16(head[8:]), int(le.Uint16(head[10:]))
	switch {
	case self != id:
		w.fault(id, "says it is page %d", self)
		return
	case overflow >= w.meta.pages-id:
		w.fault(id, "overflows by %d pages of %d", overflow, w.meta.pages)
		return
	}
	for i := id; i <= id+overflow; i++ {
		if w.seen[i] {
			w.fault(i, "is used twice")
			return
		}
		w.seen[i] = true
	}
	return flags, count, int64(1+overflow) * w.meta.pageSize, true
}

// tree walks the branch and leaf pages below id and reports whether all is well.
func (w *pageWalk) tree(id uint64, depth int) {
	var head [pageHeader]byte
	flags, count, size, ok := w.page(id, head[:])
	if !ok {
		return
	}
	if depth > maxTreeDepth {
		w.fault(id, "lies %d deep", depth)
		return
	}
	if flags != branchFlag && flags != leafFlag || flags == branchFlag && count == 0 {
		w.fault(id, "flags %#x with %d elements are neither a branch's nor a leaf's", flags, count)
		return
	}
	start := int64(id) * w.meta.pageSize
	elements := make([]byte, count*pageElement)
	if int64(pageHeader+len(elements)) > size {
		w.fault(id, "%d elements do not fit %d bytes", count, size)
		return
	}
	if _, err := w.file.ReadAt(elements, start+pageHeader); err != nil {
		w.fault(id, "%v", err)
		return
	}
	section := io.NewSectionReader(w.file, start, size)
	w.elements(id, flags, elements, section, depth)
}

// elements checks a page's elements and goes below them. body is the page.
func (w *pageWalk) elements(id uint64, flags uint16, elements []byte, body *io.SectionReader, depth int) {
	le := binary.LittleEndian
	var last []byte
	for i := 0; i*pageElement < len(elements); i++ {
		e := elements[i*pageElement:]
		// A branch element is pos, ksize, page; a leaf element flags, pos, ksize, vsize.
		pos, ksize, vsize, child := int64(le.Uint32(e)), int64(le.Uint32(e[4:])), int64(0), le.Uint64(e[8:])
		isBucket := false
		if flags == leafFlag {
			isBucket = le.Uint32(e)&bucketElement != 0
			pos, ksize, vsize = int64(le.Uint32(e[4:])), int64(le.Uint32(e[8:])), int64(le.Uint32(e[12:]))
		}
		at := int64(pageHeader+i*pageElement) + pos
		if at < int64(pageHeader+len(elements)) || at+ksize+vsize > body.Size() || ksize > bolt.MaxKeySize {
			w.fault(id, "element %d at %d with %d+%d bytes does not fit %d", i, at, ksize, vsize, body.Size())
			return
		}
		key := make([]byte, ksize)
		if _, err := body.ReadAt(key, at); err != nil {
			w.fault(id, "%v", err)
			return
		}
		if i > 0 && bytes.Compare(last, key) >= 0 {
			w.fault(id, "element %d: key %q does not come after %q", i, key, last)
			return
		}
		last = key
		switch {
		case flags == branchFlag:
			w.tree(child, depth+1)
		case isBucket && (w.nested == nil || w.nested(key)):
			w.bucket(id, key, io.NewSectionReader(body, at+ksize, vsize), depth+1)
		}
	}
}

// bucket walks the bucket a leaf holds: a root page elsewhere, or a leaf page in
// the value itself.
func (w *pageWalk) bucket(id uint64, key []byte, value *io.SectionReader, depth int) {
	var head [bucketHeader]byte
	if _, err := value.ReadAt(head[:], 0); err != nil {
		w.fault(id, "bucket %q has %d bytes", key, value.Size())
		return
	}
	le := binary.LittleEndian
	if root := le.Uint64(head[:]); root != 0 {
		w.tree(root, depth)
		return
	}
	var page [pageHeader]byte
	if _, err := value.ReadAt(page[:], bucketHeader); err != nil {
		w.fault(id, "bucket %q has %d bytes", key, value.Size())
		return
	}
	flags, count := le.Uint16(page[8:]), int64(le.Uint16(page[10:]))
	if flags != leafFlag || pageHeader+count*pageElement > value.Size()-bucketHeader {
		w.fault(id, "bucket %q: flags %#x with %d elements in %d bytes", key, flags, count, value.Size())
		return
	}
	if count == 0 {
		return // nothing to read, which is an EOF at the value's end
	}
	elements := make([]byte, count*pageElement)
	if _, err := value.ReadAt(elements, bucketHeader+pageHeader); err != nil {
		w.fault(id, "bucket %q: %v", key, err)
		return
	}
	w.elements(id, flags, elements, io.NewSectionReader(value, bucketHeader, value.Size()-bucketHeader), depth)
}

// freePages checks that the free list names pages that exist and nothing uses.
func (w *pageWalk) freePages() {
	id := w.meta.freelist
	if id == noFreelist {
		return
	}
	var head [pageHeader + 8]byte
	flags, n, size, ok := w.page(id, head[:])
	if !ok {
		return
	}
	le := binary.LittleEndian
	start, at := int64(id)*w.meta.pageSize, int64(pageHeader)
	count := int64(n)
	if n == manyFree {
		if _, err := w.file.ReadAt(head[:8], start+at); err != nil {
			w.fault(id, "%v", err)
			return
		}
		count, at = int64(min(le.Uint64(head[:]), 1<<40)), at+8
	}
	if flags != freelistFlag || at+8*count > size {
		w.fault(id, "flags %#x with %d free pages in %d bytes is no free list", flags, count, size)
		return
	}
	list := make([]byte, 8*count)
	if _, err := w.file.ReadAt(list, start+at); err != nil {
		w.fault(id, "%v", err)
		return
	}
	for ; len(list) > 0; list = list[8:] {
		switch free := le.Uint64(list); {
		case free < 2 || free >= w.meta.pages:
			w.fault(id, "lists page %d of %d as free", free, w.meta.pages)
			return
		case w.seen[free]:
			w.fault(id, "lists page %d as free, which is in use", free)
			return
		default:
			w.seen[free] = true
		}
	}
}

// walkAll walks the whole file as of the newest meta page. The caller holds the
// lock, so that no writer is at work.
func (r *Registry) walkAll() (*pageWalk, error) {
	w, err := r.newWalk()
	if err != nil {
		return nil, err
	}
	w.tree(w.meta.root, 0)
	w.freePages()
	return w, nil
}

// checkPages is walkAll's faults as one error.
func (r *Registry) checkPages() error {
	w, err := r.walkAll()
	if err != nil {
		return err
	}
	return w.err(r, "")
}

// checkTops walks all but the revisions' own buckets, which checkRevision does
// when they are asked for: opening a large registry costs what is used of it.
func (r *Registry) checkTops(tx *bolt.Tx) error {
	w, err := r.newWalk()
	if err != nil {
		return err
	}
	w.nested = func(key []byte) bool { return !bytes.Equal(key, revisionsBucket) }
	w.tree(w.meta.root, 0)
	if len(w.faults) == 0 {
		// A bucket that holds buckets is never stored within its parent.
		if b := tx.Bucket(revisionsBucket); b != nil && b.Root() != 0 {
			w.nested = func([]byte) bool { return false }
			w.tree(uint64(b.Root()), 0)
		}
	}
	return w.err(r, "")
}

func (r *Registry) newWalk() (*pageWalk, error) {
	meta, err := r.readMeta()
	if err != nil {
		return nil, err
	}
	return &pageWalk{file: r.file, meta: meta, seen: map[uint64]bool{}}, nil
}

// err is the faults as one error, nil when there are none.
func (w *pageWalk) err(r *Registry, where string) error {
	switch len(w.faults) {
	case 0:
		return nil
	case 1:
		return r.damage(where, "%v", w.faults[0])
	}
	return r.damage(where, "%v (and %d more faults)", w.faults[0], len(w.faults)-1)
}

// checkRevision walks one revision's pages the first time this process uses it.
// For writing, Open has walked all.
func (r *Registry) checkRevision(id uint32, b *bolt.Bucket) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.readOnly || r.sound[id] || b.Root() == 0 {
		return nil
	}
	w, err := r.newWalk()
	if err != nil {
		return err
	}
	w.tree(uint64(b.Root()), 0)
	if err := w.err(r, fmt.Sprintf("revisions/%d", id)); err != nil {
		return err
	}
	r.sound[id] = true
	return nil
}
