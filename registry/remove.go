package registry

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"

	bolt "go.etcd.io/bbolt"

	"wreg/registry/record"
)

// A transaction of an ingest ends when it holds this much: bbolt keeps what is not
// committed in memory, and other processes wait meanwhile.
var (
	batchBytes = 8 << 20
	batchKeys  = 1 << 13
)

func appendNumber(n int) []byte { return binary.AppendUvarint(nil, uint64(n)) }

// Remove deletes a revision ("name@2") or, for a bare name, every revision. They
// are gone in one transaction; the room they took is freed in further ones, which
// the next Put or GC finishes if this process ends before.
func (r *Registry) Remove(ref string) error {
	name, number, ok := record.ReadRef(ref)
	if !ok || name == "" {
		return &NotFoundError{Ref: ref}
	}
	var ids []uint32
	err := r.update(func(tx *bolt.Tx) error {
		s := newSnapshot(r, tx)
		revisions, err := s.entries(name)
		if err != nil {
			return err
		}
		models, pending := tx.Bucket(modelsBucket), tx.Bucket(pendingBucket)
		kept := 0
		for _, e := range revisions {
			if number != 0 && e.number != number {
				kept++
				continue
			}
			if err := models.Delete(modelKey(name, e.number)); err != nil {
				return err
			}
			if err := pending.Put(idKey(e.id), []byte(name)); err != nil {
				return err
			}
			ids = append(ids, e.id)
		}
		if len(ids) == 0 {
			return s.notFound(ref)
		}
		if err := countModels(models, -len(ids)); err != nil {
			return err
		}
		if err := r.forgetDigests(tx, ids); err != nil {
			return err
		}
		if kept == 0 {
			return tx.Bucket(numbersBucket).Delete([]byte(name))
		}
		return nil
	})
	if err != nil {
		return err
	}
	var faults []error
	for _, id := range ids {
		faults = append(faults, r.erase(context.Background(), id))
	}
	return errors.Join(faults...)
}

// forgetDigests removes what names files of these revisions. All keys are looked at: what a damaged revision
// held is not known.
func (r *Registry) forgetDigests(tx *bolt.Tx, ids []uint32) error {
	digests, err := r.bucket(tx, digestsBucket)
	if err != nil {
		return err
	}
	var gone [][]byte
	for k := range keys(digests) {
		if _, id, ok := splitDigestKey(k); ok && slices.Contains(ids, id) {
			gone = append(gone, slices.Clone(k))
		}
	}
	for _, k := range gone {
		if err := digests.Delete(k); err != nil {
			return err
		}
	}
	return nil
}

// GC removes what ingests, removals and compactions that were killed left behind.
// It does not shrink the file: Compact does.
func (r *Registry) GC(ctx context.Context) error {
	_, _, err := r.Collect(ctx)
	return err
}

// Collect is GC, and says how many revisions and files it removed.
func (r *Registry) Collect(ctx context.Context) (revisions, files int, err error) {
	if r.readOnly {
		return 0, 0, r.errReadOnly()
	}
	if files, err = r.removeCopies(); err != nil {
		return 0, files, err
	}
	var left []uint32
	err = r.view(func(tx *bolt.Tx) error {
		pending, err := r.bucket(tx, pendingBucket)
		if err != nil {
			return err
		}
		r.mu.Lock()
		err = pending.ForEach(func(k, _ []byte) error {
			if len(k) != 4 {
				return r.damage("pending", "key %.60x is not a revision id", k)
			}
			if id := binary.BigEndian.Uint32(k); !r.active[id] {
				left = append(left, id)
			}
			return nil
		})
		r.mu.Unlock()
		if err != nil || len(left) == 0 {
			return err
		}
		all, err := newSnapshot(r, tx).entries("")
		for _, e := range all {
			if slices.Contains(left, e.id) {
				return r.damage("pending", "revision %d is visible, it is %s", e.id, e.ref())
			}
		}
		return err
	})
	if err != nil {
		return 0, files, err
	}
	for _, id := range left {
		if err := r.erase(ctx, id); err != nil {
			return revisions, files, err
		}
		revisions++
	}
	return revisions, files, nil
}

// erase frees what an invisible revision takes, in bounded transactions, and then
// its pending mark.
func (r *Registry) erase(ctx context.Context, id uint32) error {
	for done := false; !done; {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := r.update(func(tx *bolt.Tx) error {
			for _, name := range [][]byte{contentBucket, pendingBucket, revisionsBucket} {
				if _, err := r.bucket(tx, name); err != nil {
					return err
				}
			}
			freed := 0
			if err := eraseKeys(tx.Bucket(contentBucket), idKey(id), &freed); err != nil || freed >= batchBytes {
				return err
			}
			revisions := tx.Bucket(revisionsBucket)
			if own := revisions.Bucket(idKey(id)); own != nil {
				if blocks := own.Bucket(blocksKey); blocks != nil {
					if err := eraseKeys(blocks, nil, &freed); err != nil || freed >= batchBytes {
						return err
					}
				}
				if err := revisions.DeleteBucket(idKey(id)); err != nil {
					return err
				}
			}
			done = true
			return tx.Bucket(pendingBucket).Delete(idKey(id))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// eraseKeys deletes keys with a prefix until a transaction's worth is freed.
func eraseKeys(b *bolt.Bucket, prefix []byte, freed *int) error {
	c := b.Cursor()
	for k, v := c.Seek(prefix); k != nil && len(k) >= len(prefix) && string(k[:len(prefix)]) == string(prefix) && *freed < batchBytes; k, v = c.Seek(prefix) {
		*freed += len(k) + len(v)
		if err := c.Delete(); err != nil {
			return err
		}
	}
	return nil
}
