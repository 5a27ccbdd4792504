package headers

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wreg/ingest/ingesttest"
	"wreg/registry/tensor"
)

var digest = "sha256:" + strings.Repeat("ab", 32)

func file(n int) []byte {
	rng, data := rand.New(rand.NewPCG(1, 2)), make([]byte, n)
	for i := range data {
		data[i] = byte(rng.Uint32())
	}
	return data
}

// TestThrough reads anything in any order, some of it from the store: the bytes are the file's, and what
// was read before Keep is not asked for again.
func TestThrough(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	data, rng := file(5000), rand.New(rand.NewPCG(3, 4))
	read := func(from string, at [][2]int) (asked int64) {
		f := &ingesttest.Counted{R: bytes.NewReader(data)}
		x := Cached(from).Through(digest, int64(len(data)), f)
		for _, a := range at {
			p := make([]byte, a[1])
			if err := tensor.ReadFull(x, p, int64(a[0])); err != nil || !bytes.Equal(p, data[a[0]:a[0]+a[1]]) {
				t.Fatalf("%v: other bytes (%v)", a, err)
			}
		}
		x.Keep()
		return f.N.Load()
	}
	for round := range 100 {
		t.Setenv("XDG_CACHE_HOME", filepath.Join(t.TempDir(), "new"))
		var at [][2]int
		for range 1 + rng.IntN(30) {
			off := rng.IntN(len(data) - 1)
			at = append(at, [2]int{off, 1 + rng.IntN(min(300, len(data)-off-1)+1)})
			if at[len(at)-1][0]+at[len(at)-1][1] > len(data) {
				at[len(at)-1][1] = 1
			}
		}
		half := at[:1+rng.IntN(len(at))]
		if read("a", half) == 0 {
			t.Fatal("nothing was asked for the first time")
		}
		if n := read("a", half); n != 0 {
			t.Fatalf("round %d: %d bytes were asked for again", round, n)
		}
		read("a", at) // grows
		if n := read("a", at); n != 0 {
			t.Fatalf("round %d: %d bytes were asked for again once it had grown", round, n)
		}
		if n := read("b", at); n == 0 {
			t.Fatal("what one hub said was taken for another's word")
		}
	}
}

// TestDamaged: an entry in which any byte is another, or which is cut or is about something else, counts as
// absent and is written again.
func TestDamaged(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	s, data := Cached("a"), file(300)
	s.KeepWhole(digest, data)
	path := filepath.Join(cache, "wreg", "headers", "sha256", digest[len("sha256:"):])
	sound, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(s.Whole(digest, 300), data) {
		t.Fatal(err)
	}
	put := func(text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i := range sound {
		bad := bytes.Clone(sound)
		bad[i] ^= 1
		put(bad)
		if s.Whole(digest, 300) != nil {
			t.Fatalf("byte %d is another, and nothing is said", i)
		}
		put(sound[:i])
		if s.Whole(digest, 300) != nil {
			t.Fatalf("%d of %d bytes are taken for an entry", i, len(sound))
		}
	}
	put(sound)
	if s.Whole(digest, 301) != nil || Cached("b").Whole(digest, 300) != nil || s.Whole("sha256:../../x", 300) != nil {
		t.Fatal("an entry is used for another file")
	}
	other := "sha256:" + strings.Repeat("cd", 32)
	if err := os.Link(path, filepath.Join(filepath.Dir(path), other[len("sha256:"):])); err != nil {
		t.Fatal(err)
	}
	if s.Whole(other, 300) != nil {
		t.Fatal("an entry under another name is used")
	}
	put(sound[:100])
	x := s.Through(digest, 300, bytes.NewReader(data))
	if err := tensor.ReadFull(x, make([]byte, 300), 0); err != nil {
		t.Fatal(err)
	}
	if x.Keep(); !bytes.Equal(s.Whole(digest, 300), data) {
		t.Fatal("it was not written again")
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 2 {
		t.Fatal(left, err)
	}
}

// TestBounded: of a file that is read to its end no more than a header is held, and nothing is written.
func TestBounded(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	x := Cached("a").Through(digest, 1<<40, zeros{})
	for off := int64(0); off < MaxKept+1<<20; off += 1 << 20 {
		if err := tensor.ReadFull(x, make([]byte, 1<<20), off); err != nil {
			t.Fatal(err)
		}
	}
	if x.list != nil {
		t.Error("it is still held")
	}
	x.Keep()
	if _, err := os.Stat(filepath.Join(cache, "wreg")); !os.IsNotExist(err) {
		t.Error("something was written:", err)
	}
	var none *Store
	if none.Whole(digest, 1) != nil || none.Through(digest, 1, zeros{}).Known() {
		t.Error("no store")
	}
	none.KeepWhole(digest, []byte("x"))
}

type zeros struct{}

func (zeros) ReadAt(p []byte, off int64) (int, error) { clear(p); return len(p), nil }

var _ io.ReaderAt = zeros{}
