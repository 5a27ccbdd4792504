package registry

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"wreg/registry/codec"
	"wreg/registry/tensor"
)

// fileOf is a file of a digest, and the tensors in it.
func fileOf(name string, digest byte, trust tensor.Trust) (tensor.File, []tensor.Info) {
	f := tensor.File{Name: name, Format: "safetensors", Digest: tensor.Hash{digest}.String(), Trust: trust}
	return f, []tensor.Info{
		{Path: "layers.0." + name, DType: tensor.F32, Shape: tensor.Shape{2}, Bytes: 8, Hash: tensor.Hash{digest, 1}, File: name, Format: "safetensors"},
		{Path: "layers.1." + name, DType: tensor.F32, Shape: tensor.Shape{2}, Bytes: 8, Hash: tensor.Hash{digest, 2}, File: name, Format: "safetensors"},
		{Path: "shared." + name[:1] + "." + name, DType: tensor.F32, Shape: tensor.Shape{2}, Bytes: 8, Hash: tensor.Hash{digest, 3}, File: name, Format: "safetensors"},
	}
}

func putFiles(t *testing.T, r *Registry, model string, trusts ...tensor.Trust) {
	t.Helper()
	v := Revision{Model: model, Hashed: true}
	var all []tensor.Info
	for i, trust := range trusts {
		f, list := fileOf(string(rune('a'+i))+".safetensors", byte(i+1), trust)
		v.Files, all = append(v.Files, f), append(all, list...)
	}
	if _, err := r.Put(t.Context(), v, all); err != nil {
		t.Fatal(err)
	}
}

// owners are the files that a digest finds.
func owners(t *testing.T, r *Registry, digest byte) (list []string) {
	t.Helper()
	err := r.View(func(s *Snapshot) error {
		found, err := s.ByDigest(tensor.Hash{digest})
		for _, p := range found {
			list = append(list, p.Revision.Ref()+"/"+p.File.Name)
			if p.File.Digest != (tensor.Hash{digest}).String() || !p.File.Trust.Proven() {
				t.Errorf("found by digest %d: %+v", digest, p.File)
			}
			tensors, err := s.FileTensors(t.Context(), p.Revision, p.File.Name)
			if err != nil || len(tensors) != 3 || slices.ContainsFunc(tensors, func(i tensor.Info) bool { return i.File != p.File.Name || i.Hash[0] != digest }) {
				t.Errorf("tensors of %s: %+v, %v", p.File.Name, tensors, err)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// What was verified, or inherited, is found by the digest of its file; what was not is not. So it stays through
// removal, backup, compaction and a merge.
func TestByDigest(t *testing.T) {
	dir := t.TempDir()
	r := mustOpen(t, filepath.Join(dir, "r.db"))
	putFiles(t, r, "m", tensor.TrustVerified, tensor.TrustHeader, tensor.TrustHashed)
	putFiles(t, r, "n", tensor.TrustInherited, tensor.TrustSummed)
	putFiles(t, r, "n", tensor.TrustHeader, tensor.TrustVerified)
	expect := func(r *Registry, when string, want ...string) {
		t.Helper()
		for i, list := range want {
			if got := strings.Join(owners(t, r, byte(i+1)), " "); got != list {
				t.Errorf("%s: digest %d is found at %q, want %q", when, i+1, got, list)
			}
		}
		if faults, err := r.Check(t.Context()); err != nil || len(faults) > 0 {
			t.Errorf("%s: %v, %v", when, faults, err)
		}
	}
	sound := []string{"n@1/a.safetensors m@1/a.safetensors", "n@2/b.safetensors n@1/b.safetensors", "", ""}
	expect(r, "put", sound...)
	if _, _, err := r.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	expect(r, "compacted", sound...)
	var copied bytes.Buffer
	if _, err := r.Backup(t.Context(), &copied); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "b.db"), copied.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	b := mustOpen(t, filepath.Join(dir, "b.db"))
	expect(b, "backed up", sound...)
	merged := mustOpen(t, filepath.Join(dir, "c.db"))
	putFiles(t, merged, "m", tensor.TrustVerified)
	for range 2 {
		if _, err := merged.Merge(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		expect(merged, "merged", "n@1/a.safetensors m@2/a.safetensors m@1/a.safetensors", sound[1], "")
	}
	if err := r.Remove("n@1"); err != nil {
		t.Fatal(err)
	}
	expect(r, "removed", "m@1/a.safetensors", "n@2/b.safetensors")
	if err := r.Remove("m"); err != nil {
		t.Fatal(err)
	}
	expect(r, "removed", "", "n@2/b.safetensors")
}

// A registry from before there were digests is read as it is, and gets them when it is written.
func TestDigestsOfOldRegistry(t *testing.T) {
	path := small(t)
	edit(t, path, func(tx *bolt.Tx) error { return tx.DeleteBucket(digestsBucket) })
	setSchema(t, path, "1")
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Open(path, Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := owners(t, r, 1); got != nil {
		t.Errorf("found %v", got)
	}
	if faults, err := r.Check(t.Context()); err != nil || len(faults) > 0 {
		t.Errorf("an old registry: %v, %v", faults, err)
	}
	into := mustOpen(t, filepath.Join(t.TempDir(), "into.db"))
	if done, err := into.Merge(t.Context(), r); err != nil || len(done) != 2 {
		t.Errorf("merged %v: %v", done, err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("reading an old registry changed it")
	}
	w := mustOpen(t, path)
	putFiles(t, w, "n", tensor.TrustVerified)
	if got := owners(t, w, 1); len(got) != 1 {
		t.Errorf("found %v", got)
	}
	if faults, err := w.Check(t.Context()); err != nil || len(faults) > 0 {
		t.Errorf("a migrated registry: %v, %v", faults, err)
	}
}

// Each fault of the digests is found, and none of them is believed.
func TestDamagedDigests(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(b *bolt.Bucket, key []byte) error
		want string
		read bool // a look-up fails, too
	}{
		{"missing", func(b *bolt.Bucket, key []byte) error { return b.Delete(key) }, "the key is absent", false},
		{"checksum", func(b *bolt.Bucket, key []byte) error { return b.Put(key, []byte("xxxx")) }, "do not match their checksum", true},
		{"no revision", func(b *bolt.Bucket, key []byte) error {
			k := digestKey(tensor.Hash(key[:32]), 99)
			return b.Put(k, codec.Seal(digestPlace(k), nil))
		}, "no file has that digest", true},
		{"no such file", func(b *bolt.Bucket, key []byte) error {
			k := digestKey(tensor.Hash{2}, 1)
			return b.Put(k, codec.Seal(digestPlace(k), nil))
		}, "no file has that digest", true},
		{"short key", func(b *bolt.Bucket, key []byte) error {
			return b.Put(key[:33], codec.Seal(digestPlace(key[:33]), nil))
		}, "no file has that digest", true},
	} {
		path := filepath.Join(t.TempDir(), "r.db")
		r := mustOpen(t, path)
		putFiles(t, r, "m", tensor.TrustVerified, tensor.TrustHeader)
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		edit(t, path, func(tx *bolt.Tx) error { return c.edit(tx.Bucket(digestsBucket), digestKey(tensor.Hash{1}, 1)) })
		r = mustOpen(t, path)
		faults, err := r.Check(t.Context())
		if err != nil || len(faults) != 1 || !strings.Contains(faults[0].Message, c.want) {
			t.Errorf("%s: %v, %v, want %q", c.name, faults, err, c.want)
		}
		for _, d := range []byte{1, 2} {
			err = r.View(func(s *Snapshot) error {
				_, err := s.ByDigest(tensor.Hash{d})
				return err
			})
			if d == 1 && c.name != "no such file" || d == 2 && c.name == "no such file" {
				if (err != nil) != c.read {
					t.Errorf("%s: looked up: %v", c.name, err)
				}
			} else if err != nil {
				t.Errorf("%s: another digest: %v", c.name, err)
			}
		}
	}
}
