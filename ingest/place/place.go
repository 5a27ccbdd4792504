// Package place says where the files of a checkpoint lie: in a folder, in a repository at
// a commit, below a bucket's prefix, in an artifact.
//
// Most users need [Place], [Blob] and [Error].
//
// Invariants: a place shows one revision of what it is about, whatever moves meanwhile;
// opening reads no bytes; what is missing is fs.ErrNotExist.
package place

import (
	"context"
	"io"

	"wreg/registry/tensor"
)

// Entry is a file or folder of a place, as its listing has it.
type Entry struct {
	Name   string
	Size   int64
	Dir    bool
	Digest string // "sha256:HEX" that the place declares of the file, "" when it declares none
}

// Place is where a checkpoint's files lie.
type Place interface {
	List(ctx context.Context) ([]Entry, error)           // complete, sorted by name; folders are not descended into
	Open(ctx context.Context, name string) (Blob, error) // stays open when the place is closed
	Has(name string) bool
	Pin() string // what to open again: an absolute path, hf://org/name@COMMIT
	Close() error
}

// Blob is one open file.
type Blob interface {
	io.ReaderAt
	io.Closer
	Stat() (tensor.File, error) // name, size, and what says whether it is unchanged
}

// Error is why a place, or a file of it, could not be read: which says nothing of what is
// in the file. Its text names the address, the range and the cause, and what to do next.
type Error struct {
	Text  string
	Cause error
}

func (e *Error) Error() string { return e.Text }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Batched is a Blob that is told what will be read of it next, so that all of it is asked
// for at once: offsets and lengths.
type Batched interface {
	ReadAhead(ctx context.Context, ranges [][2]int64) error
}

// Streamer is a Blob that can be read from front to back faster than by one ReadAt after the
// other: several stretches are on their way at once. Afresh, they come by connections of
// their own and past what is kept in between.
type Streamer interface {
	Stream(ctx context.Context, off int64, afresh bool) io.ReadCloser
}

// Headed is a Blob that is told when its header was read and found to hold.
type Headed interface{ HeaderRead() }
