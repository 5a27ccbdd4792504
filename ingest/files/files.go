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
	"io"
	"io/fs"
	"os"
	"runtime"
	"time"

	"wreg/ingest/folder"
	"wreg/ingest/place"
	"wreg/registry/tensor"
)

// Files is where the files of a checkpoint lie.
type Files interface {
	List(ctx context.Context) ([]fs.DirEntry, error)
	Open(ctx context.Context, name string) (Blob, tensor.File, error)
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
	return described(name, f)
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
	return described(name, b)
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

type entry struct{ place.Entry }

func (e entry) Name() string               { return e.Entry.Name }
func (e entry) IsDir() bool                { return e.Dir }
func (e entry) Type() fs.FileMode          { return map[bool]fs.FileMode{true: fs.ModeDir}[e.Dir] }
func (e entry) Info() (fs.FileInfo, error) { return e, nil }
func (e entry) Size() int64                { return e.Entry.Size }
func (e entry) Mode() fs.FileMode          { return e.Type() }
func (entry) ModTime() time.Time           { return time.Time{} }
func (entry) Sys() any                     { return nil }
