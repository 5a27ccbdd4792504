// Package push publishes files where others read them: a repository of the hub, a
// bucket's prefix, an artifact of a registry.
//
// Most users need [Target], which each kind of address implements, and wreg/push/targets,
// which opens one.
//
// Invariants: nothing is visible to readers before Commit, and then everything at once; a
// file is named by its SHA-256, and what a store holds by that digest is not sent again;
// what a store says of the bytes it took is held against that digest before Put returns.
package push

import (
	"context"
	"io"

	"wreg/ingest/remote"
)

// File is one that is to be there in the end.
type File struct {
	Name   string // as in the folder: no folders, no links, checked by who lists them
	Size   int64
	SHA256 string // hex
	Head   []byte // its first bytes, HeadBytes of them or all: from which a store tells text from weights
}

// HeadBytes is how much of a file's beginning a Target is told.
const HeadBytes = 512

// Target is where a model is published. Its methods may be called from many goroutines, but
// Commit, which is called once, after every Put has returned.
type Target interface {
	// Held says which files the store has by their digests: those are not put. It changes nothing
	// there, so that --dry-run asks it, too; a target that is not there yet holds nothing. It is called
	// before the first Put, and may be called again with other files.
	Held(ctx context.Context, files []File) ([]bool, error)

	// Put stores a file's bytes, not yet visible by name. moved is called with what a server took, and with
	// negative numbers for what has to be sent again. It may keep a small file in memory until Commit. It is
	// resumed when it is called again, in this process or another: parts that are there are not sent again.
	Put(ctx context.Context, f File, from io.ReaderAt, moved func(int64)) error

	// Commit makes the files visible, all of them at once or, where the store cannot do that, in the order
	// given, the last one being what tells readers that all are there. Each was put or held. The address is
	// pinned: what to ingest.
	Commit(ctx context.Context, files []File) (address string, err error)

	// Proof says in a few words, after "verified: ", what the store's own answers say of the bytes it took.
	Proof() string

	Close() error
}

// Options of opening a Target; the zero value is good.
type Options struct {
	UserAgent string
	Private   bool               // what has to be created is visible to its owner alone
	Message   string             // of the commit, where there is one
	Notice    func(remote.Event) // waits and retries; called from many goroutines
}
