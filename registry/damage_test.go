package registry_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wreg/registry"
	"wreg/registry/tensor"
)

// content is all that can be read of a registry through every call.
type content struct {
	Revisions []registry.Revision
	Tensors   [][]tensor.Info
	Where     [][]registry.Where
}

// probes are hashes of the samples' tensors and slices.
var probes = []tensor.Hash{moe(3, 2, 1)[3].Hash, moe(3, 2, 1)[2].Slices[1], moe(40, 1, 2)[100].Hash}

func readAll(r *registry.Registry) (c content, err error) {
	err = r.View(func(s *registry.Snapshot) error {
		models, err := s.Models()
		if err != nil {
			return err
		}
		for _, m := range models {
			revisions, err := s.Revisions(m.Model)
			if err != nil {
				return err
			}
			for _, v := range revisions {
				c.Revisions = append(c.Revisions, *v)
				var list []tensor.Info
				for t, err := range s.Tensors(context.Background(), v) {
					if err != nil {
						return err
					}
					list = append(list, t)
				}
				c.Tensors = append(c.Tensors, list)
				for _, t := range []int{0, len(list) / 2, len(list) - 1} {
					if len(list) == 0 {
						break
					}
					if _, ok, err := s.Lookup(v, list[t].Path); !ok || err != nil {
						return errors.Join(fmt.Errorf("%q is not found", list[t].Path), err)
					}
				}
			}
		}
		for _, h := range probes {
			w, err := s.ByHash(h)
			if err != nil {
				return err
			}
			c.Where = append(c.Where, w)
		}
		return nil
	})
	return c, err
}

// sample makes a registry file with several pages of every kind.
func sample(t *testing.T) (file []byte, want content) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "r.db")
	r, err := registry.Open(path, registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	put(t, r, "a", moe(3, 2, 1))
	put(t, r, "gone", moe(3, 2, 3))
	put(t, r, "a", moe(40, 1, 2))
	var flat []tensor.Info // one block each: a tree with branches
	for i := range 200 {
		flat = append(flat, tensor.Info{Path: fmt.Sprintf("block_%d_weight", i), DType: tensor.F32, Shape: tensor.Shape{1}, Bytes: 4, File: "f", Hash: hashOf(uint64(i))})
	}
	put(t, r, "flat", flat)
	if err := r.Remove("gone"); err != nil {
		t.Fatal(err)
	}
	want, err = readAll(r)
	if err != nil {
		t.Fatal(err)
	}
	mustCheck(t, r)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	file, err = os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return file, want
}

// harm writes a changed registry and asserts that reading it gives what was stored
// or an error, and that opening it for writing harms it no further.
func harm(t *testing.T, path string, file []byte, want content, what string) (failed bool) {
	t.Helper()
	defer func() {
		if p := recover(); p != nil {
			t.Fatalf("%s: panic: %v", what, p)
		}
	}()
	if err := os.WriteFile(path, file, 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := registry.Open(path, registry.Options{ReadOnly: true})
	if err == nil {
		var got content
		if got, err = readAll(r); err == nil && !reflect.DeepEqual(want, got) {
			t.Errorf("%s: wrong without an error\n%s", what, cmp.Diff(want, got))
		}
		faults, checkErr := r.Check(context.Background())
		if err != nil && checkErr == nil && len(faults) == 0 {
			t.Errorf("%s: reading says %v, check says nothing", what, err)
		}
		r.Close()
	}
	if err != nil {
		failed = true
		if !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error does not name the file: %v", what, err)
		}
	}
	r, err = registry.Open(path, registry.Options{})
	if err != nil {
		if after, _ := os.ReadFile(path); !bytes.Equal(after, file) {
			t.Errorf("%s: opening failed and changed the file: %v", what, err)
		}
		return true
	}
	defer r.Close()
	if failed {
		return failed
	}
	// What can be read still can after a write.
	if _, err := r.Put(context.Background(), registry.Revision{Model: "new"}, moe(1, 1, 77)); err != nil {
		return true
	}
	if err := r.Remove("new"); err != nil {
		t.Errorf("%s: Remove: %v", what, err)
	}
	if got, err := readAll(r); err != nil {
		t.Errorf("%s: after a write: %v", what, err)
	} else if !reflect.DeepEqual(want, got) {
		t.Errorf("%s: after a write\n%s", what, cmp.Diff(want, got))
	}
	return false
}

func TestTortureBitFlips(t *testing.T) {
	file, want := sample(t)
	path := filepath.Join(t.TempDir(), "flipped.db")
	n := max(1, rounds(t)/5)
	rng := rand.New(rand.NewPCG(1, 2))
	page := os.Getpagesize()
	var positions []int
	for at := 0; at < len(file); at += page {
		// The header and first elements of every page, then any of its bytes.
		for range n {
			positions = append(positions, at+rng.IntN(64))
		}
		for range n {
			positions = append(positions, at+rng.IntN(min(page, len(file)-at)))
		}
	}
	found := 0
	for _, at := range positions {
		flipped := bytes.Clone(file)
		flipped[at] ^= 1 << rng.IntN(8)
		if harm(t, path, flipped, want, fmt.Sprintf("page %d byte %d: %#x for %#x", at/page, at%page, flipped[at], file[at])) {
			found++
		}
	}
	t.Logf("%d of %d flips were errors, the others harmless", found, len(positions))
	if found < len(positions)/4 {
		t.Errorf("only %d of %d flips were found: the test looks at the wrong bytes", found, len(positions))
	}
}

// Either meta page may be damaged: the other one has everything that was done.
func TestEitherMetaPage(t *testing.T) {
	page := os.Getpagesize()
	for _, c := range []struct {
		name string
		last func(r *registry.Registry) error // what was done last
	}{
		{"new", func(*registry.Registry) error { return nil }},
		{"put", func(r *registry.Registry) error { put(t, r, "m", moe(2, 1, 1)); return nil }},
		{"remove", func(r *registry.Registry) error { put(t, r, "m", moe(2, 1, 1)); return r.Remove("m") }},
		{"compact", func(r *registry.Registry) error {
			put(t, r, "m", moe(2, 1, 1))
			_, _, err := r.Compact(context.Background())
			return err
		}},
	} {
		path := filepath.Join(t.TempDir(), "r.db")
		r := open(t, path)
		if err := c.last(r); err != nil {
			t.Fatal(err)
		}
		want := mustRead(t, r)
		r.Close()
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for id := range 2 {
			for at := 0; at < 80; at += 7 { // header and meta
				flipped := bytes.Clone(file)
				flipped[id*page+at] ^= 1 << (at % 8)
				what := fmt.Sprintf("%s: page %d byte %d", c.name, id, at)
				if harm(t, path, flipped, want, what) {
					t.Errorf("%s: an error, though the other page is whole", what)
				}
			}
			zeroed := bytes.Clone(file)
			clear(zeroed[id*page : (id+1)*page])
			if err := os.WriteFile(path, zeroed, 0o644); err != nil {
				t.Fatal(err)
			}
			faults, err := registry.CheckFile(context.Background(), path, registry.Options{})
			if name := fmt.Sprintf("page %d: not a valid meta page", id); err != nil || len(faults) != 1 || !strings.Contains(faults[0].Message, name) {
				t.Errorf("%s: check says %v, %v; want %q", c.name, faults, err, name)
			}
			w := open(t, path)
			put(t, w, "mends", nil)
			mustCheck(t, w)
			w.Close()
		}
	}
}

func TestTruncatedAndZeroed(t *testing.T) {
	file, want := sample(t)
	path := filepath.Join(t.TempDir(), "cut.db")
	page := os.Getpagesize()
	for n := 0; n < len(file); n += page / 2 {
		harm(t, path, file[:n], want, fmt.Sprintf("cut to %d bytes", n))
	}
	for at := 0; at < len(file); at += page {
		zeroed := bytes.Clone(file)
		clear(zeroed[at:min(at+page, len(file))])
		harm(t, path, zeroed, want, fmt.Sprintf("page %d zeroed", at/page))
		copy(zeroed[at:], file[max(0, at-page):at])
		harm(t, path, zeroed, want, fmt.Sprintf("page %d holds the page before", at/page))
	}
}

func TestOpenRefuses(t *testing.T) {
	file, _ := sample(t)
	change := func(fn func(b []byte)) []byte {
		b := bytes.Clone(file)
		fn(b)
		return b
	}
	page := os.Getpagesize()
	cases := []struct {
		name string
		file []byte
		want string
	}{
		{"empty", nil, "the file is empty"},
		{"text", []byte(strings.Repeat("not a registry\n", 1000)), "not a bbolt file"},
		{"short", []byte("x"), "not a bbolt file"},
		{"other endian", change(func(b []byte) {
			for _, at := range []int{16, page + 16} {
				binary.BigEndian.PutUint32(b[at:], 0xED0CDAED)
			}
		}), "not a bbolt file"},
		{"both metas", change(func(b []byte) { b[16+20] ^= 1; b[page+16+20] ^= 1 }), "neither is a valid meta page"},
		{"truncated", file[:len(file)/2/page*page], "it was truncated"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "r.db")
			if err := os.WriteFile(path, c.file, 0o644); err != nil {
				t.Fatal(err)
			}
			for _, o := range []registry.Options{{}, {ReadOnly: true}} {
				_, err := registry.Open(path, o)
				var damaged *registry.DamagedError
				if !errors.As(err, &damaged) || !strings.Contains(err.Error(), c.want) {
					t.Errorf("Open: %v, want a DamagedError that says %q", err, c.want)
				}
			}
			faults, err := registry.CheckFile(context.Background(), path, registry.Options{})
			if err != nil || len(faults) != 1 || !strings.Contains(faults[0].Message, c.want) {
				t.Errorf("CheckFile: %v, %v, want a fault that says %q", faults, err, c.want)
			}
			if after, _ := os.ReadFile(path); !bytes.Equal(after, c.file) {
				t.Error("Open changed the file")
			}
		})
	}
	t.Run("folder", func(t *testing.T) {
		if _, err := registry.Open(t.TempDir(), registry.Options{}); err == nil || !strings.Contains(err.Error(), "is a folder") {
			t.Errorf("Open of a folder: %v", err)
		}
	})
	t.Run("absent", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "r.db")
		if _, err := registry.Open(path, registry.Options{ReadOnly: true}); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), path) {
			t.Errorf("Open of nothing: %v", err)
		}
	})
}

// Every damaged page is named, not the first only.
func TestCheckFileFindsAll(t *testing.T) {
	file, _ := sample(t)
	page := os.Getpagesize()
	path := filepath.Join(t.TempDir(), "r.db")
	want := 0
	flat := []byte("tblock_") // in the leaves of many small blocks
	for at := 2 * page; at < len(file); at += page {
		leaf := binary.LittleEndian.Uint16(file[at+8:]) == 2 && binary.LittleEndian.Uint64(file[at:]) == uint64(at/page)
		if leaf && bytes.Count(file[at:min(at+page, len(file))], flat) > 10 {
			clear(file[at : at+page])
			want++
		}
	}
	if want < 3 {
		t.Fatalf("%d leaves to zero: the sample has changed", want)
	}
	if err := os.WriteFile(path, file, 0o644); err != nil {
		t.Fatal(err)
	}
	faults, err := registry.CheckFile(context.Background(), path, registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, f := range faults {
		if strings.Contains(f.Message, "says it is page 0") {
			found++
		}
	}
	if found < want {
		t.Errorf("%d of %d zeroed pages are named: %v", found, want, faults)
	}
}

// A file cut short while it is mapped faults in memory: an error, not a crash.
func TestTruncatedWhileOpen(t *testing.T) {
	file, _ := sample(t)
	path := filepath.Join(t.TempDir(), "r.db")
	if err := os.WriteFile(path, file, 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := registry.Open(path, registry.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := os.Truncate(path, int64(2*os.Getpagesize())); err != nil {
		t.Fatal(err)
	}
	_, err = readAll(r)
	var damaged *registry.DamagedError
	if !errors.As(err, &damaged) {
		t.Errorf("reading a truncated file: %v, want a DamagedError", err)
	}
	if _, err := r.Check(context.Background()); !errors.As(err, &damaged) {
		t.Errorf("Check of a truncated file: %v, want a DamagedError", err)
	}
}

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.db")
	w, err := registry.Open(path, registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []registry.Options{{Timeout: time.Millisecond}, {Timeout: time.Millisecond, ReadOnly: true}} {
		_, err := registry.Open(path, o)
		var held *registry.LockError
		if !errors.As(err, &held) || held.ReadOnly != o.ReadOnly || !strings.Contains(err.Error(), "needs the registry to itself") || !strings.Contains(err.Error(), path) {
			t.Errorf("Open of a held registry: %v", err)
		}
	}
	put(t, w, "m", moe(1, 1, 1))
	w.Close()
	one, err := registry.Open(path, registry.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	two, err := registry.Open(path, registry.Options{ReadOnly: true})
	if err != nil {
		t.Fatalf("readers do not share: %v", err)
	}
	defer two.Close()
	if _, err := two.Put(context.Background(), registry.Revision{Model: "m"}, nil); err == nil || !strings.Contains(err.Error(), "reading only") {
		t.Errorf("Put while reading only: %v", err)
	}
}
