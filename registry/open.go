package registry

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"wreg/registry/boltfile"
	"wreg/registry/disk"
)

// defaultTimeout is how long Open waits for another process to let go of the file.
const defaultTimeout = 5 * time.Second

// allocStep is by how much the file grows once it is large: a step of bbolt's own
// 16 MiB would be most of a small registry.
const allocStep = 1 << 20

// Open opens the registry at path, creating it (temp file, then rename) when it
// does not exist and o.ReadOnly is false. The parent folder is created too.
func Open(path string, o Options) (*Registry, error) {
	path, err := filepath.Abs(path)
	if err == nil {
		path, err = disk.Behind(path)
	}
	if err != nil {
		return nil, err
	}
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	switch info, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist) && !o.ReadOnly:
		if err := create(path); err != nil {
			return nil, err
		}
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("registry %s does not exist: `wreg ingest` creates it: %w", path, fs.ErrNotExist)
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("registry %s is a %s, want a file", path, kindOf(info.Mode()))
	}
	deadline := time.Now().Add(o.Timeout)
	for {
		r, err := openOnce(path, o.ReadOnly, time.Until(deadline))
		if err == nil || !errors.Is(err, errReplaced) {
			return r, err
		}
	}
}

// openFile is os.OpenFile, but for a test that must know when a file is open.
var openFile = os.OpenFile

func kindOf(m fs.FileMode) string {
	if m.IsDir() {
		return "folder"
	}
	return "special file"
}

// errReplaced says that the path names another file than the one that was locked:
// a compaction ended in between.
var errReplaced = errors.New("the file was replaced")

func openOnce(path string, readOnly bool, wait time.Duration) (*Registry, error) {
	r := newRegistry(path, readOnly)
	deadline := time.Now().Add(wait)
	if !readOnly {
		// bbolt reads the free list while it opens a file for writing, and writes
		// to the pages listed there. So a reader looks first whether they are free.
		if err := r.open(true, wait); err != nil {
			return nil, err
		}
		err := errors.Join(r.checkPages(), r.Close())
		if err != nil {
			return nil, err
		}
	}
	if err := r.open(readOnly, time.Until(deadline)); err != nil {
		return nil, err
	}
	err := r.begin()
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// open locks and maps the file after looking at its size and first pages.
func (r *Registry) open(readOnly bool, wait time.Duration) error {
	r.file = nil
	o := &bolt.Options{
		ReadOnly: readOnly,
		// bbolt takes 0 for ever.
		Timeout:      max(wait, time.Millisecond),
		FreelistType: bolt.FreelistMapType,
		OpenFile: func(name string, flag int, mode fs.FileMode) (*os.File, error) {
			// The file exists: creating it here would skip the temp file.
			f, err := openFile(name, flag&^os.O_CREATE, mode)
			if err != nil {
				return nil, err
			}
			r.file = f
			if _, err = boltfile.ReadMeta(f); err != nil {
				f.Close()
				r.file = nil
				return nil, r.damaged(err)
			}
			return f, nil
		},
	}
	err := r.guard(func() (err error) {
		r.db, err = bolt.Open(r.path, 0o666, o)
		return err
	})
	if err != nil {
		r.db = nil
		if r.file != nil {
			r.file.Close() // bbolt has, unless it panicked
		}
		switch {
		case errors.Is(err, berrors.ErrTimeout):
			return r.lockError(r.readOnly)
		case errors.Is(err, fs.ErrPermission) && !readOnly:
			return fmt.Errorf("registry %s cannot be written: %w", r.path, err)
		}
		return err
	}
	r.db.AllocSize = allocStep
	held, err := r.file.Stat()
	if err != nil {
		return errors.Join(err, r.Close())
	}
	if now, err := os.Stat(r.path); err != nil || !os.SameFile(now, held) {
		return errors.Join(errReplaced, r.Close())
	}
	return nil
}

// begin checks the schema and brings it up to date.
func (r *Registry) begin() error {
	version, marked := 0, false
	err := r.view(func(tx *bolt.Tx) (err error) {
		if r.readOnly {
			if err := r.checkTops(tx); err != nil {
				return err
			}
		}
		version, err = r.readSchema(tx)
		marked = tx.Bucket(copyBucket) != nil
		return err
	})
	if err == nil && marked && !r.readOnly {
		err = r.unmarkCopy()
	}
	switch {
	case err != nil || version == schemaVersion || r.readOnly && version >= readableSchema:
		return err
	case r.readOnly:
		return fmt.Errorf("registry %s has schema %d, this wreg reads %d: open it for writing once to migrate it", r.path, version, schemaVersion)
	}
	return r.migrate(migrations, version)
}

// create makes an empty registry beside path and links it there, so that neither
// a half-made file nor the loss of one made meanwhile is possible.
func create(path string) error {
	err := os.MkdirAll(filepath.Dir(path), 0o777)
	if err == nil {
		err = disk.Create(path, func(temp *os.File) error {
			db, err := bolt.Open(temp.Name(), 0o644, &bolt.Options{Timeout: defaultTimeout})
			if err != nil {
				return err
			}
			return errors.Join(db.Update(initSchema), db.Update(func(*bolt.Tx) error { return nil }), db.Close())
		})
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("registry %s: %w", path, err)
	}
	return nil
}

func (r *Registry) lockError(readOnly bool) error {
	e := &LockError{Path: r.path, ReadOnly: readOnly}
	if info, err := os.Stat(r.path); err == nil {
		e.Holders = disk.LockHolders(info)
	}
	return e
}
