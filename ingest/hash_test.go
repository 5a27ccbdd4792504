package ingest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zeebo/xxh3"

	"wreg/ingest/ingesttest"
	"wreg/ingest/safetensors"
	"wreg/registry/tensor"
)

// As sums has them.
const (
	hashBuffer  = 768 << 10
	windowBytes = 12 << 20
	minWindow   = 256 << 10
	maxSlices   = 65_536
)

// writeTensors writes a safetensors file of random bytes and gives each tensor's.
func writeTensors(t testing.TB, path string, infos ...tensor.Info) map[string][]byte {
	t.Helper()
	h, offsets, err := safetensors.AppendHeader(nil, infos, nil)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	data := map[string][]byte{}
	for i, info := range infos {
		b := make([]byte, offsets[i+1]-offsets[i])
		for k := range b {
			b[k] = byte(rng.Uint32())
		}
		data[info.Path] = b
		h = append(h, b...)
	}
	if err := os.WriteFile(path, h, 0o666); err != nil {
		t.Fatal(err)
	}
	return data
}

func u8(path string, shape ...int64) tensor.Info {
	return tensor.Info{Path: path, DType: tensor.U8, Shape: shape}
}

// TestHash compares with hashes taken of the bytes in memory, at sizes around the
// buffer and slices that end inside it.
func TestHash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.safetensors")
	data := writeTensors(t, path,
		u8("empty", 0), u8("one", 1), u8("scalar"), u8("buffer", hashBuffer), u8("buffer+1", hashBuffer+1), u8("flat", 3, hashBuffer), u8("window", windowBytes), u8("window+1", windowBytes+1), u8("stack of windows", 3, 2, windowBytes/3+1),
		u8("stack", 7, 5, 60_001), u8("stack of one", 1, 2, 3), u8("stack of none", 0, 2, 3), u8("empty slices", 3, 0, 2),
		u8("many slices", maxSlices+1, 1, 1), tensor.Info{Path: "bf16", DType: tensor.BF16, Shape: tensor.Shape{2, 2, hashBuffer/4 + 1}})
	c, err := Open(t.Context(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var progress atomic.Int64
	got, err := c.Hash(context.Background(), HashOptions{Progress: func(n int64) { progress.Add(n) }})
	if err != nil {
		t.Fatal(err)
	}
	var total int64
	for _, g := range got {
		b := data[g.Path]
		total += g.Bytes
		if g.Hash != tensor.Hash(sha256.Sum256(b)) {
			t.Errorf("%s: wrong SHA-256", g.Path)
		}
		if sum := xxh3.Hash128(b).Bytes(); g.Sum != tensor.Sum(sum) {
			t.Errorf("%s: XXH3 %v, want %x", g.Path, g.Sum, sum)
		}
		if g.Stats == nil {
			t.Errorf("%s: no statistics", g.Path)
		}
		want := 0
		if len(g.Shape) >= 3 && g.Shape[0] <= maxSlices {
			want = int(g.Shape[0])
		}
		if len(g.Slices) != want {
			t.Errorf("%s: %d slices, want %d", g.Path, len(g.Slices), want)
			continue
		}
		for i, s := range g.Slices {
			n := len(b) / want
			if s != tensor.Hash(sha256.Sum256(b[i*n:(i+1)*n])) {
				t.Errorf("%s: wrong SHA-256 of slice %d", g.Path, i)
			}
		}
	}
	if progress.Load() != total {
		t.Errorf("progress of %d bytes, want %d", progress.Load(), total)
	}
	for _, before := range c.Tensors() {
		if !before.Hash.IsZero() || before.Stats != nil {
			t.Fatalf("%s: Hash wrote into Tensors", before.Path)
		}
	}
}

func TestHashLess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.safetensors")
	data := writeTensors(t, path, u8("w", 2, 3, 4))
	c, err := Open(t.Context(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got, err := c.Hash(context.Background(), HashOptions{NoSHA: true, NoStats: true, Jobs: 1})
	if err != nil {
		t.Fatal(err)
	}
	if g := got[0]; !g.Hash.IsZero() || g.Slices != nil || g.Stats != nil || g.Sum != tensor.Sum(xxh3.Hash128(data["w"]).Bytes()) {
		t.Errorf("%+v", g)
	}
}

// TestHashTwins: tensors that are one view of a storage are hashed once, other views each.
func TestHashTwins(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.pt")
	var views []ingesttest.View
	for i := range int64(100) {
		views = append(views,
			ingesttest.View{Path: fmt.Sprint("tied", i), Numel: 60, Shape: []int64{60}, Stride: []int64{1}},
			ingesttest.View{Path: fmt.Sprint("turned", i), Numel: 60, Shape: []int64{6, 10}, Stride: []int64{1, 6}})
	}
	views = append(views, ingesttest.View{Path: "part", Numel: 60, Offset: 2, Shape: []int64{10}, Stride: []int64{1}})
	data := ingesttest.Floats(60)
	if err := os.WriteFile(path, ingesttest.Torch(views, ingesttest.Record{Data: data}), 0o666); err != nil {
		t.Fatal(err)
	}
	c, err := Open(t.Context(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var hashed atomic.Int64
	got, err := c.Hash(context.Background(), HashOptions{Progress: func(n int64) { hashed.Add(n) }})
	if err != nil {
		t.Fatal(err)
	}
	if n := hashed.Load(); n != 240+240+40 {
		t.Errorf("%d bytes were hashed", n)
	}
	turned := make([]byte, 0, len(data))
	for i := range 60 {
		at := i%10*6 + i/10
		turned = append(turned, data[4*at:4*at+4]...)
	}
	for _, g := range got {
		want := map[byte][]byte{'i': data, 'u': turned, 'a': data[8:48]}[g.Path[1]]
		if g.Hash != tensor.Hash(sha256.Sum256(want)) {
			t.Errorf("%s: wrong SHA-256", g.Path)
		}
	}
}

// TestHashChanged: a file that grew, shrank or was written to is an error that
// names it.
func TestHashChanged(t *testing.T) {
	for name, change := range map[string]func(path string) error{
		"grown":     func(p string) error { return os.Truncate(p, 1<<20) },
		"truncated": func(p string) error { return os.Truncate(p, 60) },
		"cut in secret": func(p string) error {
			info, err := os.Stat(p)
			return errors.Join(err, os.Truncate(p, 60), os.Chtimes(p, time.Time{}, info.ModTime()))
		},
		"touched": func(p string) error { return os.Chtimes(p, time.Time{}, time.Unix(1, 0)) },
	} {
		path := filepath.Join(t.TempDir(), "m.safetensors")
		writeTensors(t, path, u8("w", 100))
		c, err := Open(t.Context(), path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := change(path); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Hash(context.Background(), HashOptions{}); err == nil || !strings.Contains(err.Error(), "m.safetensors: changed") {
			t.Errorf("%s: error %v", name, err)
		}
		c.Close()
	}
}

// TestHashChangedMeanwhile: so is one that is cut while it is hashed.
func TestHashChangedMeanwhile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.safetensors")
	for _, size := range []int64{minWindow - 1, 3 * hashBuffer, 3 * windowBytes} { // read, mapped, mapped anew
		writeTensors(t, path, u8("v", size), u8("w", size))
		c, err := Open(t.Context(), path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Hash(context.Background(), HashOptions{Jobs: 1, Progress: func(int64) {
			if err := os.Truncate(path, 1000); err != nil {
				t.Error(err)
			}
		}})
		if err == nil || !strings.Contains(err.Error(), `m.safetensors: tensor "`) || !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d bytes: error %v", size, err)
		}
		c.Close()
	}
}

func TestHashCancelled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.safetensors")
	writeTensors(t, path, u8("w", 3*hashBuffer))
	c, err := Open(t.Context(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithCancel(context.Background())
	if _, err = c.Hash(ctx, HashOptions{Progress: func(int64) { cancel() }}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestBytes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.safetensors")
	data := writeTensors(t, path, u8("a", 5), u8("b", 7))
	c, err := Open(t.Context(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, info := range c.Tensors() {
		r, err := c.Bytes(info.Path)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(io.NewSectionReader(r, 0, 1<<40)) // no further than its own end
		if err != nil || string(b) != string(data[info.Path]) {
			t.Errorf("%s: %x, %v", info.Path, b, err)
		}
	}
	if _, err := c.Bytes("c"); err == nil || !strings.Contains(err.Error(), `"c"`) {
		t.Errorf("error %v", err)
	}
	if _, ok := c.Lookup("c"); ok {
		t.Error("found what is not there")
	}
}

// Tensors that lie alike in two files are two.
func TestHashAlikeInTwoFiles(t *testing.T) {
	dir := t.TempDir()
	view := ingesttest.View{Numel: 4, Shape: []int64{2, 2}, Stride: []int64{2, 1}}
	data := [][]byte{ingesttest.Floats(4), ingesttest.Floats(8)[16:]}
	for i, path := range []string{"a", "b"} {
		view.Path = path
		name := fmt.Sprintf("pytorch_model-0000%d-of-00002.bin", i+1)
		if err := os.WriteFile(filepath.Join(dir, name), ingesttest.Torch([]ingesttest.View{view}, ingesttest.Record{Data: data[i]}), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	c, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	all, err := c.Hash(t.Context(), HashOptions{})
	if err != nil || len(all) != 2 || all[0].Hash == all[1].Hash {
		t.Fatal(all, err)
	}
	for i := range all {
		if want := tensor.Hash(sha256.Sum256(data[i])); all[i].Hash != want {
			t.Errorf("%s: %v, want %v", all[i].Path, all[i].Hash, want)
		}
	}
}
