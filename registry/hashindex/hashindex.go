// Package hashindex says where a hash lies: sorted arrays of (hash prefix, row) for
// whole tensors and (hash prefix, row, slice) for slices, cut into chunks.
//
// Most users need [Chunks] to write an index, [Decode] and [Chunk.Find] to look
// something up, and a [Merge] to find what several indices share.
//
// Invariants: each revision has an index of its own, so writing and removing one
// touches no other's; rows count through the revision's blocks in key order; a prefix
// only finds candidates, the full hash decides.
package hashindex

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"

	"wreg/registry/tensor"
)

// The kinds of an index: whole tensors, slices.
const (
	Whole  = 0
	Sliced = 1
)

// ChunkEntries is how many places a chunk has at most.
const ChunkEntries = 1 << 16

const (
	wholeSize = 8 + 4
	sliceSize = 8 + 4 + 4
)

// Place is an entry of an index. Slice is -1 for a whole tensor.
type Place struct {
	Prefix uint64
	Row    uint32
	Slice  int32
}

// Compare orders places as an index does.
func Compare(a, b Place) int {
	if c := cmp.Compare(a.Prefix, b.Prefix); c != 0 {
		return c
	}
	if c := cmp.Compare(a.Row, b.Row); c != 0 {
		return c
	}
	return cmp.Compare(a.Slice, b.Slice)
}

// Prefix is the part of a hash that an index holds.
func Prefix(h tensor.Hash) uint64 { return binary.BigEndian.Uint64(h[:8]) }

// Add appends the places of the tensor at a row.
func Add(t *tensor.Info, row uint32, whole, sliced []Place) ([]Place, []Place) {
	if !t.Hash.IsZero() {
		whole = append(whole, Place{Prefix(t.Hash), row, -1})
	}
	for k, h := range t.Slices {
		sliced = append(sliced, Place{Prefix(h), row, int32(k)})
	}
	return whole, sliced
}

// Chunks sorts the places of one kind and yields the bytes of each chunk.
func Chunks(kind byte, places []Place) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		slices.SortFunc(places, Compare)
		n := 0
		for part := range slices.Chunk(places, ChunkEntries) {
			if !yield(n, encode(kind, part)) {
				return
			}
			n++
		}
	}
}

// encode stores sorted places as one array per field, with room for a checksum.
func encode(kind byte, places []Place) []byte {
	le := binary.LittleEndian
	b := make([]byte, 0, len(places)*sliceSize+4)
	for _, p := range places {
		b = le.AppendUint64(b, p.Prefix)
	}
	for _, p := range places {
		b = le.AppendUint32(b, p.Row)
	}
	if kind == Sliced {
		for _, p := range places {
			b = le.AppendUint32(b, uint32(p.Slice))
		}
	}
	return b
}

// Chunk is a view of one chunk's bytes: N places of a kind.
type Chunk struct {
	N     int
	Kind  byte
	Bytes []byte
}

// Decode gives the view of a chunk's bytes.
func Decode(kind byte, b []byte) (Chunk, error) {
	size := wholeSize
	if kind == Sliced {
		size = sliceSize
	}
	if kind > Sliced || len(b)%size != 0 {
		return Chunk{}, fmt.Errorf("%d bytes of kind %d are not a content chunk", len(b), kind)
	}
	return Chunk{len(b) / size, kind, b}, nil
}

func (c Chunk) prefix(i int) uint64 { return binary.LittleEndian.Uint64(c.Bytes[8*i:]) }

func (c Chunk) row(i int) uint32 { return binary.LittleEndian.Uint32(c.Bytes[8*c.N+4*i:]) }

// At is entry i.
func (c Chunk) At(i int) Place {
	p := Place{c.prefix(i), c.row(i), -1}
	if c.Kind == Sliced {
		p.Slice = int32(binary.LittleEndian.Uint32(c.Bytes[12*c.N+4*i:]))
	}
	return p
}

// Find yields the entries with this prefix.
func (c Chunk) Find(prefix uint64) iter.Seq[Place] {
	return func(yield func(Place) bool) {
		for i := c.first(prefix); i < c.N && c.prefix(i) == prefix; i++ {
			if !yield(c.At(i)) {
				return
			}
		}
	}
}

// first is the first entry whose prefix is not below p.
func (c Chunk) first(p uint64) int {
	low, high := 0, c.N
	for low < high {
		if mid := (low + high) / 2; c.prefix(mid) < p {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low
}
