package hashindex

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"wreg/registry/tensor"
)

// hashOf is a hash that begins with a prefix.
func hashOf(prefix uint64) (h tensor.Hash) {
	binary.BigEndian.PutUint64(h[:], prefix)
	h[31] = 1
	return h
}

// chunksOf writes and reads back the index of one source.
func chunksOf(t *testing.T, places []Place, kind byte) (chunks []Chunk) {
	t.Helper()
	for n, b := range Chunks(kind, places) {
		if n != len(chunks) {
			t.Fatalf("chunk %d comes as number %d", len(chunks), n)
		}
		c, err := Decode(kind, b)
		if err != nil {
			t.Fatal(err)
		}
		chunks = append(chunks, c)
	}
	return chunks
}

func TestChunks(t *testing.T) {
	var whole, sliced []Place
	for row := range uint32(5) {
		info := &tensor.Info{Hash: hashOf(uint64(9 - row/2)), Slices: []tensor.Hash{hashOf(3), hashOf(uint64(row))}}
		if row == 4 {
			info.Hash = tensor.Hash{} // not taken
		}
		whole, sliced = Add(info, 10+row, whole, sliced)
	}
	var found []Place
	for _, c := range chunksOf(t, whole, Whole) {
		found = slices.AppendSeq(found, c.Find(8))
		for i := 1; i < c.N; i++ {
			if Compare(c.At(i-1), c.At(i)) >= 0 {
				t.Errorf("%v after %v", c.At(i), c.At(i-1))
			}
		}
	}
	if want := []Place{{8, 12, -1}, {8, 13, -1}}; len(whole) != 4 || !slices.Equal(found, want) {
		t.Errorf("%d places, found %v, want %v", len(whole), found, want)
	}
	found = nil
	for _, c := range chunksOf(t, sliced, Sliced) {
		found = slices.AppendSeq(found, c.Find(3))
	}
	if want := []Place{{3, 10, 0}, {3, 11, 0}, {3, 12, 0}, {3, 13, 0}, {3, 13, 1}, {3, 14, 0}}; !slices.Equal(found, want) {
		t.Errorf("found %v, want %v", found, want)
	}
	for _, c := range []struct {
		kind byte
		n    int
	}{{Whole, wholeSize - 1}, {Sliced, wholeSize}, {Sliced + 1, 0}} {
		if _, err := Decode(c.kind, make([]byte, c.n)); err == nil {
			t.Errorf("%d bytes of kind %d are taken", c.n, c.kind)
		}
	}
}

// What several indices share is what a look at every place finds, in order, however
// many parts and chunks it takes, and however the prefixes lie.
func TestMerge(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 8))
	for _, c := range []struct {
		name            string
		sources, places int
		prefix          func(source int) uint64
	}{
		{"none", 2, 0, nil},
		{"spread", 3, 4000, func(int) uint64 { return rnd.Uint64N(9000) << 51 }},
		{"in the lowest bits", 2, 3000, func(int) uint64 { return rnd.Uint64N(2000) }},
		{"all alike", 2, 50, func(int) uint64 { return 1 << 40 }},
		{"the last", 2, 3, func(int) uint64 { return 1<<64 - 1 - rnd.Uint64N(2) }},
		{"each in parts of its own", 4, 2500, func(s int) uint64 { return uint64(s^1)<<62 | rnd.Uint64N(5000)<<45 }},
		{"several chunks", 1, ChunkEntries + 100, func(int) uint64 { return rnd.Uint64() &^ 0xFFFFFFFF0000 }},
	} {
		want := map[uint64][]Found{}
		var m Merge
		for s := range c.sources {
			var places []Place
			for row := range uint32(c.places) {
				p := c.prefix(s)
				places = append(places, Place{p, row, -1})
				want[p] = append(want[p], Found{s, row})
			}
			m.Add(s, chunksOf(t, places, Whole))
			m.Add(s, chunksOf(t, places, Sliced)) // which are not looked at
		}
		last, groups := uint64(0), 0
		for prefix, found := range m.Shared {
			if groups > 0 && prefix <= last || !slices.Equal(found, want[prefix]) {
				t.Errorf("%s: %#x after %#x: %v, want %v", c.name, prefix, last, found, want[prefix])
			}
			last = prefix
			groups++
		}
		for _, found := range want {
			if len(found) > 1 {
				groups--
			}
		}
		if groups != 0 {
			t.Errorf("%s: %d groups too many", c.name, groups)
		}
		for range m.Shared { // ends when it is told to
			break
		}
	}
}
