package registry

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
)

// compactSuffix marks copies that a compaction is making.
const compactSuffix = ".compact-"

// copyBucket is in a copy until it is complete. Its one key is the copy's name: so
// what a killed compaction left is known from any other file, whatever that is called.
var copyBucket = []byte("copy")

// markCopy makes an empty file known as a copy in the making, unmarkCopy a complete
// one a registry.
func (r *Registry) markCopy() error {
	r.copying = true
	return r.update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucket(copyBucket)
		if err != nil {
			return err
		}
		return b.Put([]byte(filepath.Base(r.path)), nil)
	})
}

func (r *Registry) unmarkCopy() error {
	r.copying = false
	return r.update(func(tx *bolt.Tx) error { return tx.DeleteBucket(copyBucket) })
}

// removeCopies removes what compactions that were killed left. The caller has the
// registry open for writing, so none is at work.
func (r *Registry) removeCopies() error {
	dir, base := filepath.Split(r.path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // a folder that cannot be listed keeps them
	}
	for _, e := range entries {
		digits, ok := strings.CutPrefix(e.Name(), base+compactSuffix)
		if !ok || !e.Type().IsRegular() || strings.Trim(digits, "0123456789") != "" {
			continue
		}
		if c := newRegistry(filepath.Join(dir, e.Name()), true); c.isCopy() {
			if err := os.Remove(c.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// isCopy reports whether a file, which may be anybody's, is a copy in the making.
func (r *Registry) isCopy() (marked bool) {
	if err := r.open(true, time.Millisecond); err != nil {
		return false
	}
	err := r.view(func(tx *bolt.Tx) error {
		if err := r.checkTops(tx); err != nil {
			return err
		}
		if b := tx.Bucket(copyBucket); b != nil {
			name, _ := b.Cursor().First()
			marked = string(name) == filepath.Base(r.path)
		}
		return nil
	})
	return errors.Join(err, r.Close()) == nil && marked
}
