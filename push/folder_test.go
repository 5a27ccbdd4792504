package push

import (
	"bytes"
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

	"wreg/export/receipt"
	"wreg/ingest/sums"
)

func write(t *testing.T, dir, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), data, 0o666); err != nil {
		t.Fatal(err)
	}
}

// folderOf makes a folder of empty files.
func folderOf(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		if name, isDir := strings.CutSuffix(name, "/"); isDir {
			if err := os.Mkdir(filepath.Join(dir, name), 0o777); err != nil {
				t.Fatal(err)
			}
			continue
		}
		write(t, dir, name, nil)
	}
	return dir
}

func TestOpenFolder(t *testing.T) {
	for _, c := range []struct {
		names []string
		want  string // of the files in their order, then what is left out; or of the error
	}{
		{[]string{"wreg-receipt.json", "config.json", "model.safetensors", "tokenizer.json"}, "[model.safetensors tokenizer.json config.json wreg-receipt.json] []"},
		{[]string{"model.safetensors.index.json", "model-00002-of-00002.safetensors", "model-00001-of-00002.safetensors", ".git/", "original/", ".gitattributes"},
			"[model-00001-of-00002.safetensors model-00002-of-00002.safetensors model.safetensors.index.json] [.git/ .gitattributes original/]"},
		{[]string{"config.json"}, "holds no weights"},
		{nil, "holds no weights"},
		{[]string{"model.safetensors", "a\nb"}, `"a\nb" holds what not every file system takes`},
		{[]string{"model.safetensors", `a\b`}, "not every file system"},
		{[]string{"model.safetensors", "a:b"}, "not every file system"},
		{[]string{"model.safetensors", "\xff"}, "not every file system"},
		{[]string{"model.safetensors", "Model.safetensors"}, "differ only in case"},
	} {
		f, err := OpenFolder(folderOf(t, c.names...))
		got := fmt.Sprint(err)
		if err == nil {
			var names []string
			for _, file := range f.Files {
				names = append(names, file.Name)
			}
			got = fmt.Sprint(names, f.LeftOut)
			f.Close()
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%q: %s, want %s", c.names, got, c.want)
		}
	}
}

// A link that leads out of the folder publishes nothing of what it leads to.
func TestLinksOut(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := folderOf(t, "model.safetensors")
	if err := os.Symlink(secret, filepath.Join(dir, "tokenizer.json")); err != nil {
		t.Skip(err)
	}
	if f, err := OpenFolder(dir); err == nil || !strings.Contains(err.Error(), "is not followed") {
		t.Errorf("%v, %v", f, err)
	}
}

// exported is a folder with the receipt of an export in it.
func exported(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	header, config := []byte("a header"), []byte(`{"model_type": "llama"}`)
	a, b := bytes.Repeat([]byte("a"), 3<<20), bytes.Repeat([]byte("b"), 1000)
	write(t, dir, "model.safetensors", slices.Concat(header, a, b))
	write(t, dir, "config.json", config)
	sha := func(data []byte) string { s := sha256.Sum256(data); return hex.EncodeToString(s[:]) }
	xxh3 := func(data []byte) string {
		s := sums.NewSummer()
		s.Write(data)
		sum := s.Sum()
		return "xxh3:" + hex.EncodeToString(sum[:])
	}
	n := int64(len(header))
	r := receipt.Receipt{Format: receipt.Format, Files: []receipt.File{{Name: "config.json", Bytes: int64(len(config)), SHA256: sha(config)}},
		Shards: []receipt.Shard{{Name: "model.safetensors", Bytes: n + int64(len(a)+len(b)), Header: n, SHA256: sha(header)}},
		Tensors: []receipt.Tensor{{Path: "b", File: "model.safetensors", Offset: n + int64(len(a)), Bytes: int64(len(b)), XXH3: xxh3(b)},
			{Path: "a", File: "model.safetensors", Offset: n, Bytes: int64(len(a)), XXH3: xxh3(a)}}}
	data, err := r.JSON()
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, receipt.Name, data)
	return dir
}

// edit changes bytes of a file, its length staying what it is.
func edit(t *testing.T, name string, at int64, with string) func(dir string) {
	return func(dir string) {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteAt([]byte(with), at); err != nil {
			t.Fatal(err)
		}
	}
}

// What does not agree with the receipt is refused by name.
func TestReceipt(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(dir string)
		want string
	}{
		{"as exported", func(string) {}, ""},
		{"a file more", func(dir string) { write(t, dir, "LICENSE", []byte("MIT")) }, ""},
		{"the header", edit(t, "model.safetensors", 2, "!"), "model.safetensors: its header is not what was exported"},
		{"the first tensor", edit(t, "model.safetensors", 2<<20, "!"), `model.safetensors: tensor "a" is not what was exported`},
		{"the last byte", edit(t, "model.safetensors", 8+3<<20+999, "!"), `tensor "b" is not what was exported`},
		{"config.json", edit(t, "config.json", 2, "!"), "config.json: it is not what was exported"},
		{"shorter", func(dir string) { os.Truncate(filepath.Join(dir, "model.safetensors"), 3<<20) }, "has 3145728 bytes, and 3146736 when it was exported"},
		{"missing", func(dir string) { os.Remove(filepath.Join(dir, "config.json")) }, "config.json: is missing"},
		{"a shard more", func(dir string) { write(t, dir, "model-00003-of-00003.safetensors", nil) }, "readers take every shard"},
		{"the receipt", edit(t, receipt.Name, 20, "!"), "wreg-receipt.json: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := exported(t)
			c.do(dir)
			f, err := OpenFolder(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			var read int64
			var mu sync.Mutex
			err = f.Hash(t.Context(), 0, func(n int64) { mu.Lock(); read += n; mu.Unlock() })
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) || f.Proven {
					t.Errorf("%v, want %q", err, c.want)
				}
				return
			}
			if err != nil || !f.Proven || read != f.Bytes() {
				t.Fatalf("%v, proven %v, %d bytes read of %d", err, f.Proven, read, f.Bytes())
			}
			for _, file := range f.Files {
				data, err := os.ReadFile(filepath.Join(dir, file.Name))
				sum := sha256.Sum256(data)
				if err != nil || file.SHA256 != hex.EncodeToString(sum[:]) || !bytes.Equal(file.Head, data[:min(len(data), HeadBytes)]) {
					t.Errorf("%s: SHA-256 %s, head %d bytes (%v)", file.Name, file.SHA256, len(file.Head), err)
				}
			}
		})
	}
}

// fake is a Target that keeps what it gets.
type fake struct {
	mu        sync.Mutex
	got       map[string]string
	before    func(File)
	committed []File
}

func (f *fake) Held(context.Context, []File) ([]bool, error) { return nil, nil }
func (f *fake) Proof() string                                { return "" }
func (f *fake) Close() error                                 { return nil }
func (f *fake) Put(_ context.Context, file File, from io.ReaderAt, moved func(int64)) error {
	if f.before != nil {
		f.before(file)
	}
	data, err := io.ReadAll(io.NewSectionReader(from, 0, file.Size))
	sum := sha256.Sum256(data)
	if err == nil && hex.EncodeToString(sum[:]) != file.SHA256 {
		err = errors.New("another digest")
	}
	moved(int64(len(data)))
	f.mu.Lock()
	defer f.mu.Unlock()
	f.got[file.Name] = string(data)
	return err
}
func (f *fake) Commit(_ context.Context, files []File) (string, error) {
	f.committed = files
	return "fake://", nil
}

func hashed(t *testing.T, dir string) *Folder {
	t.Helper()
	f, err := OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if err := f.Hash(t.Context(), 0, nil); err != nil {
		t.Fatal(err)
	}
	return f
}

// What is held is not put, and all is committed, the receipt last.
func TestSend(t *testing.T) {
	f := hashed(t, exported(t))
	to := &fake{got: map[string]string{}}
	at, err := f.Send(t.Context(), to, []bool{false, true, false}, 0, func(int64) {})
	if err != nil || at != "fake://" || len(to.got) != 2 || to.got["config.json"] != "" || len(to.committed) != 3 || to.committed[2].Name != receipt.Name {
		t.Errorf("%s %v: %d files were put, %v committed", at, err, len(to.got), to.committed)
	}
}

// Nothing is committed of a folder that somebody writes, be it to a file that the store held.
func TestSendChanged(t *testing.T) {
	for _, name := range []string{"model.safetensors", "config.json"} {
		dir := exported(t)
		f := hashed(t, dir)
		to := &fake{got: map[string]string{}, before: func(File) { write(t, dir, name, []byte("new")) }}
		if _, err := f.Send(t.Context(), to, []bool{false, true, false}, 1, func(int64) {}); err == nil || to.committed != nil {
			t.Errorf("%s changed: %v, committed %v", name, err, to.committed)
		}
	}
}
