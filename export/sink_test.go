//go:build unix

package export_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"wreg/export"
	"wreg/export/receipt"
	"wreg/export/staging"
	"wreg/ingest/place"
	"wreg/ingest/places"
)

// store is a Sink that is a folder: files lie in it by their digests until they land.
type store struct {
	dir    string
	work   string // the folder of the export in between
	before func(name string) error
	after  func(name string) error

	mu    sync.Mutex
	sent  []string // names, as they came
	most  int      // shards that lay on the disk at once
	lands int
}

func digestOf(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func (s *store) Held(_ context.Context, files []staging.Sent) ([]bool, error) {
	held := make([]bool, len(files))
	for i, f := range files {
		held[i] = digestOf(filepath.Join(s.dir, f.SHA256)) == f.SHA256
	}
	return held, nil
}

func (s *store) Send(_ context.Context, f staging.Sent, from io.ReaderAt) error {
	if s.before != nil {
		if err := s.before(f.Name); err != nil {
			return err
		}
	}
	shards, err := filepath.Glob(filepath.Join(s.work, "model-*"))
	if err != nil {
		return err
	}
	data, err := io.ReadAll(io.NewSectionReader(from, 0, f.Bytes))
	if err != nil {
		return err
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != f.SHA256 {
		return fmt.Errorf("%s is not what was announced", f.Name)
	}
	at := filepath.Join(s.dir, f.SHA256)
	if digestOf(at) == f.SHA256 {
		return nil
	}
	s.mu.Lock()
	s.most, s.sent = max(s.most, len(shards)), append(s.sent, f.Name)
	s.mu.Unlock()
	if err := os.WriteFile(at, data, 0o666); err != nil {
		return err
	}
	if s.after != nil {
		return s.after(f.Name)
	}
	return nil
}

func (s *store) Land(_ context.Context, files []staging.Sent) error {
	s.lands++
	for _, f := range files {
		if err := os.Rename(filepath.Join(s.dir, f.SHA256), filepath.Join(s.dir, f.Name)); err != nil {
			return err
		}
	}
	if last := files[len(files)-1].Name; last != receipt.Name {
		return fmt.Errorf("%s comes last", last)
	}
	return nil
}

// sunk are options whose output has several shards, and codes in another one than their scales.
func sunk(name string) export.Options {
	o := export.Options{ShardBytes: 100_000, NoSync: true, Jobs: 2}
	if name == "quantized" {
		o = tortured()
		o.ShardBytes = 20_000
	}
	return o
}

// toStore plans an export of source to a store.
func toStore(t *testing.T, source string, o export.Options, s *store) *export.Plan {
	t.Helper()
	o.Out, o.Sink = filepath.Join(filepath.Dir(s.dir), "model"), s
	s.work = staging.PathOf(o.Out)
	p, err := plan(t, source, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func newStore(t *testing.T) *store {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return &store{dir: dir}
}

// What a sink gets is the folder that an export makes, byte for byte, and never more than two shards lie on the disk.
func TestSink(t *testing.T) {
	for _, name := range []string{"copied", "quantized"} {
		t.Run(name, func(t *testing.T) {
			source := written(t, "hunyuan")
			want, _ := exported(t, source, sunk(name))
			s := newStore(t)
			p := toStore(t, source, sunk(name), s)
			if _, err := p.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			sameFolder(t, s.dir, want)
			if len(p.Shards) < 6 || s.most > 2 || s.lands != 1 {
				t.Errorf("%d shards, %d on the disk at once, landed %d times", len(p.Shards), s.most, s.lands)
			}
			var largest int64
			for i := range p.Shards[1:] {
				largest = max(largest, p.Shards[i].Bytes+p.Shards[i+1].Bytes)
			}
			if p.Disk > largest+3<<20 || p.Disk < largest {
				t.Errorf("the plan says %d bytes of disk, two shards have %d", p.Disk, largest)
			}
			if _, err := os.Stat(s.work); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the folder in between is left: %v", err)
			}
		})
	}
}

// Wherever it fails, before or after the store has a file: --resume ends with the same files, and sends none twice.
func TestSinkResume(t *testing.T) {
	errFull := errors.New("the store is full")
	for _, name := range []string{"copied", "quantized"} {
		source := written(t, "hunyuan")
		want, _ := exported(t, source, sunk(name))
		count := len(contents(t, want))
		for _, after := range []bool{false, true} {
			for _, k := range []int{0, 1, 5, count - 2, count - 1} {
				t.Run(fmt.Sprintf("%s %d %v", name, k, after), func(t *testing.T) {
					s := newStore(t)
					n := 0
					fail := func(string) error {
						if n++; n == k+1 {
							return errFull
						}
						return nil
					}
					if s.before = fail; after {
						s.before, s.after = nil, fail
					}
					if _, err := toStore(t, source, sunk(name), s).Run(t.Context()); !errors.Is(err, errFull) {
						t.Fatalf("%v, want that it fails at file %d", err, k)
					}
					if s.lands > 0 {
						t.Error("it landed")
					}
					s.before, s.after = nil, nil
					o := sunk(name)
					o.Resume = true
					if _, err := toStore(t, source, o, s).Run(t.Context()); err != nil {
						t.Fatal(err)
					}
					sameFolder(t, s.dir, want)
					if sorted := slices.Compact(slices.Sorted(slices.Values(s.sent))); len(sorted) != len(s.sent) || len(s.sent) != count {
						t.Errorf("sent: %s", strings.Join(s.sent, ", "))
					}
				})
			}
		}
	}
}

// What the folder in between says of shards that were sent is not believed when it is damaged, and what the store lost
// is made and sent again.
func TestSinkResumeDamaged(t *testing.T) {
	source := written(t, "hunyuan")
	want, _ := exported(t, source, sunk("quantized"))
	for name, damage := range map[string]func(t *testing.T, s *store){
		"a record": func(t *testing.T, s *store) {
			records, err := filepath.Glob(filepath.Join(s.work, "wreg-journal-sent-*"))
			if err != nil || len(records) < 3 {
				t.Fatalf("%v, %v", records, err)
			}
			data, err := os.ReadFile(records[1])
			if err != nil {
				t.Fatal(err)
			}
			data[len(data)/2] ^= 1
			if err := os.WriteFile(records[1], data, 0o666); err != nil {
				t.Fatal(err)
			}
		},
		"the store": func(t *testing.T, s *store) {
			files, err := os.ReadDir(s.dir)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(filepath.Join(s.dir, files[len(files)/2].Name())); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			s.before = func(string) error {
				if len(s.sent) == 4 {
					return errors.New("an end")
				}
				return nil
			}
			if _, err := toStore(t, source, sunk("quantized"), s).Run(t.Context()); err == nil {
				t.Fatal("it was to fail")
			}
			damage(t, s)
			s.before = nil
			o := sunk("quantized")
			o.Resume = true
			if _, err := toStore(t, source, o, s).Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			sameFolder(t, s.dir, want)
		})
	}
}

// farStore plans an export of acme/tiny, as the registry of dir has it, to a store.
func farStore(t *testing.T, dir string, o export.Options, s *store) *export.Plan {
	t.Helper()
	o.Out, o.Sink = filepath.Join(filepath.Dir(s.dir), "model"), s
	s.work = staging.PathOf(o.Out)
	p, err := planIn(t, dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// From elsewhere to a sink, with an end in the middle: the files are those of a folder, the receipt aside, none is sent
// twice, and no more shards lie on the disk than the plan says.
func TestSinkFromElsewhere(t *testing.T) {
	for _, name := range []string{"copied", "quantized"} {
		for _, end := range []int{-1, 0, 3, 7} {
			t.Run(fmt.Sprint(name, end), func(t *testing.T) {
				source := golden(t, "hunyuan", 100_000)
				want, _ := exported(t, source, sunk(name))
				elsewhere(t, source)
				dir, s, n := t.TempDir(), newStore(t), 0
				registerFar(t, dir)
				s.after = func(string) error {
					if n++; n == end+1 {
						return errors.New("an end")
					}
					return nil
				}
				o := sunk(name)
				p := farStore(t, dir, o, s)
				_, err := p.Run(t.Context())
				if (err == nil) != (end < 0) {
					t.Fatal(err)
				}
				if err != nil {
					s.after, o.Resume = nil, true
					p = farStore(t, dir, o, s)
					if _, err := p.Run(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				sameBut(t, s.dir, want)
				if sorted := slices.Compact(slices.Sorted(slices.Values(s.sent))); len(sorted) != len(s.sent) {
					t.Errorf("sent: %s", strings.Join(s.sent, ", "))
				}
				var all int64
				for _, shard := range p.Shards {
					all += shard.Bytes
				}
				if p.Disk-(1<<20) >= all || s.most > len(p.Shards)/2 {
					t.Errorf("%d of %d shards lay on the disk at once; the plan says %d bytes of %d", s.most, len(p.Shards), p.Disk, all)
				}
			})
		}
	}
}

// late is a place whose weights end late, and as long as it lies in another byte.
type late struct {
	place.Place
	gate <-chan struct{}
	lies *atomic.Int32 // times that it still does
}

func (l late) Open(ctx context.Context, name string) (place.Blob, error) {
	b, err := l.Place.Open(ctx, name)
	if err != nil || filepath.Ext(name) != ".safetensors" {
		return b, err
	}
	info, err := b.Stat()
	return lateBlob{b, l, info.Size}, err
}

type lateBlob struct {
	place.Blob
	late
	size int64
}

func (b lateBlob) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > b.size*3/4 && off > 0 {
		<-b.gate
	}
	n, err := b.Blob.ReadAt(p, off)
	if b.lies.Load() > 0 {
		for i := range p[:n] {
			if at := off + int64(i); at%1000 == 0 && at > b.size/8 && at < b.size/2 {
				p[i] ^= 1
			}
		}
	}
	if off+int64(n) == b.size && n > 0 {
		b.lies.Add(-1)
	}
	return n, err
}

func (b lateBlob) Close() error { return b.Blob.Close() }

// What was made of a file that is not what the hub declares is not taken for sent, however far it came.
func TestSinkFromElsewhereLies(t *testing.T) {
	source := golden(t, "hunyuan", 1<<30)
	want, _ := exported(t, source, sunk("quantized"))
	for _, times := range []int32{1, 2} { // and right when it is read again, or not even then
		elsewhere(t, source)
		dir, s := t.TempDir(), newStore(t)
		registerFar(t, dir)
		gate, lies := make(chan struct{}), &atomic.Int32{}
		lies.Store(times)
		s.after = func(string) error {
			if len(s.sent) == 1 {
				close(gate)
			}
			return nil
		}
		o := sunk("quantized")
		o.Open = func(ctx context.Context, address string) (place.Place, error) {
			p, err := places.Open(ctx, address, places.Options{})
			return late{p, gate, lies}, err
		}
		_, err := farStore(t, dir, o, s).Run(t.Context())
		if (err != nil) != (times == 2) {
			t.Fatal(err)
		}
		if err != nil {
			if s.lands > 0 {
				t.Error("it landed")
			}
			o.Resume = true
			if _, err := farStore(t, dir, o, s).Run(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		for name, text := range contents(t, want) { // what was made of the lie may lie there, under a name that nobody asks for
			if got, err := os.ReadFile(filepath.Join(s.dir, name)); name != receipt.Name && (err != nil || string(got) != text) {
				t.Errorf("%s is not what a folder has (%v)", name, err)
			}
		}
	}
}
