package boltfile

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
)

// inMemory is a file's bytes.
type inMemory struct{ *bytes.Reader }

func (m inMemory) Stat() (fs.FileInfo, error) { return info{m.Size()}, nil }

type info struct{ size int64 }

func (i info) Size() int64      { return i.size }
func (info) Name() string       { return "" }
func (info) Mode() fs.FileMode  { return 0 }
func (info) ModTime() time.Time { return time.Time{} }
func (info) IsDir() bool        { return false }
func (info) Sys() any           { return nil }

// sample is a bbolt file with branches, overflow, nested and inline buckets, and free
// pages.
func sample(t *testing.T) []byte {
	t.Helper()
	db, err := bolt.Open(filepath.Join(t.TempDir(), "b.db"), 0o600, &bolt.Options{PageSize: 4096, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	err = errors.Join(
		db.Update(func(tx *bolt.Tx) error {
			for _, name := range []string{"large", "small"} {
				b, err := tx.CreateBucket([]byte(name))
				if err != nil {
					return err
				}
				inner, err := b.CreateBucket([]byte("inner"))
				if err != nil {
					return err
				}
				for i := range 300 {
					if err := inner.Put(fmt.Appendf(nil, "%08d", i), make([]byte, 40)); err != nil {
						return err
					}
					if name == "small" && i == 1 {
						break
					}
				}
			}
			return tx.Bucket([]byte("large")).Put([]byte("long"), make([]byte, 20_000))
		}),
		db.Update(func(tx *bolt.Tx) error {
			b := tx.Bucket([]byte("large")).Bucket([]byte("inner"))
			for i := range 200 {
				if err := b.Delete(fmt.Appendf(nil, "%08d", i)); err != nil {
					return err
				}
			}
			return nil
		}),
		db.View(func(tx *bolt.Tx) error { _, err := tx.WriteTo(&file); return err }),
		db.Close())
	if err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// walkAll gives the first fault, nil when there is none.
func walkAll(t *testing.T, file []byte) error {
	w, err := NewWalk(t.Context(), inMemory{bytes.NewReader(file)})
	if err != nil {
		return err
	}
	w.All()
	if faults, _ := w.Take(); len(faults) > 0 {
		return faults[0]
	}
	return nil
}

func TestWalk(t *testing.T) {
	file := sample(t)
	if err := walkAll(t, file); err != nil {
		t.Fatalf("the sample: %v", err)
	}
	w, err := NewWalk(t.Context(), inMemory{bytes.NewReader(file)})
	if err != nil {
		t.Fatal(err)
	}
	w.Top(nil)
	used := 0
	for id := uint64(2); id < w.Meta().pages; id++ {
		page := file[id*4096:]
		if le64(page) != id || id != w.Meta().freelist && !w.seen.has(id) {
			continue // the rest of a page that overflows, or a free one
		}
		used++
		for _, bit := range []int{0, 8, 8 * 8, 8*8 + 1, 8*8 + 4, 8 * 12} { // id, flags, overflow
			broken := bytes.Clone(file)
			broken[int(id)*4096+bit/8] ^= 1 << (bit % 8)
			if err := walkAll(t, broken); err == nil {
				t.Errorf("page %d: flipped bit %d is not found", id, bit)
			}
		}
	}
	if used < 5 {
		t.Errorf("only %d pages are used", used)
	}
	for n := 0; n < len(file); n += 1000 {
		if err := walkAll(t, file[:n]); err == nil || n > 2*4096 && !strings.Contains(err.Error(), "it was truncated") {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
}

func le64(b []byte) (v uint64) {
	for i := range 8 {
		v |= uint64(b[i]) << (8 * i)
	}
	return v
}

// Either meta page will do, the newer one is read; both are named when they are damaged.
func TestReadMeta(t *testing.T) {
	file := sample(t)
	whole, err := ReadMeta(inMemory{bytes.NewReader(file)})
	if err != nil {
		t.Fatal(err)
	}
	var older uint64
	for page := range uint64(2) {
		broken := bytes.Clone(file)
		broken[page*4096+pageHeader+20] ^= 1
		r := inMemory{bytes.NewReader(broken)}
		m, err := ReadMeta(r)
		if err != nil {
			t.Errorf("page %d damaged: %v", page, err)
			continue
		}
		if m.tx != whole.tx {
			older = m.tx
		}
		if got := m.Damaged(r); len(got) != 1 || got[0] != page {
			t.Errorf("page %d damaged: %v are named", page, got)
		}
	}
	if older == 0 || older > whole.tx {
		t.Errorf("of transactions %d and %d the first was read", whole.tx, older)
	}
	var e *Error
	if _, err := ReadMeta(inMemory{bytes.NewReader(make([]byte, 8192))}); !errors.As(err, &e) || !strings.Contains(e.Message, "not a bbolt file") {
		t.Errorf("zeroes: %v", err)
	}
}

func TestGuard(t *testing.T) {
	var list []int
	for _, c := range []struct {
		name string
		fn   func() error
		fail bool
	}{
		{"nothing", func() error { return nil }, false},
		{"an index out of bounds, here", func() error { _ = list[1]; return nil }, true},
	} {
		err := Guard([]string{"wreg/registry/boltfile"}, c.fn)
		var e *Error
		if errors.As(err, &e) != c.fail {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a caller's own panic was caught")
		}
	}()
	_ = Guard(nil, func() error { panic("mine") })
}
