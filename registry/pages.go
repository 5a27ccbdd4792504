package registry

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"

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
	maxPageSize   = 1 << 16 // of any system that Go runs on
	maxPages      = 1 << 28 // 1 TiB of 4 KiB; what was seen takes a bit each
	maxTreeDepth  = 32
	maxBuckets    = 3 // in each other: revisions, one of them, its blocks
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
	if try(0); best != nil {
		try(best.pageSize)
	} else {
		for at := int64(minPageSize); at <= maxPageSize && at < size; at *= 2 {
			try(at)
		}
	}
	switch {
	case best == nil && magic:
		return nil, r.damage("pages 0 and 1", "neither is a valid meta page")
	case best == nil:
		return nil, r.damage("pages 0 and 1", "not a bbolt file")
	case size/best.pageSize > 2*maxPages:
		return nil, r.damage("", "the file has %d bytes, at most %d pages of %d are read", size, maxPages, best.pageSize)
	case size/best.pageSize < int64(best.pages):
		return nil, r.damage("", "the file has %d bytes, its %d pages need %d: it was truncated", size, best.pages, best.pages*uint64(best.pageSize))
	}
	return best, nil
}

// damagedMetas are those of the two meta pages that are not valid. One is enough to
// read the file, so only Check asks.
func (r *Registry) damagedMetas(m *boltMeta) (pages []uint64) {
	for id := range uint64(2) {
		var b [pageHeader + metaSize]byte
		_, err := r.file.ReadAt(b[:], int64(id)*m.pageSize)
		if parsed, _ := parseMeta(b[pageHeader:]); err != nil || parsed == nil {
			pages = append(pages, id)
		}
	}
	return pages
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
		m.pages > maxPages {
		return nil, true
	}
	return m, true
}

// walkAll walks the whole file as of the newest meta page. The caller holds the
// lock, so that no writer is at work.
func (r *Registry) walkAll() (*pageWalk, error) {
	w, err := r.newWalk()
	if err != nil {
		return nil, err
	}
	w.tree(w.meta.root, inside{})
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
	w.tree(w.meta.root, inside{})
	if len(w.faults) == 0 {
		if b := tx.Bucket(revisionsBucket); b != nil && b.Root() != 0 {
			w.nested = func([]byte) bool { return false }
			w.tree(uint64(b.Root()), inside{bucket: 1})
		}
	}
	w.nested, r.walk = nil, w
	return w.err(r, "")
}

func (r *Registry) newWalk() (*pageWalk, error) {
	meta, err := r.readMeta()
	if err != nil {
		return nil, err
	}
	return &pageWalk{file: r.file, meta: meta, seen: make(pageSet, meta.pages/64+1)}, nil
}

// err is the faults as one error, nil when there are none.
func (w *pageWalk) err(r *Registry, where string) error {
	switch len(w.faults) {
	case 0:
		return nil
	case 1:
		return r.damage(where, "%v", w.faults[0])
	}
	return r.damage(where, "%v (and %d more faults)", w.faults[0], len(w.faults)-1+w.more)
}

// checkRevision goes on with checkTops' walk when a revision is first used. For
// writing, Open has walked all.
func (r *Registry) checkRevision(id uint32, b *bolt.Bucket) error {
	if b.Root() == 0 {
		return r.damage(fmt.Sprintf("revisions/%d", id), "the bucket holds no bucket of blocks")
	}
	if !r.readOnly {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	err, walked := r.walked[id]
	if !walked {
		r.walk.faults, r.walk.more = nil, 0
		r.walk.tree(uint64(b.Root()), inside{bucket: 2})
		err = r.walk.err(r, fmt.Sprintf("revisions/%d", id))
		r.walked[id] = err
	}
	return err
}
