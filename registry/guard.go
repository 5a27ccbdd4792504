package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"

	bolt "go.etcd.io/bbolt"

	"wreg/registry/boltfile"
)

// mapped are the packages that read what bbolt maps.
var mapped = []string{
	"wreg/registry", "wreg/registry/block", "wreg/registry/boltfile", "wreg/registry/codec", "wreg/registry/hashindex", "wreg/registry/record",
}

// guard runs fn, which reads the mapped file, and turns what a damaged or truncated
// file does to bbolt into a *DamagedError.
func (r *Registry) guard(fn func() error) error { return r.damaged(boltfile.Guard(mapped, fn)) }

// damaged makes a *DamagedError of what is wrong with the file itself.
func (r *Registry) damaged(err error) error {
	if e, ok := err.(*boltfile.Error); ok {
		return r.damage(e.Where, "%s", e.Message)
	}
	return err
}

// view and update are bbolt's, guarded.
func (r *Registry) view(fn func(*bolt.Tx) error) error {
	r.swap.RLock()
	defer r.swap.RUnlock()
	if r.db == nil {
		return r.closed()
	}
	return r.guard(func() error { return r.db.View(fn) })
}

func (r *Registry) update(fn func(*bolt.Tx) error) error {
	if r.readOnly {
		return r.errReadOnly()
	}
	r.swap.RLock()
	defer r.swap.RUnlock()
	if r.db == nil {
		return r.closed()
	}
	r.mu.Lock()
	broken := r.broken
	r.mu.Unlock()
	if broken != nil {
		return broken
	}
	err := r.guard(func() error { return r.db.Update(fn) })
	if _, ok := errors.AsType[*DamagedError](err); ok {
		// What is written after a fault could build on it.
		r.mu.Lock()
		r.broken = err
		r.mu.Unlock()
	}
	return err
}

// settle makes the older of bbolt's two meta pages say what the newer does: either
// may be damaged then and nothing is lost. What was written before is there even
// when this fails, so its error is ignored.
func (r *Registry) settle() {
	_ = r.update(func(*bolt.Tx) error { return nil })
}

func (r *Registry) closed() error {
	return fmt.Errorf("registry %s was closed: %w", r.path, fs.ErrClosed)
}

func (r *Registry) errReadOnly() error {
	return fmt.Errorf("registry %s is open for reading only", r.path)
}

// report notes damage that was met while a column was decoded, where no error
// could be returned.
func (r *Registry) report(ref string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reports++
	r.lastReport = r.damage(ref, "%v", err)
}

func (r *Registry) reported() (n int, last error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reports, r.lastReport
}

// walkAll walks the whole file. The caller holds the lock, so that no writer is at work.
func (r *Registry) walkAll(ctx context.Context) (*boltfile.Walk, error) {
	w, err := boltfile.NewWalk(ctx, r.file)
	if err != nil {
		return nil, r.damaged(err)
	}
	w.All()
	return w, ctx.Err()
}

// checkPages is walkAll's faults as one error.
func (r *Registry) checkPages() error {
	w, err := r.walkAll(context.Background())
	if err != nil {
		return err
	}
	return r.faultsOf(w, "")
}

// checkTops walks all but the revisions' own buckets, which checkRevision does
// when they are asked for: opening a large registry costs what is used of it.
func (r *Registry) checkTops(tx *bolt.Tx) error {
	w, err := boltfile.NewWalk(context.Background(), r.file) // a few pages
	if err != nil {
		return r.damaged(err)
	}
	r.walk = w
	w.Top(func(key []byte) bool { return !bytes.Equal(key, revisionsBucket) })
	if err := r.faultsOf(w, ""); err != nil {
		return err
	}
	if b := tx.Bucket(revisionsBucket); b != nil && b.Root() != 0 {
		w.Bucket(uint64(b.Root()), 1, func([]byte) bool { return false })
	}
	return r.faultsOf(w, "")
}

// faultsOf is what a walk found as one error, nil when it found nothing.
func (r *Registry) faultsOf(w *boltfile.Walk, where string) error {
	switch faults, more := w.Take(); len(faults) {
	case 0:
		return nil
	case 1:
		return r.damage(where, "%v", faults[0])
	default:
		return r.damage(where, "%v (and %d more faults)", faults[0], len(faults)-1+more)
	}
}

// checkRevision goes on with checkTops' walk when a revision is first used. For
// writing, Open has walked all.
func (r *Registry) checkRevision(id uint32, b *bolt.Bucket) error {
	where := fmt.Sprintf("revisions/%d", id)
	if b.Root() == 0 {
		return r.damage(where, "the bucket holds no bucket of blocks")
	}
	if !r.readOnly {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	err, walked := r.walked[id]
	if !walked {
		r.walk.Bucket(uint64(b.Root()), 2, nil)
		err = r.faultsOf(r.walk, where)
		r.walked[id] = err
	}
	return err
}
