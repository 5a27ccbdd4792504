package registry

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	bolt "go.etcd.io/bbolt"

	"wreg/registry/tensor"
)

// The content index says where a hash lies. Each revision has its own sorted
// arrays of (hash prefix, row) for whole tensors and (hash prefix, row, slice)
// for slices, in chunks: so writing and removing a revision touch no other's, and
// all duplicates are found by merging sorted arrays. Rows count through the
// revision's blocks in key order. A prefix only finds candidates; the full hash
// in the block decides.
const (
	wholeKind = 0
	sliceKind = 1

	chunkEntries = 1 << 16
	wholeSize    = 8 + 4
	sliceSize    = 8 + 4 + 4
)

// place is an entry of the content index. slice is -1 for a whole tensor.
type place struct {
	prefix uint64
	row    uint32
	slice  int32
}

func comparePlace(a, b place) int {
	if c := cmp.Compare(a.prefix, b.prefix); c != 0 {
		return c
	}
	if c := cmp.Compare(a.row, b.row); c != 0 {
		return c
	}
	return cmp.Compare(a.slice, b.slice)
}

func prefixOf(h tensor.Hash) uint64 { return binary.BigEndian.Uint64(h[:8]) }

// contentKeys are the keys of a revision's chunks.
func contentKey(id uint32, kind byte, chunk int) []byte {
	b := append(idKey(id), kind)
	return binary.BigEndian.AppendUint32(b, uint32(chunk))
}

// encodeChunk stores sorted places as one array a field.
func encodeChunk(kind byte, places []place) []byte {
	le := binary.LittleEndian
	b := make([]byte, 0, len(places)*sliceSize+4)
	for _, p := range places {
		b = le.AppendUint64(b, p.prefix)
	}
	for _, p := range places {
		b = le.AppendUint32(b, p.row)
	}
	if kind == sliceKind {
		for _, p := range places {
			b = le.AppendUint32(b, uint32(p.slice))
		}
	}
	return b
}

// chunk is a decoded view of encodeChunk's bytes.
type chunk struct {
	n    int
	kind byte
	b    []byte
}

func decodeChunk(kind byte, b []byte) (chunk, error) {
	size := wholeSize
	if kind == sliceKind {
		size = sliceSize
	}
	if kind > sliceKind || len(b)%size != 0 {
		return chunk{}, fmt.Errorf("%d bytes of kind %d are no content chunk", len(b), kind)
	}
	return chunk{len(b) / size, kind, b}, nil
}

func (c chunk) prefix(i int) uint64 { return binary.LittleEndian.Uint64(c.b[8*i:]) }

func (c chunk) row(i int) uint32 { return binary.LittleEndian.Uint32(c.b[8*c.n+4*i:]) }

func (c chunk) at(i int) place {
	p := place{c.prefix(i), c.row(i), -1}
	if c.kind == sliceKind {
		p.slice = int32(binary.LittleEndian.Uint32(c.b[12*c.n+4*i:]))
	}
	return p
}

// find is the first entry whose prefix is not below p.
func (c chunk) find(p uint64) int {
	low, high := 0, c.n
	for low < high {
		if mid := (low + high) / 2; c.prefix(mid) < p {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low
}

// contentPlaces collects the entries of one block whose first row is start.
func contentPlaces(entries []entry, start uint32, whole, sliced []place) ([]place, []place) {
	for i, e := range entries {
		row := start + uint32(i)
		if !e.info.Hash.IsZero() {
			whole = append(whole, place{prefixOf(e.info.Hash), row, -1})
		}
		for k, h := range e.info.Slices {
			sliced = append(sliced, place{prefixOf(h), row, int32(k)})
		}
	}
	return whole, sliced
}

// contentChunks yields a revision's keys and values in key order.
func contentChunks(id uint32, kind byte, places []place, put func(key, value []byte) error) error {
	slices.SortFunc(places, comparePlace)
	for n := 0; n*chunkEntries < len(places); n++ {
		key := contentKey(id, kind, n)
		part := places[n*chunkEntries : min((n+1)*chunkEntries, len(places))]
		if err := put(key, seal(contentPlace(key), encodeChunk(kind, part))); err != nil {
			return err
		}
	}
	return nil
}

// chunks reads a revision's part of the content index, verified.
func (r *Registry) chunks(tx *bolt.Tx, id uint32) ([]chunk, error) {
	b, err := r.bucket(tx, contentBucket)
	if err != nil {
		return nil, err
	}
	var all []chunk
	c := b.Cursor()
	prefix := idKey(id)
	next := [2]int{}
	for k, v := c.Seek(prefix); len(k) >= 4 && string(k[:4]) == string(prefix); k, v = c.Next() {
		if len(k) != 9 || k[4] > sliceKind || int(binary.BigEndian.Uint32(k[5:])) != next[k[4]] {
			return nil, r.damage(contentPlace(k), "the key does not continue the index")
		}
		next[k[4]]++
		value, err := r.unseal(contentPlace(k), v)
		if err != nil {
			return nil, err
		}
		part, err := decodeChunk(k[4], value)
		if err != nil {
			return nil, r.damage(contentPlace(k), "%v", err)
		}
		all = append(all, part)
	}
	return all, nil
}
