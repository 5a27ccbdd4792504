// Package registry stores models, every tensor of every revision, in one bbolt
// file.
//
// Most users need [Open], [Registry.Put], [Registry.View] and, inside a view,
// [Snapshot.Find], [Snapshot.Blocks] and [Snapshot.Lookup].
//
// Invariants: a revision never changes once visible; readers share the file
// but a writer is alone, so a Registry opened for writing should be closed soon;
// what a Snapshot returns must not be used after its View returns, and Put inside
// a View of the same Registry can wait for itself.
//
// The file's layout is described in docs/registry-format.md. Nothing in the file
// is trusted: everything read carries a checksum that is verified before use, and
// a damaged file gives a *DamagedError, never a panic.
package registry

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"

	"wreg/registry/boltfile"
	"wreg/registry/record"
)

// Options of Open. The zero value opens for reading and writing.
type Options struct {
	ReadOnly bool          // share the file with other readers; it must exist
	Timeout  time.Duration // how long to wait for the lock; 0 is 5 s
}

// Registry is an open registry file. Its methods may be called concurrently.
type Registry struct {
	path     string
	db       *bolt.DB
	file     *os.File // bbolt's own handle: closed by bbolt, read at by page checks
	readOnly bool

	kept *cache // of a registry open for reading, whose file cannot change

	swap sync.RWMutex // held by transactions; Compact changes db and file

	mu         sync.Mutex
	active     map[uint32]bool  // revisions that a Put of this process is writing
	walk       *boltfile.Walk   // of a registry open for reading, as far as it was used
	walked     map[uint32]error // what it found below each revision
	reports    int              // of damage met in columns
	lastReport error            //
	broken     error            // set when a transaction panicked: no more writing
}

// Revision describes one ingested checkpoint.
type Revision = record.Revision

// NotFoundError says which model is not there and what is near.
type NotFoundError = record.NotFoundError

// HubName is what the hub calls a model that was ingested from its cache: org/name of
// org--name, which Find and Match take as well; other names stay.
func HubName(name string) string { return record.HubName(name) }

// CheckName says why a name cannot be a new model's.
func CheckName(name string) error { return record.CheckName(name) }

// DamagedError says that the registry file holds what wreg did not write. Where
// names the place: a page, a key, a revision.
type DamagedError struct {
	Path, Where, Message string
}

func (e *DamagedError) Error() string {
	where := ""
	if e.Where != "" {
		where = e.Where + ": "
	}
	return fmt.Sprintf("registry %s is damaged: %s%s; `wreg check` lists every fault; restore a backup, or move the file away and ingest again", e.Path, where, e.Message)
}

// SchemaError says that a newer wreg wrote the registry.
type SchemaError struct {
	Path         string
	Found, Known int
}

func (e *SchemaError) Error() string {
	return fmt.Sprintf("registry %s has schema %d, this wreg knows up to %d: use a newer wreg, or name another file with --registry", e.Path, e.Found, e.Known)
}

// LockError says that another process holds the registry.
type LockError struct {
	Path     string
	ReadOnly bool     // what was asked for
	Holders  []string // "wreg (process 123)", as far as the system tells
}

func (e *LockError) Error() string {
	who := "another process"
	if len(e.Holders) > 0 {
		who = strings.Join(e.Holders, ", ")
	}
	rule := "a writer needs the registry to itself: wait until it ends, or stop it"
	if e.ReadOnly {
		rule = "it is writing, and a writer needs the registry to itself: wait until it ends"
	}
	return fmt.Sprintf("registry %s is held by %s; %s", e.Path, who, rule)
}

func newRegistry(path string, readOnly bool) *Registry {
	r := &Registry{path: path, readOnly: readOnly, active: map[uint32]bool{}, walked: map[uint32]error{}}
	if readOnly {
		r.kept = newCache()
	}
	return r
}

// Close releases the file and its lock.
func (r *Registry) Close() error {
	r.swap.Lock()
	defer r.swap.Unlock()
	if r.db == nil {
		return nil
	}
	db := r.db
	r.db = nil
	return r.guard(db.Close)
}

// Path is the file the registry lies in.
func (r *Registry) Path() string { return r.path }
