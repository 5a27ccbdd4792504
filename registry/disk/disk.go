// Package disk does what a file that must not get lost asks of the file system:
// complete files get their name at once, links are followed, holders of a lock named.
//
// Most users need [Create] for a new file and [Behind] for where a path leads.
//
// Invariants: [Create] never writes over a file; a file that has its name is
// complete, and synced where the system can.
package disk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Create makes a file that does not exist: fill writes a temporary one beside it,
// which is synced and then gets the name. One that was made meanwhile stays, and is
// fs.ErrExist.
func Create(path string, fill func(temp *os.File) error) error { return create(path, fill, land) }

// Replace is Create for a file that may be there: it stays until the new one is complete.
func Replace(path string, fill func(temp *os.File) error) error { return create(path, fill, os.Rename) }

func create(path string, fill func(temp *os.File) error, land func(temp, path string) error) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, filepath.Base(path)+".new-*")
	if err != nil {
		return named(err, "", path)
	}
	defer os.Remove(f.Name())
	for _, step := range []func() error{func() error { return fill(f) }, func() error { return f.Chmod(0o644) }, f.Sync} {
		if err := step(); err != nil {
			return errors.Join(named(err, f.Name(), path), f.Close())
		}
	}
	if err := f.Close(); err != nil {
		return named(err, f.Name(), path)
	}
	if err := land(f.Name(), path); err != nil {
		return err
	}
	return SyncDir(dir)
}

// named is an error about the temporary file for who asked for another. temp is "" where there is
// none yet.
func named(err error, temp, path string) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok && (e.Path == temp || temp == "") {
		e.Path = path
	}
	return err
}

// land gives a finished temporary file its name, which must not exist.
func land(temp, path string) error {
	if err := os.Link(temp, path); err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	// A file system without hard links: an empty file of that name is claimed first.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Close(), os.Rename(temp, path)); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// SyncDir makes a rename in dir durable, where folders can be synced.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, fs.ErrInvalid) && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return nil
}

// maxLinks bounds how many symbolic links in a row are followed, as systems do.
const maxLinks = 40

// Behind is the file that a path names, which may not exist: a link stays the link
// it is, and what is made beside a registry is made beside its file.
func Behind(path string) (string, error) {
	for range maxLinks {
		target, err := os.Readlink(path)
		if err != nil {
			return path, nil // not a link, or nothing
		}
		if !filepath.IsAbs(target) {
			dir, err := filepath.EvalSymlinks(filepath.Dir(path))
			if err != nil {
				return "", err
			}
			target = filepath.Join(dir, target)
		}
		path = target
	}
	return "", &fs.PathError{Op: "open", Path: path, Err: errors.New("too many symbolic links")}
}
