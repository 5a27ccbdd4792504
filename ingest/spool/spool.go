// Package spool reads the files of a place that is far away once, each from front to back,
// and keeps on disk what is needed of them for as long as it is.
//
// Most users need [NewPlan], [Over] for a place to open a checkpoint in, [Spool.Begin] and
// [Spool.Run], and [Spool.Done] for what is made.
//
// What is needed is known beforehand: a [Plan] lists jobs, the stretches of files that each
// reads, and so how many bytes must be on disk at once when jobs are done in the order in
// which their last byte arrives. Run reads ahead of them by [Ahead] bytes at most; a reader
// waits for what has not come yet. What a file has that no job reads is hashed and let go.
//
// Invariants: what is kept never exceeds [Plan.Disk], and reading never waits for a job
// that waits for reading, as long as jobs begin in [Plan.Order]; no file is [Proof] before
// all of it was read and its SHA-256 compared with the declared one; what an earlier run
// left is used only where the bytes on disk are those that it noted.
package spool

import (
	"context"
	"crypto/sha256"
	"encoding"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"sync"

	"wreg/ingest/place"
	"wreg/ingest/sums"
	"wreg/registry/tensor"
)

// Prefix begins the names of the files that are kept.
const Prefix = "wreg-spool"

// stateName is the file that says how far everything has come.
const stateName = Prefix + "-journal"

func dataName(i int) string { return fmt.Sprintf("%s-%05d", Prefix, i+1) }

// Spool is a place whose files are read once. Until Begin they are read where they lie.
type Spool struct {
	place.Place
	plan  *Plan
	dir   *os.Root
	id    string
	sync  bool
	every int64 // noteEvery, but for tests

	mu      sync.Mutex
	changed sync.Cond
	blobs   map[string]*blob
	begun   bool
	files   []progress
	pieces  []kept
	done    []bool // by job
	held    int64
	most    int64           // that held ever was
	doubted map[string]bool // files that were not what is declared, and are read once more
	err     error           // why no more comes
}

// progress is how far a file has come.
type progress struct {
	f     *os.File // where it is kept; nil: nothing is
	off   int64    // up to where it was read
	hash  hash.Hash
	sums  []hash.Hash // of Plan.files[i].sums
	whole bool        // it was read to its end and is what is declared
	got   string      // its SHA-256 then, in hex
}

// kept is how much of a piece is here.
type kept struct {
	n    int64 // bytes, from its beginning on
	left int   // jobs that are not done
	sum  tensor.Sum
	part *sums.Summer // while it is on its way
	off  bool         // nobody needs it any more
}

// Over makes a place of which files are opened until the plan is known that needs them.
func Over(p place.Place) *Spool {
	s := &Spool{Place: p, blobs: map[string]*blob{}, doubted: map[string]bool{}, every: noteEvery}
	s.changed.L = &s.mu
	return s
}

// Single is the one file that was named, as of the place below.
func (s *Spool) Single() string {
	if one, ok := s.Place.(interface{ Single() string }); ok {
		return one.Single()
	}
	return ""
}

// Close leaves the place below to its owner.
func (s *Spool) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for i := range s.files {
		if f := s.files[i].f; f != nil {
			errs = append(errs, f.Close())
			s.files[i].f = nil
		}
	}
	s.fail(fs.ErrClosed)
	return errors.Join(errs...)
}

// fail ends all waiting. mu is held.
func (s *Spool) fail(err error) {
	if s.err == nil {
		s.err = err
	}
	s.changed.Broadcast()
}

// Options of Begin.
type Options struct {
	ID   string // names plan and place: what was kept for another is not used
	Sync bool   // what is noted is on the disk before it is

	// Proven are files that were read whole before, of which nothing was noted since.
	Proven []Proof
}

// Begin keeps what is needed in a folder, from where an earlier Run came to; done says which
// jobs need nothing any more. It may be called again when Run has ended.
func (s *Spool) Begin(dir *os.Root, p *Plan, done []bool, o Options) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.blobs {
		b.rest() // what was read of headers is let go
	}
	for i := range s.files {
		if s.files[i].f != nil {
			s.files[i].f.Close()
		}
	}
	s.begun, s.err, s.dir, s.plan, s.id, s.sync = true, nil, dir, p, o.ID, o.Sync
	s.done, s.held = append([]bool(nil), done...), 0
	s.files, s.pieces = make([]progress, len(p.files)), make([]kept, len(p.pieces))
	for i := range s.pieces {
		for _, j := range p.pieces[i].jobs {
			if !done[j] {
				s.pieces[i].left++
			}
		}
		s.pieces[i].off = s.pieces[i].left == 0
	}
	return s.restore(o.Proven)
}

// Doubt has a file read again from its beginning, by other connections. What was made of it
// is not to be believed: Begin is to be told so.
func (s *Spool) Doubt(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.doubted[name] = true
}

// fresh has a file begin anew; what is kept of it stays only until it was looked at. mu is held.
func (s *Spool) fresh(i int, stays bool) error {
	x, f := &s.files[i], &s.plan.files[i]
	if x.f != nil {
		x.f.Close()
	}
	*x = progress{hash: sha256.New()}
	for range f.sums {
		x.sums = append(x.sums, sha256.New())
	}
	for _, k := range f.pieces {
		s.pieces[k].n, s.pieces[k].part = 0, nil
	}
	if stays {
		return nil
	}
	return s.discard(i)
}

// discard removes what is kept of a file. mu is held.
func (s *Spool) discard(i int) error {
	if f := s.files[i].f; f != nil {
		f.Close()
		s.files[i].f = nil
	}
	if err := s.dir.Remove(dataName(i)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Done says that a job needs nothing any more: what it alone read is let go.
func (s *Spool) Done(j int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done[j] {
		return
	}
	s.done[j] = true
	for _, i := range s.plan.jobs[j].pieces {
		if s.pieces[i].left--; s.pieces[i].left == 0 {
			s.release(i)
		}
	}
	s.changed.Broadcast()
}

// release lets a piece go. mu is held.
func (s *Spool) release(i int) {
	k, c := &s.pieces[i], &s.plan.pieces[i]
	k.off, k.part = true, nil
	s.held -= k.n
	if f := s.files[c.file].f; f != nil {
		hole(f, c.off, k.n)
	}
	s.tidy(c.file)
}

// tidy removes the file in which a file was kept once nothing of it is needed. What cannot be
// removed takes room, and is removed with the folder. mu is held.
func (s *Spool) tidy(i int) {
	if !s.files[i].whole {
		return
	}
	if !s.needed(i) {
		_ = s.discard(i)
	}
}

// Proof is what was found of a file that was read whole.
type Proof struct {
	Name     string
	Declared string // "sha256:HEX", "" where the place declares none
	SHA256   string // in hex
}

// Proofs are of the files that were read.
func (s *Spool) Proofs() (list []Proof) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.files {
		if x := &s.files[i]; x.whole {
			list = append(list, Proof{s.plan.files[i].Name, s.plan.files[i].Digest, x.got})
		}
	}
	return list
}

// Sum is the SHA-256 of a stretch that the plan lists, once its file was read.
func (s *Spool) Sum(r Range) (h tensor.Hash, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.files {
		for k, have := range s.plan.files[i].sums {
			if have == r && s.files[i].whole {
				copy(h[:], s.files[i].sums[k].Sum(nil))
				return h, true
			}
		}
	}
	return h, false
}

// Most is how many bytes were kept at once.
func (s *Spool) Most() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.most
}

// Open opens a file: before Begin where it lies, and from then on as it comes.
func (s *Spool) Open(ctx context.Context, name string) (place.Blob, error) {
	base, err := s.Place.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	b := &blob{s: s, name: name, base: base}
	if b.info, err = base.Stat(); err != nil {
		return nil, errors.Join(err, base.Close())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blobs[name] = b
	return b, nil
}

// blob is a file that is read as it comes.
type blob struct {
	s    *Spool
	name string
	info tensor.File
	base place.Blob // nil once the spool has begun, or it was closed
}

// rest closes the file where it lies. mu is held.
func (b *blob) rest() {
	if b.base != nil {
		_ = b.base.Close() // it was read only
		b.base = nil
	}
}

func (b *blob) Stat() (tensor.File, error) { return b.info, nil }

// HeaderRead says so to the file where it lies.
func (b *blob) HeaderRead() {
	if h, ok := b.base.(place.Headed); ok {
		h.HeaderRead()
	}
}

// ReadAhead says so to the file where it lies.
func (b *blob) ReadAhead(ctx context.Context, ranges [][2]int64) error {
	if h, ok := b.base.(place.Batched); ok {
		return h.ReadAhead(ctx, ranges)
	}
	return nil
}

// Close leaves what is kept to the spool.
func (b *blob) Close() error {
	b.s.mu.Lock()
	defer b.s.mu.Unlock()
	if b.s.blobs[b.name] == b {
		delete(b.s.blobs, b.name)
	}
	b.rest()
	return nil
}

// ReadAt waits for what has not come yet.
func (b *blob) ReadAt(p []byte, off int64) (int, error) {
	b.s.mu.Lock()
	if !b.s.begun {
		base := b.base
		b.s.mu.Unlock()
		if base == nil {
			return 0, fs.ErrClosed
		}
		return base.ReadAt(p, off)
	}
	if len(p) == 0 {
		b.s.mu.Unlock()
		return 0, nil
	}
	f, err := b.s.wait(b.name, off, int64(len(p)))
	b.s.mu.Unlock()
	if err != nil {
		return 0, err
	}
	return f.ReadAt(p, off)
}

// wait waits until n bytes at off are here, and gives the file that has them. mu is held.
func (s *Spool) wait(name string, off, n int64) (*os.File, error) {
	i, k := s.find(name, off, n)
	if k < 0 {
		return nil, fmt.Errorf("%s: bytes %d:%d are not among those that were planned to be read", name, off, off+n)
	}
	c := &s.plan.pieces[k]
	for s.pieces[k].n < off+n-c.off && s.err == nil && !s.pieces[k].off {
		s.changed.Wait()
	}
	switch {
	case s.pieces[k].off:
		return nil, fmt.Errorf("%s: bytes %d:%d were let go", name, off, off+n)
	case s.pieces[k].n < off+n-c.off:
		return nil, s.err
	}
	return s.files[i].f, nil
}

// find is the file of a name and the piece that a stretch lies in, -1 when it lies in none.
func (s *Spool) find(name string, off, n int64) (file, piece int) {
	for i := range s.plan.files {
		if s.plan.files[i].Name == name {
			return i, s.plan.at(i, off, n)
		}
	}
	return -1, -1
}

var _ interface {
	io.ReaderAt
	place.Blob
	place.Headed
	place.Batched
} = (*blob)(nil)

// marshal is the state of a hash.
func marshal(h hash.Hash) ([]byte, error) { return h.(encoding.BinaryMarshaler).MarshalBinary() }

func unmarshal(h hash.Hash, state []byte) error {
	return h.(encoding.BinaryUnmarshaler).UnmarshalBinary(state)
}
