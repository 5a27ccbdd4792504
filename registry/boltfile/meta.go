// Package boltfile looks at the pages of a bbolt file with plain reads, before bbolt
// may use them, and turns what a damaged file does to bbolt into errors.
//
// bbolt trusts the pages it maps: a page that names itself as its child, or a free
// list that names pages in use, would end the process or the data. Most users need
// [ReadMeta], [NewWalk] and [Walk.All]; [Guard] goes around every use of bbolt.
//
// Invariants: each page is visited once, so reads are bounded by the number of pages,
// whatever they say; nothing here knows what a registry keeps in its buckets, only
// how deep they lie in each other. The numbers are those of bbolt's file format 2.
package boltfile

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
)

const (
	boltMagic   = 0xED0CDAED
	boltVersion = 2

	pageHeader    = 16 // id, flags, count, overflow
	pageElement   = 16
	bucketHeader  = 16 // root page, sequence
	metaSize      = 64
	minPageSize   = 1 << 10
	noFreelist    = 1<<64 - 1
	branchFlag    = 0x01
	leafFlag      = 0x02
	freelistFlag  = 0x10
	bucketElement = 0x01 // flag of a leaf element whose value is a bucket
	manyFree      = 0xFFFF
)

// What a file holds at most.
const (
	MaxPageSize  = 1 << 16 // of any system that Go runs on
	MaxPages     = 1 << 28 // 1 TiB of 4 KiB; what was seen takes one bit each
	MaxTreeDepth = 32
	MaxBuckets   = 3 // in each other: in a registry revisions, one of them, its blocks

	// MaxFaults bounds the faults that are kept; the rest are counted.
	MaxFaults = 100
)

// Error says what is wrong with a file as a whole, or with its meta pages.
type Error struct {
	Where, Message string // Where is "" for the file
}

func (e *Error) Error() string { return e.Where + ": " + e.Message }

// File is what pages are read from: an *os.File.
type File interface {
	io.ReaderAt
	Stat() (fs.FileInfo, error)
}

// Meta is the newer valid one of the two first pages.
type Meta struct {
	pageSize       int64
	root, freelist uint64
	pages          uint64 // every page in use has a smaller id
	tx             uint64
}

// ReadMeta finds the newest valid meta page and checks that the file is as long
// as it says.
func ReadMeta(f File) (*Meta, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	size := info.Size()
	if size == 0 {
		return nil, &Error{"", "the file is empty"}
	}
	var best *Meta
	magic := false
	try := func(at int64) {
		var b [pageHeader + metaSize]byte
		if _, err := f.ReadAt(b[:], at); err != nil {
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
		for at := int64(minPageSize); at <= MaxPageSize && at < size; at *= 2 {
			try(at)
		}
	}
	switch {
	case best == nil && magic:
		return nil, &Error{"pages 0 and 1", "neither is a valid meta page"}
	case best == nil:
		return nil, &Error{"pages 0 and 1", "not a bbolt file"}
	case size/best.pageSize > 2*MaxPages:
		return nil, &Error{"", fmt.Sprintf("the file has %d bytes, at most %d pages of %d are read", size, MaxPages, best.pageSize)}
	case size/best.pageSize < int64(best.pages):
		return nil, &Error{"", fmt.Sprintf("the file has %d bytes, its %d pages need %d: it was truncated", size, best.pages, best.pages*uint64(best.pageSize))}
	}
	return best, nil
}

// Damaged are those of the two meta pages that are not valid. One is enough to read
// the file.
func (m *Meta) Damaged(f File) (pages []uint64) {
	for id := range uint64(2) {
		var b [pageHeader + metaSize]byte
		_, err := f.ReadAt(b[:], int64(id)*m.pageSize)
		if parsed, _ := parseMeta(b[pageHeader:]); err != nil || parsed == nil {
			pages = append(pages, id)
		}
	}
	return pages
}

func parseMeta(b []byte) (m *Meta, magic bool) {
	le := binary.LittleEndian
	if le.Uint32(b) != boltMagic {
		return nil, false
	}
	sum := fnv.New64a()
	sum.Write(b[:metaSize-8])
	m = &Meta{
		pageSize: int64(le.Uint32(b[8:])), root: le.Uint64(b[16:]),
		freelist: le.Uint64(b[32:]), pages: le.Uint64(b[40:]), tx: le.Uint64(b[48:]),
	}
	if le.Uint32(b[4:]) != boltVersion || sum.Sum64() != le.Uint64(b[metaSize-8:]) ||
		m.pageSize < minPageSize || m.pageSize > MaxPageSize || m.pageSize&(m.pageSize-1) != 0 ||
		m.pages > MaxPages {
		return nil, true
	}
	return m, true
}
