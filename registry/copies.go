package registry

import (
	"context"
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

// copyBucket is in a copy until it has the registry's name. Its one key is the name
// it had: so what a killed compaction left is known from any other file, whatever that
// is called.
var copyBucket = []byte("copy")

// markCopy makes an empty file known as a copy in the making.
func (r *Registry) markCopy() error {
	return r.update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucket(copyBucket)
		if err != nil {
			return err
		}
		return b.Put([]byte(filepath.Base(r.path)), nil)
	})
}

// unmarkCopy makes a registry of a copy that has its name. The caller has it alone.
func (r *Registry) unmarkCopy() error {
	return r.guard(func() error {
		if err := r.db.Update(func(tx *bolt.Tx) error { return tx.DeleteBucket(copyBucket) }); err != nil {
			return err
		}
		return r.db.Update(func(*bolt.Tx) error { return nil }) // as settle does
	})
}

// copyAll copies buckets and keys, in order, into an empty file, in transactions of at
// most batchBytes: bolt.Compact, but one that ends with its context.
func copyAll(ctx context.Context, file *bolt.DB, from *bolt.Tx) error {
	to, err := file.Begin(true)
	if err != nil {
		return err
	}
	defer func() { _ = to.Rollback() }() // of what was committed it does nothing
	bytes := 0
	var fill func(path [][]byte, from *bolt.Bucket) error
	fill = func(path [][]byte, from *bolt.Bucket) error {
		return from.ForEach(func(k, v []byte) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			if bytes += len(k) + len(v); bytes > batchBytes {
				if err := to.Commit(); err != nil {
					return err
				}
				next, err := file.Begin(true)
				if err != nil {
					return err
				}
				to, bytes = next, len(k)+len(v)
			}
			into := to.Cursor().Bucket()
			for _, name := range path {
				into = into.Bucket(name)
			}
			into.FillPercent = 1 // nothing comes in between
			if v != nil {
				return into.Put(k, v)
			}
			below := from.Bucket(k)
			b, err := into.CreateBucket(k)
			if err == nil {
				err = b.SetSequence(below.Sequence())
			}
			if err == nil {
				err = fill(append(path, k), below)
			}
			return err
		})
	}
	if err := fill(nil, from.Cursor().Bucket()); err != nil {
		return err
	}
	return to.Commit()
}

// removeCopies removes what compactions that were killed left. The caller has the
// registry open for writing, so none is at work.
func (r *Registry) removeCopies() (n int, err error) {
	dir, base := filepath.Split(r.path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, nil // a folder that cannot be listed keeps them
	}
	for _, e := range entries {
		digits, ok := strings.CutPrefix(e.Name(), base+compactSuffix)
		if !ok || !e.Type().IsRegular() || strings.Trim(digits, "0123456789") != "" {
			continue
		}
		if c := newRegistry(filepath.Join(dir, e.Name()), true); c.isCopy() {
			if err := os.Remove(c.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return n, err
			}
			n++
		}
	}
	return n, nil
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
		name, _ := tx.Cursor().First()
		marked = name == nil // nor does it hold anything else
		if b := tx.Bucket(copyBucket); b != nil {
			name, _ = b.Cursor().First()
			marked = string(name) == filepath.Base(r.path)
		}
		return nil
	})
	return errors.Join(err, r.Close()) == nil && marked
}
