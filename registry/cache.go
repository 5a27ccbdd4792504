package registry

import (
	"slices"
	"sync"

	"wreg/registry/block"
	"wreg/registry/hashindex"
)

// cache is what has been read of the file and cannot change: for one Snapshot, or,
// in a registry open for reading, for all of them, since its lock keeps writers
// out and the mapping in place. Blocks refer to the mapped file.
type cache struct {
	mu      sync.Mutex
	records map[uint32]*Revision
	states  map[uint32]*state
	heads   int          // block headers kept in states, as they weigh
	free    int          // rows in states that take no bytes
	models  []modelEntry // nil until they are read
}

// state is what is known of one revision: where its blocks lie, with their bytes
// in the mapped file.
type state struct {
	entry  modelEntry
	ref    string
	files  []string
	raw    []rawBlock
	heads  []*block.Block    // decoded headers, nil where none is kept
	starts []uint32          // first row of each block, filled by rowStarts
	chunks []hashindex.Chunk // of the content index, filled by content
}

// rawBlock is a block as it lies in the file.
type rawBlock struct {
	key   string
	value []byte
}

// maxFreeRows bounds the rows, of all that are read of one file, that are more than the
// bytes they are stored in.
const maxFreeRows = 1 << 24

// maxKeptHeads bounds the decoded headers that are kept, of about 1 KiB each.
const maxKeptHeads = 1 << 14

func newCache() *cache {
	return &cache{records: map[uint32]*Revision{}, states: map[uint32]*state{}}
}

// record is a copy, whose lists the caller may change too.
func (c *cache) record(id uint32) *Revision {
	c.mu.Lock()
	defer c.mu.Unlock()
	return cloneRecord(c.records[id])
}

func (c *cache) keepRecord(id uint32, v *Revision) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.records[id] = cloneRecord(v)
}

func cloneRecord(v *Revision) *Revision {
	if v == nil {
		return nil
	}
	w := *v
	w.Config, w.Receipt = slices.Clone(v.Config), slices.Clone(v.Receipt)
	w.Files, w.Findings = slices.Clone(v.Files), slices.Clone(v.Findings)
	return &w
}

func (c *cache) state(id uint32) *state {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.states[id]
}

// keepState reports false when too many rows that take no bytes were kept.
func (c *cache) keepState(st *state, free int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.states[st.entry.id] == nil {
		c.free += free
	}
	c.states[st.entry.id] = st
	return c.free <= maxFreeRows
}

// once gives *kept, one of a state's fields, after filling it the first time.
func once[T any](c *cache, kept *[]T, fill func() ([]T, error)) ([]T, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if *kept == nil {
		list, err := fill()
		if err != nil {
			return nil, err
		}
		*kept = append(make([]T, 0, len(list)), list...) // not nil, even when empty
	}
	return *kept, nil
}

// head is a kept header, or nil.
func (c *cache) head(st *state, at int) *block.Block {
	c.mu.Lock()
	defer c.mu.Unlock()
	if st.heads == nil {
		return nil
	}
	return st.heads[at]
}

// keepHead returns the header to use: another goroutine's when it was first.
func (c *cache) keepHead(st *state, at int, b *block.Block) *block.Block {
	c.mu.Lock()
	defer c.mu.Unlock()
	if st.heads == nil {
		st.heads = make([]*block.Block, len(st.raw))
	}
	switch {
	case st.heads[at] != nil:
		return st.heads[at]
	case c.heads < maxKeptHeads:
		c.heads += b.Weight()
		st.heads[at] = b
	}
	return b
}
