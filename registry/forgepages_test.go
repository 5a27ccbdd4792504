package registry

import (
	"context"
	"encoding/binary"
	"hash/fnv"
	"math"
	"os"
	"strings"
	"testing"

	"wreg/registry/boltfile"
)

// Forged files of bbolt's, page by page: forgePage's body comes after the header.

const forgedPage = 4096

// The numbers of bbolt's format.
const (
	pageHeader, pageElement, bucketHeader = 16, 16, 16
	branchFlag, leafFlag, freelistFlag    = 1, 2, 16
	bucketElement, manyFree               = 1, 0xFFFF
)

func forgePage(id uint64, flags uint16, count int, overflow uint32, body ...byte) []byte {
	le := binary.LittleEndian
	b := le.AppendUint64(nil, id)
	b = le.AppendUint16(b, flags)
	b = le.AppendUint16(b, uint16(count))
	b = append(le.AppendUint32(b, overflow), body...)
	for len(b)%forgedPage != 0 {
		b = append(b, 0)
	}
	return b
}

// forgeFile is two meta pages before pages from number 2 on; root is the page of the
// buckets, free of the free list.
func forgeFile(root, free, pages uint64, body ...[]byte) []byte {
	le := binary.LittleEndian
	var out []byte
	for id := range uint64(2) {
		m := le.AppendUint32(nil, uint32(0xED0CDAED))
		m = le.AppendUint32(m, 2)
		m = le.AppendUint32(m, forgedPage)
		m = le.AppendUint32(m, 0)
		for _, v := range []uint64{root, 0, free, pages, id} {
			m = le.AppendUint64(m, v)
		}
		sum := fnv.New64a()
		sum.Write(m)
		out = append(out, forgePage(id, 4, 0, 0, le.AppendUint64(m, sum.Sum64())...)...)
	}
	for _, b := range body {
		out = append(out, b...)
	}
	return out
}

// forgedElement is a key with a value, or a child page.
type forgedElement struct {
	bucket bool
	key    string
	value  []byte
	child  uint64
}

// forgeElements lays elements out as a page holds them.
func forgeElements(flags uint16, list ...forgedElement) []byte {
	le := binary.LittleEndian
	var table, data []byte
	for i, e := range list {
		pos := uint32((len(list)-i)*pageElement + len(data))
		if flags == branchFlag {
			table = le.AppendUint32(table, pos)
			table = le.AppendUint32(table, uint32(len(e.key)))
			table = le.AppendUint64(table, e.child)
		} else {
			flag := uint32(0)
			if e.bucket {
				flag = bucketElement
			}
			for _, v := range []uint32{flag, pos, uint32(len(e.key)), uint32(len(e.value))} {
				table = le.AppendUint32(table, v)
			}
		}
		data = append(append(data, e.key...), e.value...)
	}
	return append(table, data...)
}

// inlineBucket is a bucket in a value, of one element or none.
func inlineBucket(inside ...forgedElement) []byte {
	b := append(make([]byte, bucketHeader), forgePage(0, leafFlag, len(inside), 0)[:pageHeader]...)
	return append(b, forgeElements(leafFlag, inside...)...)
}

// nestedBuckets are buckets in buckets, as deep as told.
func nestedBuckets(depth int) []byte {
	const each = bucketHeader + pageHeader + pageElement + 1
	b := make([]byte, 0, depth*each+each)
	le := binary.LittleEndian
	for left := depth * each; left > 0; left -= each {
		b = append(append(b, make([]byte, bucketHeader)...), forgePage(0, leafFlag, 1, 0)[:pageHeader]...)
		for _, v := range []uint32{bucketElement, pageElement, 1, uint32(left - each + bucketHeader + pageHeader)} {
			b = le.AppendUint32(b, v)
		}
		b = append(b, 'a')
	}
	return append(append(b, make([]byte, bucketHeader)...), forgePage(0, leafFlag, 0, 0)[:pageHeader]...)
}

// chain is buckets in buckets again, each with a page of its own.
func chain(depth int) (pages [][]byte) {
	for i := range uint64(depth) {
		root := binary.LittleEndian.AppendUint64(nil, i+4)
		pages = append(pages, forgePage(i+3, leafFlag, 1, 0, forgeElements(leafFlag, forgedElement{bucket: true, key: "b", value: append(root, make([]byte, 8)...)})...))
	}
	return append(pages, forgePage(uint64(depth+3), leafFlag, 0, 0))
}

// counted counts reads and what they read.
type counted struct {
	boltfile.File
	reads, bytes int
}

func (c *counted) ReadAt(b []byte, at int64) (int, error) {
	c.reads++
	c.bytes += len(b)
	return c.File.ReadAt(b, at)
}

// Whatever the pages of a file say, they are walked once: reads are bounded by the
// number of pages, and so are memory and the text of faults.
func TestForgedPages(t *testing.T) {
	none := forgePage(2, freelistFlag, 0, 0)
	leaf := func(id uint64, list ...forgedElement) []byte {
		body := forgeElements(leafFlag, list...)
		return forgePage(id, leafFlag, len(list), uint32((len(body)+pageHeader-1)/forgedPage), body...)
	}
	branch := func(id uint64, list ...forgedElement) []byte {
		body := forgeElements(branchFlag, list...)
		return forgePage(id, branchFlag, len(list), uint32((len(body)+pageHeader-1)/forgedPage), body...)
	}
	var alike, faulty []forgedElement
	many := [][]byte{none, nil}
	for i := range 2000 {
		key := string(rune('a'+i/200)) + strings.Repeat("\x00", i%200)
		alike = append(alike, forgedElement{key: key, child: 4})
		faulty = append(faulty, forgedElement{key: key, child: uint64(3000 + i)})
	}
	many[1] = branch(3, faulty...)
	for pages := len(many[1])/forgedPage + 3; pages < 3000; pages++ {
		many = append(many, forgePage(uint64(pages), leafFlag, 0, 0))
	}
	for i := range 2000 { // the key is below what the parent says
		many = append(many, leaf(uint64(3000+i), forgedElement{key: strings.Repeat("\x00", 4000)}))
	}
	nest := func(depth int) []byte {
		page := leaf(3, forgedElement{bucket: true, key: "x", value: nestedBuckets(depth)})
		return forgeFile(3, 2, uint64(3+len(page)/forgedPage), none, page)
	}
	le := binary.LittleEndian
	for _, c := range []struct {
		name, want string
		file       []byte
		size       int64 // of a sparse file, 0: the file's own
	}{
		{"two buckets without a page of their own", "has no page of its own", nest(1), 0},
		{"1,000 of them", "has no page of its own", nest(1_000), 0},
		{"20,000 of them", "has no page of its own", nest(20_000), 0},
		{"buckets deeper than a registry's", "in a registry at most 2", forgeFile(3, 2, 8, append([][]byte{none}, chain(4)...)...), 0},
		{"1,000 deep", "in a registry at most 2", forgeFile(3, 2, 1004, append([][]byte{none}, chain(1000)...)...), 0},
		{"a revision in its parent", "has no page of its own", forgeFile(3, 2, 4, none, leaf(3, forgedElement{bucket: true, key: "revisions",
			value: inlineBucket(forgedElement{bucket: true, key: "\x00\x00\x00\x01", value: inlineBucket()})})), 0},
		{"a page below itself", "is used twice", forgeFile(3, 2, 4, none, branch(3, forgedElement{key: "a", child: 3})), 0},
		{"two pages below each other", "is used twice", forgeFile(3, 2, 5, none, branch(3, forgedElement{key: "a", child: 4}), branch(4, forgedElement{key: "a", child: 3})), 0},
		{"one page 2,000 times", "is used twice", func() []byte {
			root := branch(3, alike...)
			return forgeFile(3, 2, uint64(3+len(root)/forgedPage), none, root)
		}(), 0},
		{"the free list as root", "neither a branch's nor a leaf's", forgeFile(2, 2, 3, none), 0},
		{"a root that is not there", "out of range", forgeFile(77, 2, 3, none), 0},
		{"overflow", "overflows by", forgeFile(3, 2, 4, none, forgePage(3, leafFlag, 0, math.MaxUint32)), 0},
		{"elements", "do not fit", forgeFile(3, 2, 4, none, forgePage(3, leafFlag, 65535, 0)), 0},
		{"a long key", "element 0 takes", forgeFile(3, 2, 4, none, forgePage(3, leafFlag, 1, 0, le.AppendUint32(le.AppendUint32(le.AppendUint32(make([]byte, 4), 16), 40_000), 0)...)), 0},
		{"a long value", "element 0 takes", forgeFile(3, 2, 4, none, forgePage(3, leafFlag, 1, 0, le.AppendUint32(le.AppendUint32(le.AppendUint32(make([]byte, 4), 16), 1), math.MaxUint32)...)), 0},
		{"2,000 faults of 4,000 bytes", "more faults", forgeFile(3, 2, 5000, many...), 0},
		{"free pages", "not a free list", forgeFile(3, 2, 4, forgePage(2, freelistFlag, 60_000, 0), leaf(3)), 0},
		{"free pages of 64 bits", "not a free list", forgeFile(3, 2, 4, forgePage(2, freelistFlag, manyFree, 0, le.AppendUint64(nil, math.MaxUint64)...), leaf(3)), 0},
		{"a free page in use", "which is in use", forgeFile(3, 2, 4, forgePage(2, freelistFlag, 1, 0, le.AppendUint64(nil, 3)...), leaf(3)), 0},
		{"a free page twice", "which is in use", forgeFile(3, 2, 5, forgePage(2, freelistFlag, 2, 0, le.AppendUint64(le.AppendUint64(nil, 4), 4)...), leaf(3), leaf(4)), 0},
		{"a free list over a hole", "lists page 0", forgeFile(3, 4, 1<<20, none, leaf(3), forgePage(4, freelistFlag, manyFree, 1<<20-5, le.AppendUint64(nil, 1<<19)...)), 1 << 32},
		{"more pages than are read", "neither is a valid meta page", forgeFile(3, 2, 1<<29, none, leaf(3)), 1 << 41},
		{"a file that is too large", "pages of 4096 are read", forgeFile(3, 2, 4, none, leaf(3)), 1 << 42},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := placed(t, c.file)
			if c.size > 0 {
				if err := os.Truncate(path, c.size); err != nil {
					t.Fatal(err)
				}
			}
			allocated(t, "opening and Check", allowedForged, func() {
				_, err := Open(path, Options{})
				if err == nil || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 4096 {
					t.Errorf("Open: %v, want %q", err, c.want)
				}
				if _, err := Open(path, Options{ReadOnly: true}); err == nil {
					t.Error("Open for reading: no error")
				}
				faults, err := CheckFile(context.Background(), path, Options{})
				if err != nil || len(faults) == 0 || len(faults) > maxFaults+1 {
					t.Errorf("Check: %d faults, %v", len(faults), err)
				}
			})
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			reads := &counted{File: f}
			w, err := boltfile.NewWalk(t.Context(), reads)
			if err != nil {
				return
			}
			w.All()
			if faults, _ := w.Take(); len(faults) > boltfile.MaxFaults {
				t.Errorf("%d faults are kept, at most %d", len(faults), boltfile.MaxFaults)
			}
			// A page's head, its elements and each key of 4,096 bytes.
			if pages := len(c.file) / forgedPage; reads.reads > 4*pages+2000 || reads.bytes > 4*len(c.file)+1<<20 {
				t.Errorf("%d reads of %d bytes for %d pages", reads.reads, reads.bytes, pages)
			}
		})
	}
}
