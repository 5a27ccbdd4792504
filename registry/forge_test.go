package registry

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"wreg/registry/codec"
	"wreg/registry/record"
	"wreg/registry/tensor"
)

// A forged registry has checksums that are right, since they have no key. So what
// is written here is sealed as Put would.

// allowedForged is what any call may allocate for a forged file of some KiB, all of
// it together.
const allowedForged = 128 << 20

// smallFiles are the bytes of an empty registry and of small's, made once: making one
// waits for the disk.
var smallFiles = sync.OnceValue(func() (files struct{ empty, sound []byte }) {
	dir, err := os.MkdirTemp("", "forged")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "r.db")
	for _, file := range []*[]byte{&files.empty, &files.sound} {
		r, err := Open(path, Options{})
		if err == nil && file == &files.sound {
			err = putSmall(r)
		}
		if err == nil {
			err = r.Close()
		}
		if err == nil {
			*file, err = os.ReadFile(path)
		}
		if err != nil {
			panic(err)
		}
	}
	return files
})

// placed writes a registry of these bytes, sound one of two revisions.
func placed(t *testing.T, data []byte) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "r.db")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func sound(t *testing.T) (path string) { return placed(t, smallFiles().sound) }

// alter is edit without waiting for the disk.
func alter(t *testing.T, path string, fn func(tx *bolt.Tx) error) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: defaultTimeout, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(fn), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// allocated runs fn and fails when it took more than allowed.
func allocated(t *testing.T, what string, allowed uint64, fn func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fn()
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > allowed {
		t.Errorf("%s: %d MiB allocated, at most %d are allowed", what, n>>20, allowed>>20)
	}
}

// readEverything calls what reads a registry, and gives the first error.
func readEverything(r *Registry) error {
	return r.View(func(s *Snapshot) error {
		models, err := s.Models()
		if err != nil {
			return err
		}
		if _, err := s.ByHash(tensor.Hash{1}); err != nil {
			return err
		}
		for _, err := range s.Duplicates(models) {
			if err != nil {
				return err
			}
		}
		for _, m := range models {
			all, err := s.Revisions(m.Model)
			if err != nil {
				return err
			}
			if _, err := s.Find(all[0].Ref()); err != nil {
				return err
			}
			for b, err := range s.Blocks(context.Background(), all[0]) {
				if err != nil {
					return err
				}
				b.Index(0)
				b.Bytes().Sum()
				b.DTypes()
				b.Shapes()
				b.Files()
				b.Formats()
				b.Stats()
				b.Slices(0)
			}
			for _, err := range s.Tensors(context.Background(), all[0]) {
				if err != nil {
					return err
				}
			}
			if _, _, err := s.Lookup(all[0], "layers.0.w"); err != nil {
				return err
			}
		}
		return nil
	})
}

// everyEntry gives a forged file to everything that opens one: each call is bounded,
// Check finds a fault, and a merge takes nothing of it.
func everyEntry(t *testing.T, path, want string) {
	t.Helper()
	everyEntryBut(t, path, want, false)
}

// everyEntryBut is everyEntry where a merge may take the other revision.
func everyEntryBut(t *testing.T, path, want string, merges bool) {
	t.Helper()
	ctx := context.Background()
	var said []string
	note := func(call string, err error) {
		if err != nil {
			said = append(said, call+": "+err.Error())
		}
	}
	allocated(t, "Check", allowedForged, func() {
		faults, err := CheckFile(ctx, path, Options{})
		if err != nil || len(faults) == 0 {
			t.Errorf("Check: %v, %v; want a fault", faults, err)
		}
		for _, f := range faults {
			note("Check", fmt.Errorf("%s: %s", f.File, f.Message))
			if len(f.Message) > 4096 {
				t.Errorf("a fault of %d bytes", len(f.Message))
			}
		}
	})
	target := mustOpen(t, placed(t, smallFiles().empty))
	target.db.NoSync = true
	allocated(t, "reading and merging", allowedForged, func() {
		r, err := Open(path, Options{ReadOnly: true})
		note("Open", err)
		if err != nil {
			return
		}
		defer r.Close()
		note("reading", readEverything(r))
		_, err = target.Merge(ctx, r)
		note("Merge", err)
		if err == nil && !merges {
			t.Error("Merge: no error")
		}
		var copied bytes.Buffer
		_, err = r.Backup(t.Context(), &copied)
		note("Backup", err)
	})
	if err := target.View(func(s *Snapshot) error {
		if all, err := s.Models(); len(all) > 0 && !merges || err != nil {
			t.Errorf("the merge left %d models, %v", len(all), err)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	allocated(t, "writing", allowedForged, func() {
		r, err := Open(path, Options{})
		note("Open", err)
		if err != nil {
			return
		}
		r.db.NoSync = true
		_, _, err = r.Compact(ctx)
		note("Compact", err)
		note("GC", r.GC(ctx))
		_, err = r.Put(ctx, Revision{Model: "m"}, nil)
		note("Put", err)
		note("Remove", r.Remove("m"))
		note("Close", r.Close())
	})
	if text := strings.Join(said, "\n"); !strings.Contains(text, want) {
		t.Errorf("nothing says %q:\n%s", want, text)
	}
}

// forgeRecord seals another record of revision 1.
func forgeRecord(tx *bolt.Tx, fn func(v *Revision, raw []byte) []byte) error {
	own := tx.Bucket(revisionsBucket).Bucket(idKey(1))
	raw := own.Get(infoKey)
	v, wrong := record.Decode(raw[:len(raw)-4])
	if wrong != "" {
		return fmt.Errorf("the sample: %s", wrong)
	}
	forged := fn(v, bytes.Clone(raw[:len(raw)-4]))
	if forged == nil {
		forged = record.Encode(v)
	}
	return own.Put(infoKey, codec.Seal(infoPlace(1), forged))
}

// The tags of a record's fields, as docs/registry-format.md has them.
const tagModel, tagFile, tagFinding, tagReceipt = 1, 5, 6, 14

func TestForgedRecord(t *testing.T) {
	field := func(tag uint64, value []byte) []byte { return codec.AppendText(binary.AppendUvarint(nil, tag), value) }
	huge := binary.AppendUvarint(nil, 1<<40)
	cases := []struct {
		name, want string
		forge      func(v *Revision, raw []byte) []byte
	}{
		{"tensors", "10000000000 tensors", func(v *Revision, _ []byte) []byte { v.Tensors = 1e10; return nil }},
		{"all tensors", "tensors", func(v *Revision, _ []byte) []byte { v.Tensors = math.MaxInt; return nil }},
		{"fewer tensors than none", "-5 tensors", func(v *Revision, _ []byte) []byte { v.Tensors = -5; return nil }},
		{"tensors that are not there", "its record says 9 of", func(v *Revision, _ []byte) []byte { v.Tensors = 9; return nil }},
		{"bytes", "-1 bytes", func(v *Revision, _ []byte) []byte { v.Bytes = -1; return nil }},
		{"number 0", "says it is m@0", func(v *Revision, _ []byte) []byte { v.Number = 0; return nil }},
		{"number below 0", "says it is m@-1", func(v *Revision, _ []byte) []byte { v.Number = -1; return nil }},
		{"number of 63 bits", "says it is m@9223372036854775807", func(v *Revision, _ []byte) []byte { v.Number = math.MaxInt64; return nil }},
		{"model", "says it is", func(v *Revision, _ []byte) []byte { v.Model = "../m\x1b[2J"; return nil }},
		{"source", "is not a revision", func(v *Revision, _ []byte) []byte { v.Source = "a b@1"; return nil }},
		{"source without a number", "is not a revision", func(v *Revision, _ []byte) []byte { v.Source = "m"; return nil }},
		{"tool", "tool", func(v *Revision, _ []byte) []byte { v.Tool = "\x1b]0;x\a"; return nil }},
		{"layout", "layout", func(v *Revision, _ []byte) []byte { v.Layout = "\xff\xfe"; return nil }},
		{"root", "bytes of a root", func(v *Revision, _ []byte) []byte { v.Root = strings.Repeat("r", record.MaxPath+1); return nil }},
		{"file above", "leads out", func(v *Revision, _ []byte) []byte { v.Files = []tensor.File{{Name: "a/../../b"}}; return nil }},
		{"file elsewhere", "leads out", func(v *Revision, _ []byte) []byte { v.Files = []tensor.File{{Name: "/etc/passwd"}}; return nil }},
		{"file of no size", "of -1 bytes", func(v *Revision, _ []byte) []byte { v.Files = []tensor.File{{Name: "f", Size: -1}}; return nil }},
		{"digest", "not a SHA-256", func(v *Revision, _ []byte) []byte {
			v.Files = []tensor.File{{Name: "f", Digest: "sha256:x\x1b[2J"}}
			return nil
		}},
		{"trust", "does not exist", func(v *Revision, _ []byte) []byte { v.Files = []tensor.File{{Name: "f", Trust: 99}}; return nil }},
		{"verified without a digest", "has no digest", func(v *Revision, _ []byte) []byte {
			v.Files = []tensor.File{{Name: "f", Trust: tensor.TrustVerified}}
			return nil
		}},
		{"files", "files", func(_ *Revision, raw []byte) []byte {
			return append(raw, bytes.Repeat(field(tagFile, make([]byte, 5)), record.MaxFiles+1)...)
		}},
		{"twice", "comes twice", func(_ *Revision, raw []byte) []byte { return append(raw, field(tagModel, []byte("m"))...) }},
		{"length", "entries in", func(_ *Revision, raw []byte) []byte { return append(binary.AppendUvarint(raw, tagReceipt), huge...) }},
		{"length of 64 bits", "entries in", func(_ *Revision, raw []byte) []byte {
			return binary.AppendUvarint(binary.AppendUvarint(raw, 99), math.MaxUint64)
		}},
		{"length inside", "entries in", func(_ *Revision, raw []byte) []byte { return append(raw, field(tagFile, huge)...) }},
		{"a finding's", "entries in", func(_ *Revision, raw []byte) []byte { return append(raw, field(tagFinding, huge)...) }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			path := sound(t)
			alter(t, path, func(tx *bolt.Tx) error { return forgeRecord(tx, c.forge) })
			everyEntry(t, path, c.want)
		})
	}
	// Any number is a time.
	for _, n := range []int64{0, -1, math.MinInt64, math.MinInt64 + 1, math.MaxInt64} {
		path := sound(t)
		alter(t, path, func(tx *bolt.Tx) error {
			return forgeRecord(tx, func(v *Revision, _ []byte) []byte { v.Created = time.Unix(0, n); return nil })
		})
		if faults, err := CheckFile(context.Background(), path, Options{}); err != nil || len(faults) > 0 {
			t.Errorf("created %d: %v, %v", n, faults, err)
		}
	}
}

func TestForgedModels(t *testing.T) {
	model := func(name string, number int, id uint32, blocks, chunks int) func(tx *bolt.Tx) error {
		return func(tx *bolt.Tx) error {
			b := tx.Bucket(modelsBucket)
			if err := b.Delete(modelKey("m", 1)); err != nil {
				return err
			}
			key := modelKey(name, number)
			return b.Put(key, codec.Seal(modelPlace(key), appendModel(id, blocks, chunks)))
		}
	}
	for _, c := range []struct {
		name, want string
		edit       func(tx *bolt.Tx) error
		merges     bool
	}{
		{"blocks", "4294967295 were written", model("m", 1, 1, math.MaxUint32, 2), false},
		{"chunks", "4294967295 were written", model("m", 1, 1, 1, math.MaxUint32), false},
		{"no such revision", "the bucket is absent", model("m", 1, 77, 1, 2), true},
		{"one revision twice", "are one revision", model("m", 1, 2, 1, 2), false},
		{"number 0", "is not a revision's number", model("m", 0, 1, 1, 2), false},
		{"number of 32 bits", "is not a revision's number", model("m", math.MaxUint32, 1, 1, 2), false},
		{"a space", "is a space", model("a b", 1, 1, 1, 2), false},
		{"a path", "has a meaning in paths", model("../m", 1, 1, 1, 2), false},
		{"not UTF-8", "not UTF-8", model("m\xff", 1, 1, 1, 2), false},
		{"an escape", "control character", model("m\x1b[2J", 1, 1, 1, 2), false},
		{"a long name", "at most 200", model(strings.Repeat("m", 20_000), 1, 1, 1, 2), false},
		{"a long key", "is not a revision", func(tx *bolt.Tx) error {
			return tx.Bucket(modelsBucket).Put(bytes.Repeat([]byte{7}, bolt.MaxKeySize), codec.Seal(modelPlace(bytes.Repeat([]byte{7}, bolt.MaxKeySize)), nil))
		}, false},
		{"pending and visible", "is visible", func(tx *bolt.Tx) error { return tx.Bucket(pendingBucket).Put(idKey(1), []byte("m")) }, true},
		{"a bucket for a model", "the key is absent", func(tx *bolt.Tx) error {
			b := tx.Bucket(modelsBucket)
			if err := b.Delete(modelKey("m", 1)); err != nil {
				return err
			}
			_, err := b.CreateBucket(modelKey("m", 1))
			return err
		}, false},
		{"files out of order", "does not come after", func(tx *bolt.Tx) error {
			return tx.Bucket(revisionsBucket).Bucket(idKey(1)).Put(filesKey, codec.Seal(filesPlace(1), codec.AppendTable(nil, []string{"f", "f"})))
		}, false},
		{"files above", "leads out", func(tx *bolt.Tx) error {
			return tx.Bucket(revisionsBucket).Bucket(idKey(1)).Put(filesKey, codec.Seal(filesPlace(1), codec.AppendTable(nil, []string{"../f"})))
		}, false},
		{"files", "names, at most", func(tx *bolt.Tx) error {
			return tx.Bucket(revisionsBucket).Bucket(idKey(1)).Put(filesKey, codec.Seal(filesPlace(1), codec.AppendTable(nil, make([]string, record.MaxFiles+1))))
		}, false},
		{"number of 64 bits", "is below the model's", func(tx *bolt.Tx) error {
			return tx.Bucket(numbersBucket).Put([]byte("m"), codec.Seal(numberPlace("m"), binary.AppendUvarint(nil, 0)))
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := sound(t)
			alter(t, path, c.edit)
			if c.name == "number of 64 bits" { // reading does not look there
				faults, err := CheckFile(context.Background(), path, Options{})
				if err != nil || len(faults) != 1 || !strings.Contains(faults[0].Message, c.want) {
					t.Errorf("Check: %v, %v", faults, err)
				}
				return
			}
			everyEntryBut(t, path, c.want, c.merges)
		})
	}
}

// Nothing that is visible is erased because a mark or another name says so.
func TestForgedMarksEraseNothing(t *testing.T) {
	path := sound(t)
	alter(t, path, func(tx *bolt.Tx) error { return tx.Bucket(pendingBucket).Put(idKey(1), []byte("m")) })
	r := mustOpen(t, path)
	if err := r.GC(context.Background()); err == nil {
		t.Error("GC of a visible revision: no error")
	}
	if err := r.Remove(""); err == nil {
		t.Error("Remove of nothing: no error")
	}
	if err := readEverything(r); err != nil {
		t.Errorf("what was visible is gone: %v", err)
	}
}
