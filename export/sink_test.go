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
	"testing"

	"wreg/export"
	"wreg/export/receipt"
	"wreg/export/staging"
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
