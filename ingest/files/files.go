// Package files lets a checkpoint's files be read the same from a folder on disk and from
// a place elsewhere.
//
// Most users need [Files], [Local], [Far] and [Stat].
//
// Invariants: an open file of a folder is an *os.File, so that who can do more with one
// still does; what lies elsewhere is asked for nothing that only might be wanted.
package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"runtime"
	"strings"
	"time"

	"wreg/ingest/folder"
	"wreg/ingest/place"
	"wreg/ingest/shards"
	"wreg/registry/tensor"
)

// Files is where the files of a checkpoint lie.
type Files interface {
	List(ctx context.Context) ([]fs.DirEntry, error)
	Open(ctx context.Context, name string) (Blob, tensor.File, error)
	Stat(e fs.DirEntry) (fs.FileInfo, error) // of what an entry is, or leads to
	ReadFile(ctx context.Context, name string, most int64) ([]byte, error)
	Intact(name string, glance bool) error
	Jobs() int // headers that are read at once, where nobody says
	Has(name string) bool
	Close() error
}

// Blob is an open file.
type Blob interface {
	io.ReaderAt
	io.Closer
}

// Stat describes an open file as it is now.
func Stat(b Blob) (tensor.File, error) {
	if f, ok := b.(*os.File); ok {
		now, err := f.Stat()
		if err != nil {
			return tensor.File{}, err
		}
		return tensor.File{Size: now.Size(), ModTime: now.ModTime(), Inode: folder.Inode(now)}, nil
	}
	return b.(place.Blob).Stat()
}

// described is an open file and what it is.
func described(name string, b Blob) (Blob, tensor.File, error) {
	info, err := Stat(b)
	if err != nil {
		return nil, info, errors.Join(folder.Named(name, err), b.Close())
	}
	info.Name = name
	return b, info, nil
}

// Local is a folder on disk.
type Local struct{ *folder.Folder }

// List names what it holds.
func (l Local) List(context.Context) ([]fs.DirEntry, error) { return l.Folder.List() }

// Open opens a regular file of it.
func (l Local) Open(_ context.Context, name string) (Blob, tensor.File, error) {
	f, err := l.Folder.Open(name)
	if err != nil {
		return nil, tensor.File{}, err
	}
	b, info, err := described(name, f)
	info.Digest = l.Digest(name)
	return b, info, err
}

// Stat follows a link.
func (l Local) Stat(e fs.DirEntry) (fs.FileInfo, error) { return l.Folder.Stat(e.Name()) }

// ReadFile reads a file of at most so many bytes.
func (l Local) ReadFile(_ context.Context, name string, most int64) ([]byte, error) {
	return l.Folder.ReadFile(name, most)
}

// Jobs is one per core.
func (Local) Jobs() int { return runtime.GOMAXPROCS(0) }

// Far is a place elsewhere, which its owner closes.
type Far struct{ place.Place }

// farJobs is how many headers are read at once where reading is waiting.
const farJobs = 32

// List names what it holds.
func (f Far) List(ctx context.Context) ([]fs.DirEntry, error) {
	list, err := f.Place.List(ctx)
	return Entries(list), err
}

// Open opens a file of it.
func (f Far) Open(ctx context.Context, name string) (Blob, tensor.File, error) {
	b, err := f.Place.Open(ctx, name)
	if err != nil {
		return nil, tensor.File{}, err
	}
	if d, ok := b.(place.OnDisk); ok {
		return described(name, d.Disk())
	}
	return described(name, b)
}

// Stat is what the listing says.
func (Far) Stat(e fs.DirEntry) (fs.FileInfo, error) { return e.Info() }

// ReadFile reads a file of at most so many bytes. One that is not listed is not asked for.
func (f Far) ReadFile(ctx context.Context, name string, most int64) ([]byte, error) {
	if !f.Has(name) {
		return nil, folder.Named(name, fs.ErrNotExist)
	}
	b, info, err := f.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	if info.Size > most {
		return nil, fmt.Errorf("%s: %d bytes exceed %d", name, info.Size, most)
	}
	data := make([]byte, info.Size)
	return data, tensor.ReadFull(b, data, 0)
}

// Intact asks for nothing: what lies beside the weights is not read until it is used.
func (Far) Intact(string, bool) error { return nil }

// Jobs is enough to wait for many answers at once.
func (Far) Jobs() int { return farJobs }

// Close leaves it to its owner.
func (Far) Close() error { return nil }

// Entries shows the entries of a place as those of a folder.
func Entries(list []place.Entry) []fs.DirEntry {
	entries := make([]fs.DirEntry, len(list))
	for i, e := range list {
		entries[i] = entry{e}
	}
	return entries
}

// Digest is what a place declares of the bytes of an entry, "" where it declares nothing.
func Digest(e fs.DirEntry) string {
	if far, ok := e.(entry); ok {
		return far.Entry.Digest
	}
	return ""
}

type entry struct{ place.Entry }

func (e entry) Name() string               { return e.Entry.Name }
func (e entry) IsDir() bool                { return e.Dir }
func (e entry) Type() fs.FileMode          { return map[bool]fs.FileMode{true: fs.ModeDir}[e.Dir] }
func (e entry) Info() (fs.FileInfo, error) { return e, nil }
func (e entry) Size() int64                { return e.Entry.Size }
func (e entry) Mode() fs.FileMode          { return e.Type() }
func (entry) ModTime() time.Time           { return time.Time{} }
func (entry) Sys() any                     { return nil }

// Counts reports the name of a file that a model may consist of: weights, JSON, and what belongs beside them.
func Counts(name string) bool {
	return shards.FamilyOf(name) != nil || path.Ext(strings.ToLower(name)) == ".json" || folder.Beside(name)
}

// Twins refuses files of a model whose names differ in case alone: which is meant would
// depend on the file system that they are exported to.
func Twins(names []string) error {
	seen := map[string]string{}
	for _, name := range names {
		if !Counts(name) {
			continue
		}
		low := strings.ToLower(name)
		if first, twice := seen[low]; twice {
			return fmt.Errorf("lists %q and %q, which are one file where case makes no difference", first, name)
		}
		seen[low] = name
	}
	return nil
}
