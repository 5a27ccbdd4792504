package registry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wreg/registry"
	"wreg/registry/tensor"
)

func mustRead(t testing.TB, r *registry.Registry) content {
	t.Helper()
	c, err := readAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestBackup(t *testing.T) {
	dir := t.TempDir()
	r := open(t, filepath.Join(dir, "r.db"))
	put(t, r, "m", moe(3, 2, 1))
	want := mustRead(t, r)
	copied := filepath.Join(dir, "copy.db")
	// While it is being read and, afterwards, written.
	err := r.View(func(s *registry.Snapshot) error { return r.BackupFile(t.Context(), copied) })
	if err != nil {
		t.Fatal(err)
	}
	put(t, r, "m", moe(1, 1, 2))
	if d := cmp.Diff(want, mustRead(t, open(t, copied))); d != "" {
		t.Errorf("the backup (-want +got)\n%s", d)
	}
	before, _ := os.ReadFile(copied)
	if err := r.BackupFile(t.Context(), copied); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), copied) {
		t.Errorf("over an existing file: %v", err)
	}
	if after, _ := os.ReadFile(copied); !bytes.Equal(before, after) {
		t.Error("the existing file was changed")
	}
	if err := r.BackupFile(t.Context(), filepath.Join(dir, "no", "such", "folder.db")); err == nil {
		t.Error("into a folder that does not exist: no error")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.new-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestCompact(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "r.db")
	r := open(t, path)
	put(t, r, "kept", moe(3, 2, 1))
	put(t, r, "large", moe(100, 8, 2))
	if err := r.Remove("large"); err != nil {
		t.Fatal(err)
	}
	put(t, r, "kept", moe(2, 2, 3))
	want := mustRead(t, r)
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	before, after, err := r.Compact(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if after >= before/4 || info.Size() != after {
		t.Errorf("compacted from %d to %d bytes, the file has %d", before, after, info.Size())
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the file's mode became %v", info.Mode())
	}
	if d := cmp.Diff(want, mustRead(t, r)); d != "" {
		t.Errorf("after compaction (-want +got)\n%s", d)
	}
	// The new file is the one that is written, and it is locked.
	if v := put(t, r, "kept", nil); v.Number != 3 {
		t.Errorf("the next revision is %s", v.Ref())
	}
	var held *registry.LockError
	if _, err := registry.Open(path, registry.Options{Timeout: 1}); !errors.As(err, &held) {
		t.Errorf("a second writer: %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

// Who waited for a file that a compaction replaces gets the new one.
func TestCompactWhileAnotherWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.db")
	r, err := registry.Open(path, registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	put(t, r, "m", moe(2, 2, 1))
	opened := make(chan bool, 16)
	defer registry.OnOpen(func() { opened <- true })()
	seen := make(chan int)
	go func() {
		defer close(seen)
		w, err := registry.Open(path, registry.Options{ReadOnly: true, Timeout: patient})
		if err != nil {
			t.Error(err)
			return
		}
		defer w.Close()
		c, err := readAll(w)
		if err != nil {
			t.Error(err)
		}
		seen <- len(c.Revisions)
	}()
	<-opened // the file that is about to be replaced
	if _, _, err := r.Compact(context.Background()); err != nil {
		t.Fatal(err)
	}
	put(t, r, "m", moe(1, 1, 2))
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if n := <-seen; n != 2 {
		t.Errorf("%d revisions, want 2: the replaced file was read", n)
	}
}

func TestMerge(t *testing.T) {
	dir := t.TempDir()
	ctx := context.Background()
	r, other := open(t, filepath.Join(dir, "r.db")), open(t, filepath.Join(dir, "other.db"))
	put(t, r, "shared", moe(1, 1, 1))
	put(t, r, "clash", moe(1, 1, 2))
	put(t, other, "clash", moe(1, 1, 3))
	put(t, other, "shared", moe(1, 1, 1))
	exported, err := other.Put(ctx, registry.Revision{Model: "exported", Source: "clash@1", Config: []byte("{}")}, moe(2, 1, 4))
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.Merge(ctx, other)
	want := []registry.Merged{
		{From: "clash@1", To: "clash@2", New: true},
		{From: "shared@1", To: "shared@1"},
		{From: "exported@1", To: "exported@1", New: true},
	}
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Errorf("Merge: %v (-want +got)\n%s", err, d)
	}
	err = r.View(func(s *registry.Snapshot) error {
		v, err := s.Find("exported")
		if err != nil {
			return err
		}
		exported.Source = "clash@2"
		if d := cmp.Diff(exported, v); d != "" {
			t.Errorf("exported (-want +got)\n%s", d)
		}
		if d := cmp.Diff(byPath(moe(2, 1, 4)), all(t, s, v)); d != "" {
			t.Errorf("exported's tensors (-want +got)\n%s", d)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range want {
		want[i].New = false
	}
	got, err = r.Merge(ctx, other)
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Errorf("the same Merge again: %v (-want +got)\n%s", err, d)
	}
	if _, err := r.Merge(ctx, r); err == nil || !strings.Contains(err.Error(), "into itself") {
		t.Errorf("Merge into itself: %v", err)
	}
}

// An ingest that is cancelled leaves nothing to be seen or to be cleaned up.
func TestPutCancelled(t *testing.T) {
	r := open(t, filepath.Join(t.TempDir(), "r.db"))
	put(t, r, "m", moe(1, 1, 1))
	for _, polls := range []int{0, 1, 2, 3} {
		ctx := &endingContext{Context: context.Background(), polls: polls}
		var flat []tensor.Info
		for i := range 20_000 { // more than two transactions
			flat = append(flat, tensor.Info{Path: fmt.Sprintf("p_%d", i), DType: tensor.U8, Shape: tensor.Shape{1}, Bytes: 1, Hash: hashOf(uint64(i))})
		}
		if _, err := r.Put(ctx, registry.Revision{Model: "m"}, flat); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled at poll %d: %v", polls, err)
		}
		mustCheck(t, r)
		c := mustRead(t, r)
		if len(c.Revisions) != 1 {
			t.Errorf("cancelled at poll %d: %d revisions", polls, len(c.Revisions))
		}
	}
	if v := put(t, r, "m", nil); v.Number != 2 {
		t.Errorf("the next revision is %s", v.Ref())
	}
}

// endingContext is cancelled when it was asked a number of times.
type endingContext struct {
	context.Context
	polls int
}

func (c *endingContext) Err() error {
	if c.polls--; c.polls < 0 {
		return context.Canceled
	}
	return nil
}
