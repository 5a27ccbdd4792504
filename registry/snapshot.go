package registry

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"

	bolt "go.etcd.io/bbolt"

	"wreg/registry/record"
)

// Snapshot is a read transaction. Its methods may be called concurrently; what
// it returns must not be used after View returns.
type Snapshot struct {
	r  *Registry
	tx *bolt.Tx

	mu   sync.Mutex // bbolt's buckets keep caches that are not safe for concurrent use
	kept *cache
}

// View runs fn on a consistent snapshot. Damage that was found meanwhile, also by
// columns that are decoded late, is View's error when fn returns none.
func (r *Registry) View(fn func(s *Snapshot) error) error {
	return r.view(func(tx *bolt.Tx) error {
		before, _ := r.reported()
		if err := fn(newSnapshot(r, tx)); err != nil {
			return err
		}
		if n, damage := r.reported(); n != before {
			return damage
		}
		return nil
	})
}

func newSnapshot(r *Registry, tx *bolt.Tx) *Snapshot {
	if r.kept != nil {
		return &Snapshot{r: r, tx: tx, kept: r.kept}
	}
	return &Snapshot{r: r, tx: tx, kept: newCache()}
}

// entries lists a model's revisions, oldest first; all models' for "". The caller
// must not change the list.
func (s *Snapshot) entries(name string) ([]modelEntry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all, err := once(s.kept, &s.kept.models, s.readEntries)
	if err != nil || name == "" {
		return all, err
	}
	start, _ := slices.BinarySearchFunc(all, name, func(e modelEntry, name string) int { return strings.Compare(e.name, name) })
	end := start
	for end < len(all) && all[end].name == name {
		end++
	}
	return all[start:end:end], nil
}

func (s *Snapshot) readEntries() ([]modelEntry, error) {
	b, err := s.r.bucket(s.tx, modelsBucket)
	if err != nil {
		return nil, err
	}
	list := []modelEntry{}
	for k, v := range keys(b) {
		e, err := s.entry(k, v)
		if err != nil {
			return nil, err
		}
		if list = append(list, e); len(list) > maxRevisions {
			return nil, s.r.damage("models", "more than %d revisions", maxRevisions)
		}
	}
	if n := b.Sequence(); uint64(len(list)) != n {
		return nil, s.r.damage("models", "%d revisions, %d were written", len(list), n)
	}
	// Who removes one revision must not remove another.
	byID := slices.Clone(list)
	slices.SortFunc(byID, compareIDs)
	for i := 1; i < len(byID); i++ {
		if byID[i].id == byID[i-1].id {
			return nil, s.r.damage("models", "%s and %s are one revision", byID[i-1].ref(), byID[i].ref())
		}
	}
	return list, nil
}

func (s *Snapshot) entry(k, v []byte) (modelEntry, error) {
	value, err := s.r.unseal(modelPlace(k), v)
	if err != nil {
		return modelEntry{}, err
	}
	name, number, ok := splitModelKey(k)
	if !ok || len(value) != 12 {
		return modelEntry{}, s.r.damage(modelPlace(k), "key %.60x with %d bytes is not a revision", k, len(value))
	}
	if wrong := record.NameFault(name); wrong != "" {
		return modelEntry{}, s.r.damage(modelPlace(k), "%s", wrong)
	}
	if number < 1 || number > math.MaxInt32 {
		return modelEntry{}, s.r.damage(modelPlace(k), "%d is not a revision's number", number)
	}
	be := binary.BigEndian
	return modelEntry{name, number, be.Uint32(value), int(be.Uint32(value[4:])), int(be.Uint32(value[8:]))}, nil
}

// record reads what the registry knows of a revision: a copy of the caller's own.
func (s *Snapshot) record(e modelEntry) (*Revision, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v := s.kept.record(e.id); v != nil {
		return v, nil
	}
	own, err := s.own(e.id)
	if err != nil {
		return nil, err
	}
	value, err := s.r.unseal(infoPlace(e.id), own.Get(infoKey))
	if err != nil {
		return nil, err
	}
	v, wrong := record.Decode(value)
	if wrong == "" && (v.Model != e.name || v.Number != e.number) {
		wrong = fmt.Sprintf("says it is %s, the key is %s@%d's", v.Ref(), e.name, e.number)
	}
	if wrong != "" {
		return nil, s.r.damage(infoPlace(e.id), "%s", wrong)
	}
	s.kept.keepRecord(e.id, v)
	return v, nil
}

// own opens a revision's bucket. The caller holds s.mu.
func (s *Snapshot) own(id uint32) (*bolt.Bucket, error) {
	b, err := s.r.bucket(s.tx, revisionsBucket)
	if err != nil {
		return nil, err
	}
	own := b.Bucket(idKey(id))
	if own == nil {
		return nil, s.r.damage(fmt.Sprintf("revisions/%d", id), "the bucket is absent")
	}
	return own, s.r.checkRevision(id, own)
}

// Models lists the latest revision of every model, sorted by name.
func (s *Snapshot) Models() ([]*Revision, error) {
	all, err := s.entries("")
	if err != nil {
		return nil, err
	}
	return s.revisions(latest(all))
}

// Names lists the models that a shell may be offered: the name of an older one may hold
// what it runs.
func (s *Snapshot) Names() (names []string, err error) {
	models, err := s.Models()
	for _, v := range models {
		if CheckName(v.Model) == nil {
			names = append(names, v.Model)
		}
	}
	return names, err
}

// latest keeps the last revision of each name.
func latest(all []modelEntry) []modelEntry {
	var list []modelEntry
	for i, e := range all {
		if i+1 == len(all) || all[i+1].name != e.name {
			list = append(list, e)
		}
	}
	return list
}

func (s *Snapshot) revisions(list []modelEntry) ([]*Revision, error) {
	revisions := make([]*Revision, 0, len(list))
	for _, e := range list {
		v, err := s.record(e)
		if err != nil {
			return nil, err
		}
		revisions = append(revisions, v)
	}
	return revisions, nil
}

// Revisions lists every revision of one model, oldest first.
func (s *Snapshot) Revisions(model string) ([]*Revision, error) {
	if strings.ContainsAny(model, "@\x00") || model == "" {
		return nil, s.notFound(model)
	}
	list, err := s.entries(record.Name(model))
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, s.notFound(model)
	}
	return s.revisions(list)
}

// Find resolves "name" (latest) or "name@2". An unknown name is a *NotFoundError
// that suggests the nearest.
func (s *Snapshot) Find(ref string) (*Revision, error) {
	e, err := s.find(ref)
	if err != nil {
		return nil, err
	}
	return s.record(e)
}

func (s *Snapshot) find(ref string) (modelEntry, error) {
	name, number, ok := record.ReadRef(ref)
	if !ok || name == "" || strings.Contains(name, "\x00") {
		return modelEntry{}, s.notFound(ref)
	}
	list, err := s.entries(name)
	if err != nil {
		return modelEntry{}, err
	}
	for _, e := range slices.Backward(list) {
		if number == 0 || e.number == number {
			return e, nil
		}
	}
	return modelEntry{}, s.notFound(ref)
}

// notFound is a *NotFoundError with suggestions, or what kept them from being read.
func (s *Snapshot) notFound(ref string) error {
	all, err := s.entries("")
	if err != nil {
		return err
	}
	name, _, _ := record.ReadRef(ref)
	var near, names []string
	for _, e := range slices.Backward(all) {
		if e.name == name && len(near) < record.MaxNearest {
			near = append(near, e.ref())
		}
	}
	for _, e := range latest(all) {
		names = append(names, e.name)
	}
	if len(near) == 0 {
		near = record.Nearest(name, names)
	}
	return &NotFoundError{Ref: ref, Nearest: near}
}

// Match resolves a glob over names ("*", "hunyuan*", "a@1") to revisions, latest
// each, sorted. None is a *NotFoundError.
func (s *Snapshot) Match(glob string) ([]*Revision, error) {
	if !strings.ContainsAny(glob, `*?[\`) {
		v, err := s.Find(glob)
		if err != nil {
			return nil, err
		}
		return []*Revision{v}, nil
	}
	pattern, number, ok := record.ReadRef(glob)
	if !ok {
		return nil, s.notFound(glob)
	}
	all, err := s.entries("")
	if err != nil {
		return nil, err
	}
	if number == 0 {
		all = latest(all)
	}
	var list []modelEntry
	for _, e := range all {
		match, err := record.MatchName(pattern, e.name)
		if err != nil {
			return nil, err
		}
		if match && (number == 0 || e.number == number) {
			list = append(list, e)
		}
	}
	if len(list) == 0 {
		return nil, s.notFound(glob)
	}
	return s.revisions(list)
}

// errNoRevision is a nil revision handed to a Snapshot.
var errNoRevision = errors.New("no revision was given")

// Guard runs fn with the protection View gives its own goroutine: a read of a
// file that was truncated meanwhile is an error, not the end of the process. Use
// it in every goroutine that reads a Snapshot's data.
func (s *Snapshot) Guard(fn func() error) error { return s.r.guard(fn) }
