package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	bolt "go.etcd.io/bbolt"

	"wreg/registry/disk"
	"wreg/registry/tensor"
)

// Backup writes a consistent snapshot of the registry, a registry file itself,
// while others read it and while this process writes it. It returns the number of
// bytes written.
func (r *Registry) Backup(ctx context.Context, w io.Writer) (n int64, err error) {
	err = r.view(func(tx *bolt.Tx) error {
		if n, err = tx.WriteTo(writer{ctx, w}); err != nil && ctx.Err() != nil {
			return ctx.Err() // bbolt makes text of it
		}
		return err
	})
	return n, err
}

// writer is w until its context is done.
type writer struct {
	ctx context.Context
	w   io.Writer
}

func (w writer) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.w.Write(p)
}

// BackupFile is Backup to a new file: written beside it, synced, renamed. An
// existing file is an error.
func (r *Registry) BackupFile(ctx context.Context, path string) error {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			err = fs.ErrExist
		}
		return fmt.Errorf("backup %s: %w", path, err)
	}
	err := disk.Create(path, func(temp *os.File) error {
		_, err := r.Backup(ctx, temp)
		return err
	})
	if err != nil {
		return fmt.Errorf("backup %s: %w", path, err)
	}
	return nil
}

// Compact rewrites the file without the room that removed revisions left, and
// puts it in the place of the old one once it is complete, checked and synced. It
// waits for the Views of this process to end. before and after are in bytes.
func (r *Registry) Compact(ctx context.Context) (before, after int64, err error) {
	if r.readOnly {
		return 0, 0, r.errReadOnly()
	}
	if err := r.GC(ctx); err != nil {
		return 0, 0, err
	}
	r.swap.Lock()
	defer r.swap.Unlock()
	if r.db == nil {
		return 0, 0, r.closed()
	}
	r.mu.Lock()
	busy := len(r.active)
	r.mu.Unlock()
	if busy > 0 {
		return 0, 0, fmt.Errorf("registry %s: %d ingests of this process are at work; compact when they end", r.path, busy)
	}
	info, err := r.named()
	if err != nil {
		return 0, 0, err
	}
	if n := disk.Links(info); n > 1 {
		return 0, 0, fmt.Errorf("registry %s has %d names (hard links): the others would keep the old file; remove them first", r.path, n)
	}
	dense, err := r.denseCopy(ctx, info.Mode().Perm())
	if err != nil {
		return 0, 0, fmt.Errorf("compact: %w", err)
	}
	if err := r.replace(dense); err != nil {
		return 0, 0, fmt.Errorf("compact: %w", err)
	}
	size, err := r.file.Stat()
	if err != nil {
		return 0, 0, err
	}
	return info.Size(), size.Size(), nil
}

// named is the file of the registry's path, which must be the one that is open.
func (r *Registry) named() (fs.FileInfo, error) {
	held, err := r.file.Stat()
	if err != nil {
		return nil, err
	}
	info, err := os.Lstat(r.path)
	if err == nil && !os.SameFile(info, held) {
		err = fmt.Errorf("registry %s: another file has its name now; open it again", r.path)
	}
	return info, err
}

// denseCopy makes a checked, synced and locked copy beside the registry.
func (r *Registry) denseCopy(ctx context.Context, mode fs.FileMode) (*Registry, error) {
	f, err := os.CreateTemp(filepath.Dir(r.path), filepath.Base(r.path)+compactSuffix+"*")
	if err != nil {
		return nil, err
	}
	d := newRegistry(f.Name(), false)
	if err := errors.Join(f.Chmod(mode), f.Close()); err != nil {
		return nil, errors.Join(err, os.Remove(d.path))
	}
	d.db, err = bolt.Open(d.path, mode, &bolt.Options{
		Timeout: defaultTimeout, FreelistType: bolt.FreelistMapType,
		OpenFile: func(name string, flag int, mode fs.FileMode) (*os.File, error) {
			d.file, err = os.OpenFile(name, flag, mode)
			return d.file, err
		},
	})
	if err != nil {
		return nil, errors.Join(err, os.Remove(d.path))
	}
	d.db.AllocSize = allocStep
	if err = d.markCopy(); err == nil {
		err = r.guard(func() error { return r.db.View(func(tx *bolt.Tx) error { return copyAll(ctx, d.db, tx) }) })
	}
	if err == nil {
		d.settle()
		var faults []tensor.Finding
		faults, err = d.Check(ctx)
		if err == nil && len(faults) > 0 {
			err = r.damage(faults[0].File, "%s", faults[0].Message)
		}
	}
	if err != nil {
		return nil, errors.Join(err, d.Close(), os.Remove(d.path))
	}
	return d, nil
}

// replace puts a copy in the registry's place, under whose name its mark says nothing
// any more. Both files are locked until the
// name is the copy's, so no other process can write to the old one; whoever waits
// for it finds out that the file was replaced.
func (r *Registry) replace(d *Registry) error {
	if runtime.GOOS == "windows" {
		return r.replaceClosed(d)
	}
	_, err := r.named()
	if err == nil {
		err = os.Rename(d.path, r.path)
	}
	if err != nil {
		return errors.Join(err, d.Close(), os.Remove(d.path))
	}
	old := r.db
	r.db, r.file = d.db, d.file
	return errors.Join(r.guard(old.Close), disk.SyncDir(filepath.Dir(r.path)), r.unmarkCopy())
}

// replaceClosed is for systems where an open file cannot be replaced.
func (r *Registry) replaceClosed(d *Registry) error {
	if err := errors.Join(d.Close(), r.db.Close()); err != nil {
		return err
	}
	r.db = nil
	if err := os.Rename(d.path, r.path); err != nil {
		err = fmt.Errorf("%w; on Windows no file that is open can be replaced: end every other wreg, shells and ui too, and compact again; the registry is as it was", err)
		return errors.Join(err, os.Remove(d.path), r.open(false, defaultTimeout))
	}
	if err := r.open(false, defaultTimeout); err != nil {
		return err
	}
	return r.unmarkCopy()
}
