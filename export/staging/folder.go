// Package staging keeps the folder that an export is written to before it lands:
// .NAME.wreg-partial next to the target, which one rename puts into place.
//
// Most users need [Open] and [Folder.Land]; [Folder.OpenJournal] and [Folder.Claims]
// to go on with what a killed export, or another machine, wrote; and [Extras], the
// files that are copied next to the weights.
//
// Invariants: nothing is removed that an export did not write, nor, unasked, what
// other machines wrote; what a journal claims is never trusted, only looked for; a
// folder lands complete, under a name that nothing had, or not at all.
package staging

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"wreg/export/disk"
	"wreg/export/receipt"
	"wreg/ingest/folder"
)

// Folder is where an export is written to before it lands.
type Folder struct {
	Path string // "" after landing
	Root *os.Root
	lock *os.File
	kept bool // what was there is continued: it is not removed when that fails
}

// partial ends the name of a staging folder: .NAME.wreg-partial
const partial = ".wreg-partial"

// PathOf is where the export of out is written first.
func PathOf(out string) string {
	return filepath.Join(filepath.Dir(out), "."+filepath.Base(out)+partial)
}

// Exists says that there is something to land.
func Exists(out string) error {
	if _, err := os.Stat(PathOf(out)); err != nil {
		return fmt.Errorf("nothing to finish: %w", err)
	}
	return nil
}

// Open opens the folder of an export, alone or shared with the other parts of
// it. What a killed export left there is removed, unless it is to be continued, or
// complete: then it is landed as it is.
func Open(out string, keep, shared bool) (*Folder, error) {
	path := PathOf(out)
	if info, err := os.Lstat(path); err == nil && !info.IsDir() { // a link would lead elsewhere
		return nil, fmt.Errorf("%s is in the way and is not a folder; remove it", path)
	}
	lock, err := disk.Lock(path, shared)
	if err == nil && !keep && finished(path) {
		keep = true
	}
	if err == nil && !keep {
		err = errors.Join(discard(path, false), lock.Close())
		if err == nil {
			lock, err = nil, fs.ErrNotExist
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.Mkdir(path, 0o755); err == nil || shared && errors.Is(err, fs.ErrExist) {
			lock, err = disk.Lock(path, shared)
		}
	}
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	b := &Folder{path, root, lock, keep}
	entries, err := b.entries()
	if err == nil {
		err = filesOnly(path, entries)
	}
	if err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

// entries lists what is in it.
func (b *Folder) entries() ([]fs.DirEntry, error) {
	d, err := b.Root.Open(".")
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.ReadDir(-1)
}

// filesOnly refuses what is not a file: a link leads elsewhere, a pipe is waited for.
func filesOnly(path string, entries []fs.DirEntry) error {
	for _, e := range entries {
		if !e.Type().IsRegular() {
			return fmt.Errorf("%s holds %q, which is not a regular file; remove it", path, e.Name())
		}
	}
	return nil
}

// finished reports that a folder holds a complete export: its receipt is written last.
func finished(path string) bool {
	data, err := receipt.Read(path)
	return err == nil && receipt.Sealed(data)
}

// discard removes a folder that nobody holds. The work of several machines is not thrown
// away unasked, nor what no export wrote: one has a journal before it has anything
// else. Of a folder that this process made, that is known.
func discard(path string, made bool) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	if err := filesOnly(path, entries); err != nil {
		return err
	}
	journal := made || len(entries) == 0
	for _, e := range entries {
		switch name := e.Name(); {
		case isPartJournal(name):
			return fmt.Errorf("%s holds parts of an export; --finish it, or remove the folder", path)
		case !ours(name):
			return fmt.Errorf("%s holds %q, which no export writes; remove the folder, or choose another --out", path, name)
		case name == journalName:
			journal = true
		}
	}
	if !journal {
		return fmt.Errorf("%s holds %q but no journal of an export; remove the folder, or choose another --out", path, entries[0].Name())
	}
	for _, e := range entries {
		if err := os.Remove(filepath.Join(path, e.Name())); err != nil {
			return err
		}
	}
	return os.Remove(path)
}

// ours reports names of files that an export writes.
func ours(name string) bool {
	return name == journalName || isSent(name) || folder.Beside(name) || reserved(name) && !strings.HasPrefix(name, journalName)
}

// Write writes a small file and reads it back.
func (b *Folder) Write(name string, data []byte, sync bool) (receipt.File, error) {
	f, err := b.Root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return receipt.File{}, err
	}
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		return receipt.File{}, err
	}
	if sync {
		if err := f.Sync(); err != nil {
			return receipt.File{}, err
		}
	}
	back := make([]byte, len(data))
	if _, err := f.ReadAt(back, 0); err != nil || !bytes.Equal(back, data) {
		return receipt.File{}, fmt.Errorf("%s: was changed when read back (%v)", name, err)
	}
	sum := sha256.Sum256(data)
	return receipt.File{Name: name, Bytes: int64(len(data)), SHA256: hex.EncodeToString(sum[:])}, nil
}

// Remove deletes what was written, unless it landed.
func (b *Folder) Remove() error {
	if b.Path == "" || b.kept {
		return nil
	}
	return errors.Join(b.Root.Close(), discard(b.Path, true)) // Windows removes no folder that is held
}

// Keep has what was written stay when the export fails.
func (b *Folder) Keep() { b.kept = true }

func (b *Folder) Close() {
	b.Root.Close()
	b.lock.Close()
}
