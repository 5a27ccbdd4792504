package registry

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"wreg/registry/block"
	"wreg/registry/tensor"
)

// putOne adds a revision of one tensor.
func putOne(t *testing.T, r *Registry, model string) {
	t.Helper()
	if _, err := r.Put(context.Background(), Revision{Model: model}, []tensor.Info{{Path: "w", DType: tensor.F32, Bytes: 4}}); err != nil {
		t.Fatal(err)
	}
}

func mustOpen(t *testing.T, path string) *Registry {
	t.Helper()
	r, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return strings.Join(list, " ")
}

// A registry named through a link is the file behind it, which is made, compacted
// and backed up where it lies: whoever names the file itself sees the same.
func TestThroughLink(t *testing.T) {
	for _, c := range []struct{ name, first, second string }{
		{"relative", "real/r.db", ""},
		{"absolute", "ABS/real/r.db", ""},
		{"a link to a link", "real/next.db", "r.db"},
		{"through a linked folder", "folder/r.db", ""},
	} {
		for _, exists := range []bool{false, true} {
			t.Run(c.name, func(t *testing.T) {
				dir := t.TempDir()
				real, link := filepath.Join(dir, "real"), filepath.Join(dir, "link.db")
				err := os.Mkdir(real, 0o777)
				if err == nil {
					err = os.Symlink("real", filepath.Join(dir, "folder"))
				}
				if err == nil {
					err = os.Symlink(strings.Replace(c.first, "ABS", dir, 1), link)
				}
				if err == nil && c.second != "" {
					err = os.Symlink(c.second, filepath.Join(real, "next.db"))
				}
				if err != nil {
					t.Fatal(err)
				}
				before := names(t, dir)
				if exists {
					mustOpen(t, filepath.Join(real, "r.db")).Close()
				}
				r := mustOpen(t, link)
				putOne(t, r, "a")
				if _, _, err := r.Compact(context.Background()); err != nil {
					t.Fatal(err)
				}
				putOne(t, r, "b")
				r.Close()
				if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
					t.Errorf("the link is %v, %v", info.Mode(), err)
				}
				if after := names(t, dir); after != before {
					t.Errorf("beside the link lie %s, want %s", after, before)
				}
				r = mustOpen(t, filepath.Join(real, "r.db"))
				err = r.View(func(s *Snapshot) error {
					all, err := s.Models()
					if len(all) != 2 {
						t.Errorf("%d models behind the link, want 2", len(all))
					}
					return err
				})
				if err != nil {
					t.Fatal(err)
				}
			})
		}
	}
	loop := filepath.Join(t.TempDir(), "loop.db")
	if err := os.Symlink("loop.db", loop); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(loop, Options{}); err == nil || !strings.Contains(err.Error(), "too many") {
		t.Errorf("a link to itself: %v", err)
	}
}

// copyOf makes what a compaction that was killed leaves under a name.
func copyOf(t *testing.T, path, mark string) []byte {
	t.Helper()
	edit(t, path, func(tx *bolt.Tx) error {
		b, err := tx.CreateBucket(copyBucket)
		if err != nil {
			return err
		}
		return b.Put([]byte(mark), nil)
	})
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// What lies beside a registry is nobody's to delete, whatever it is called; what a
// killed compaction left is known by its content.
func TestBesideIsKept(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "r.db")
	r := mustOpen(t, path)
	putOne(t, r, "m")
	killed := copyOf(t, path+".compact-55", "r.db.compact-55")
	kept := map[string][]byte{
		"r.db.compact-1":  []byte("notes"),
		"r.db.compact-2":  {},
		"r.db.compact-3":  killed, // kept under another name by somebody
		"r.db.compact-4x": nil, "r.db.compact-before": nil, "r.db.compact-5": nil, "r.db.new-6": nil,
	}
	for name, data := range kept {
		file := filepath.Join(dir, name)
		if data == nil {
			if err := r.BackupFile(t.Context(), file); err != nil {
				t.Fatal(err)
			}
			data, _ = os.ReadFile(file)
			kept[name] = data
		} else if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	outside := filepath.Join(t.TempDir(), "r.db.compact-7")
	copyOf(t, outside, "r.db.compact-7")
	if err := os.Symlink(outside, path+".compact-7"); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(path+".compact-8/inside", 0o777); err != nil {
		t.Fatal(err)
	}
	copyOf(t, path+".compact-9", "r.db.compact-9")
	busy, err := bolt.Open(path+".compact-9", 0o600, nil) // a compaction at work
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()

	putOne(t, r, "n")
	if _, _, err := r.Compact(context.Background()); err != nil {
		t.Fatal(err)
	}
	for name, want := range kept {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v, %d of %d bytes", name, err, len(got), len(want))
		}
	}
	for _, name := range []string{outside, path + ".compact-7", path + ".compact-8/inside", path + ".compact-9"} {
		if _, err := os.Lstat(name); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Lstat(path + ".compact-55"); !os.IsNotExist(err) {
		t.Errorf("what a killed compaction left: %v", err)
	}
}

// A compaction replaces the file that is open, and no other.
func TestCompactOtherNames(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "r.db")
	r := mustOpen(t, path)
	putOne(t, r, "m")
	if err := os.Link(path, filepath.Join(dir, "other.db")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Compact(context.Background()); err == nil || !strings.Contains(err.Error(), "has 2 names") {
		t.Errorf("Compact of a file with two names: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("another's"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Compact(context.Background()); err == nil || !strings.Contains(err.Error(), "another file has its name") {
		t.Errorf("Compact where another file has the name: %v", err)
	}
	if got, _ := os.ReadFile(path); string(got) != "another's" {
		t.Errorf("the other file is %q", got)
	}
	if got := names(t, dir); got != "other.db r.db" {
		t.Errorf("left behind: %s", got)
	}
}

// TestMergeKeepsOldNames: names that are not given any more are read, merged,
// and removed as they are; merging gives none.
func TestMergeKeepsOldNames(t *testing.T) {
	dir := t.TempDir()
	old, r := mustOpen(t, filepath.Join(dir, "old.db")), mustOpen(t, filepath.Join(dir, "r.db"))
	tensors := []tensor.Info{{Path: "w", DType: tensor.F32, Bytes: 4}}
	groups, err := block.Group(tensors)
	if err != nil {
		t.Fatal(err)
	}
	list := []string{"evil$(id)", "a;b", "=1+1", "a\u3164"}
	for _, name := range list {
		v := Revision{Model: name, Tensors: 1, Bytes: 4}
		if _, err := old.Put(t.Context(), v, tensors); err == nil {
			t.Errorf("%q was given", name)
		}
		if _, err := old.write(t.Context(), v, groups.Len(), func(w *putter) error { return w.run(groups, tensors) }); err != nil {
			t.Fatal(err)
		}
	}
	for _, again := range []bool{false, true} {
		merged, err := r.Merge(t.Context(), old)
		if err != nil || len(merged) != len(list) {
			t.Fatal(merged, err)
		}
		for i, m := range merged {
			if m.New == again || m.From != list[i]+"@1" || m.To != m.From {
				t.Errorf("merged again %v: %+v", again, m)
			}
		}
	}
	if err := r.Remove("evil$(id)@1"); err != nil {
		t.Error(err)
	}
}

// killed is a compaction of a registry that ended, without a chance to tidy up, at a
// step: with a copy that had no mark yet, with a complete one, once that had the registry's name.
func killed(t *testing.T, r *Registry, step string) {
	t.Helper()
	if step == "not begun" {
		db, err := bolt.Open(r.path+compactSuffix+"12", 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		return
	}
	d, err := r.denseCopy(t.Context(), 0o600)
	if err == nil {
		err = d.Close()
	}
	if err == nil && step == "renamed" {
		if err = r.Close(); err == nil {
			err = os.Rename(d.path, r.path)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A compaction that was killed, at whatever step, leaves a registry without faults, for
// readers too, and no copy of it once it is compacted again.
func TestCompactKilled(t *testing.T) {
	for _, step := range []string{"not begun", "complete", "renamed"} {
		t.Run(step, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "r.db")
			r := mustOpen(t, path)
			putOne(t, r, "m")
			killed(t, r, step)
			r.Close()
			for _, readOnly := range []bool{true, false} {
				r, err := Open(path, Options{ReadOnly: readOnly})
				if err != nil {
					t.Fatal(err)
				}
				if faults, err := r.Check(t.Context()); err != nil || len(faults) > 0 {
					t.Errorf("read only %v: %v, %v", readOnly, faults, err)
				}
				if !readOnly {
					if _, _, err := r.Compact(t.Context()); err != nil {
						t.Error(err)
					}
				}
				err = r.view(func(tx *bolt.Tx) error {
					if marked := tx.Bucket(copyBucket) != nil; marked && !readOnly {
						t.Error("the registry is marked as a copy")
					}
					return nil
				})
				if err := errors.Join(err, r.Close()); err != nil {
					t.Error(err)
				}
			}
			if left := names(t, dir); left != "r.db" {
				t.Errorf("left behind: %s", left)
			}
		})
	}
}

// A page that nothing uses and the free list does not name is a fault of the file that
// check tells, though nothing is lost by it.
func TestLostPage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.db")
	r := mustOpen(t, path)
	for _, model := range []string{"a", "b", "c"} {
		putOne(t, r, model)
	}
	r.Close()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	le, size := binary.LittleEndian, os.Getpagesize()
	for at := 2 * size; at < len(data); at += size {
		if n := le.Uint16(data[at+10:]); le.Uint16(data[at+8:]) == 0x10 && n > 0 {
			le.PutUint16(data[at+10:], n-1) // of the newer free list or of the one before
		}
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, readOnly := range []bool{true, false} {
		r, err := Open(path, Options{ReadOnly: readOnly})
		if err != nil {
			t.Fatal(err)
		}
		faults, err := r.Check(t.Context())
		if err != nil || len(faults) != 1 || faults[0].File != "pages" || !strings.Contains(faults[0].Message, "neither used nor free") {
			t.Errorf("read only %v: %v, %v", readOnly, faults, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Collect says how many revisions and copies it removed, and the second time that there
// are none.
func TestCollectCounts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.db")
	r := mustOpen(t, path)
	putOne(t, r, "m")
	killed(t, r, "complete")
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	alter(t, path, func(tx *bolt.Tx) error {
		for _, id := range []uint32{77, 78} {
			if err := tx.Bucket(pendingBucket).Put(idKey(id), []byte("m")); err != nil {
				return err
			}
		}
		return nil
	})
	r = mustOpen(t, path)
	for _, want := range [][2]int{{2, 1}, {0, 0}} {
		if revisions, files, err := r.Collect(t.Context()); err != nil || [2]int{revisions, files} != want {
			t.Errorf("%d revisions, %d files, %v; want %v", revisions, files, err, want)
		}
	}
}
