package registry

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"wreg/registry/codec"
	"wreg/registry/hashindex"
	"wreg/registry/tensor"
)

func small(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "r.db")
	r, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(putSmall(r), r.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

// putSmall adds two revisions of four tensors.
func putSmall(r *Registry) error {
	var list []tensor.Info
	for i := range 4 {
		list = append(list, tensor.Info{Path: "layers." + strconv.Itoa(i) + ".w", DType: tensor.F32, Shape: tensor.Shape{2, 1, 1}, Bytes: 8, Hash: tensor.Hash{byte(i + 1)}, Slices: []tensor.Hash{{9, byte(i)}, {8, byte(i)}}, File: "f"})
	}
	for range 2 {
		if _, err := r.Put(context.Background(), Revision{Model: "m", Hashed: true}, list); err != nil {
			return err
		}
	}
	return nil
}

// edit changes a registry behind its back, as a valid bbolt file.
func edit(t *testing.T, path string, fn func(tx *bolt.Tx) error) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: defaultTimeout})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(fn), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// Each fault that bbolt's own check cannot know is found and named.
func TestCheckFinds(t *testing.T) {
	one := idKey(1)
	blocks := func(tx *bolt.Tx) *bolt.Bucket { return tx.Bucket(revisionsBucket).Bucket(one).Bucket(blocksKey) }
	whole := contentKey(1, hashindex.Whole, 0)
	reseal := func(tx *bolt.Tx, fn func(value []byte)) error {
		b := tx.Bucket(contentBucket)
		value := append([]byte{}, b.Get(whole)...)
		value = value[:len(value)-4]
		fn(value)
		return b.Put(whole, codec.Seal(contentPlace(whole), value))
	}
	cases := []struct {
		name string
		edit func(tx *bolt.Tx) error
		want []string // each in a fault of its own
	}{
		{"nothing", func(*bolt.Tx) error { return nil }, nil},
		{"content absent", func(tx *bolt.Tx) error { return tx.Bucket(contentBucket).Delete(whole) },
			[]string{"1 chunks of the content index, 2 were written"}},
		{"content elsewhere", func(tx *bolt.Tx) error {
			return reseal(tx, func(v []byte) { binary.LittleEndian.PutUint32(v[4*8:], 3) })
		}, []string{"row 0 slice -1: hash 0100000000000000… is not in", "has hash 0100000000000000… at row 3"}},
		{"content damaged", func(tx *bolt.Tx) error { return tx.Bucket(contentBucket).Put(whole, []byte("xxxxxxxxxxxx")) },
			[]string{"do not match their checksum"}},
		{"content dangling", func(tx *bolt.Tx) error { return tx.Bucket(contentBucket).Put(contentKey(77, 0, 0), nil) },
			[]string{"no revision refers to it"}},
		{"block absent", func(tx *bolt.Tx) error { return blocks(tx).Delete([]byte("tlayers.{layer}.w")) },
			[]string{"m@1: 0 blocks, 1 were written"}},
		{"block under another name", func(tx *bolt.Tx) error {
			raw := append([]byte{}, blocks(tx).Get([]byte("tlayers.{layer}.w"))...)
			if err := blocks(tx).Delete([]byte("tlayers.{layer}.w")); err != nil {
				return err
			}
			return blocks(tx).Put([]byte("tlayers.{layer}.v"), raw)
		}, []string{"header does not match its checksum"}},
		{"info absent", func(tx *bolt.Tx) error { return tx.Bucket(revisionsBucket).Bucket(one).Delete(infoKey) },
			[]string{"revisions/1/info: the key is absent"}},
		{"files damaged", func(tx *bolt.Tx) error {
			return tx.Bucket(revisionsBucket).Bucket(one).Put(filesKey, []byte("abcdefg"))
		},
			[]string{"revisions/1/files: 3 bytes do not match"}},
		{"revision absent", func(tx *bolt.Tx) error { return tx.Bucket(revisionsBucket).DeleteBucket(one) },
			[]string{"revisions/1: the bucket is absent"}},
		{"revision dangling", func(tx *bolt.Tx) error {
			_, err := tx.Bucket(revisionsBucket).CreateBucket(idKey(99))
			return err
		}, []string{"revisions/99: no model refers to it"}},
		{"model swapped", func(tx *bolt.Tx) error {
			key := modelKey("m", 1)
			return tx.Bucket(modelsBucket).Put(key, codec.Seal(modelPlace(key), appendModel(2, 1, 2)))
		}, []string{"belongs to another model too", "revisions/1: no model refers to it", "says it is m@2"}},
		{"model damaged", func(tx *bolt.Tx) error { return tx.Bucket(modelsBucket).Put(modelKey("m", 1), []byte("12345678")) },
			[]string{"models/m@1", "revisions/1: no model refers to it"}},
		{"strange name", func(tx *bolt.Tx) error {
			key := modelKey("a b", 1)
			return tx.Bucket(modelsBucket).Put(key, codec.Seal(modelPlace(key), appendModel(1, 1, 2)))
		}, []string{"is a space", "3 revisions, 2 were written"}},
		{"model lost", func(tx *bolt.Tx) error { return tx.Bucket(modelsBucket).Delete(modelKey("m", 2)) },
			[]string{"1 revisions, 2 were written", "revisions/2: no model refers to it"}},
		{"number lost", func(tx *bolt.Tx) error { return tx.Bucket(numbersBucket).Delete([]byte("m")) }, []string{"numbers/m: the key is absent"}},
		{"number low", func(tx *bolt.Tx) error {
			return tx.Bucket(numbersBucket).Put([]byte("m"), codec.Seal(numberPlace("m"), appendNumber(1)))
		}, []string{"1 is below the model's last revision 2"}},
		{"number of nobody", func(tx *bolt.Tx) error {
			return tx.Bucket(numbersBucket).Put([]byte("x"), codec.Seal(numberPlace("x"), appendNumber(1)))
		}, []string{"numbers/x: no such model"}},
		{"pending and visible", func(tx *bolt.Tx) error { return tx.Bucket(pendingBucket).Put(one, nil) }, []string{"revision 1 is visible already"}},
		{"stray bucket", func(tx *bolt.Tx) error { _, err := tx.CreateBucket([]byte("stray")); return err }, []string{`unknown bucket "stray"`}},
		{"bucket lost", func(tx *bolt.Tx) error { return tx.DeleteBucket(pendingBucket) }, []string{"pending: the bucket is absent"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			path := small(t)
			edit(t, path, c.edit)
			r, err := Open(path, Options{ReadOnly: true})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			faults, err := r.Check(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			var lines []string
			for _, f := range faults {
				lines = append(lines, f.File+": "+f.Message)
			}
			text := strings.Join(lines, "\n")
			for _, want := range c.want {
				if !strings.Contains(text, want) {
					t.Errorf("no fault says %q:\n%s", want, text)
				}
			}
			if len(c.want) == 0 && len(lines) > 0 {
				t.Errorf("faults in a sound registry:\n%s", text)
			}
		})
	}
}

func setSchema(t *testing.T, path, version string) {
	t.Helper()
	edit(t, path, func(tx *bolt.Tx) error { return tx.Bucket(metaBucket).Put(schemaKey, []byte(version)) })
}

func TestSchema(t *testing.T) {
	for _, c := range []struct{ schema, want string }{
		{"9", "has schema 9, this wreg knows up to 2: use a newer wreg"},
		{"", `schema "" is not a version`},
		{"0", `schema "0" is not a version`},
		{"one", `schema "one" is not a version`},
	} {
		path := small(t)
		setSchema(t, path, c.schema)
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, readOnly := range []bool{true, false} {
			if _, err := Open(path, Options{ReadOnly: readOnly}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("schema %q: %v, want %q", c.schema, err, c.want)
			}
		}
		if after, _ := os.ReadFile(path); string(after) != string(before) {
			t.Errorf("schema %q: a refused Open changed the file", c.schema)
		}
	}
	path := small(t)
	edit(t, path, func(tx *bolt.Tx) error { return tx.Bucket(metaBucket).Put(hashAlgoKey, []byte("md5")) })
	if _, err := Open(path, Options{}); err == nil || !strings.Contains(err.Error(), `hash is "md5", want "sha256"`) {
		t.Errorf("another hash: %v", err)
	}
}

// Migrations run in order in one transaction: all or none.
func TestMigrate(t *testing.T) {
	mark := func(text string) func(*bolt.Tx) error {
		return func(tx *bolt.Tx) error {
			meta := tx.Bucket(metaBucket)
			return meta.Put([]byte("trace"), append(append([]byte{}, meta.Get([]byte("trace"))...), text...))
		}
	}
	read := func(r *Registry) (trace, schema string) {
		err := r.view(func(tx *bolt.Tx) error {
			trace, schema = string(tx.Bucket(metaBucket).Get([]byte("trace"))), string(tx.Bucket(metaBucket).Get(schemaKey))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return trace, schema
	}
	r, err := Open(small(t), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	fails := func(*bolt.Tx) error { return errors.New("no room") }
	err = r.migrate([]func(*bolt.Tx) error{mark("a"), mark("b"), fails}, 1)
	if trace, schema := read(r); err == nil || !strings.Contains(err.Error(), "schema 3 to 4: no room") || trace != "" || schema != "2" {
		t.Errorf("a failed migration: %v, trace %q, schema %s", err, trace, schema)
	}
	err = r.migrate([]func(*bolt.Tx) error{fails, mark("b"), mark("c")}, 2)
	if trace, schema := read(r); err != nil || trace != "bc" || schema != "4" {
		t.Errorf("a migration: %v, trace %q, schema %s", err, trace, schema)
	}
}
