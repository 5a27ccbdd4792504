package s3

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"wreg/ingest"
	"wreg/ingest/place"
	"wreg/ingest/remote"
	"wreg/ingest/s3/s3test"
	"wreg/registry/tensor"
)

var ctx = context.Background()

func open(t *testing.T, address string) (place.Place, error) {
	t.Helper()
	p, err := Open(ctx, address, remote.Options{Sleep: func(context.Context, time.Duration) error { return nil }})
	if err == nil {
		t.Cleanup(func() { p.Close() })
	}
	return p, err
}

// must opens what has to be there.
func must(t *testing.T, address string) place.Place {
	t.Helper()
	p, err := open(t, address)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func text(t *testing.T, p place.Place, name string) (string, error) {
	t.Helper()
	b, err := p.Open(ctx, name)
	if err != nil {
		return "", err
	}
	defer b.Close()
	f, err := b.Stat()
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, f.Size)
	err = tensor.ReadFull(b, data, 0)
	return string(data), err
}

// TestIngest reads what other software wrote, of every format, from a folder and from a bucket: tensors and
// findings are the same, so are the bytes of each tensor; what one refuses the other does.
func TestIngest(t *testing.T) {
	const fixtures = "../testdata/fixtures"
	read := 0
	err := filepath.WalkDir(fixtures, func(dir string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() || dir == fixtures || strings.Contains(dir, "hostile") {
			return err
		}
		s := s3test.Start(t)
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		targets := []string{""}
		for _, e := range entries {
			if data, err := os.ReadFile(filepath.Join(dir, e.Name())); err == nil {
				s.Put("some/where/"+e.Name(), data)
				targets = append(targets, "/"+e.Name())
			}
		}
		for _, target := range targets {
			here, herErr := ingest.Open(ctx, dir+target, ingest.Options{})
			p, err := open(t, "s3://models/some/where"+target)
			if err != nil {
				t.Fatal(err)
			}
			there, err := ingest.OpenPlace(ctx, p, ingest.Options{})
			if (err == nil) != (herErr == nil) {
				t.Errorf("%s%s: here %v, from the bucket %v", dir, target, herErr, err)
			}
			if err != nil || herErr != nil {
				continue
			}
			read++
			if !slices.EqualFunc(here.Tensors(), there.Tensors(), func(a, b tensor.Info) bool {
				return a.Path == b.Path && a.File == b.File && a.Offset == b.Offset && a.Bytes == b.Bytes && a.DType == b.DType && slices.Equal(a.Shape, b.Shape)
			}) {
				t.Errorf("%s%s: other tensors", dir, target)
			}
			if a, b := rules(here.Findings()), rules(there.Findings()); !slices.Equal(a, b) {
				t.Errorf("%s%s: findings %v, from the bucket %v", dir, target, a, b)
			}
			for _, info := range here.Tensors() {
				a, aErr := content(here, info)
				if b, bErr := content(there, info); a != b || (aErr == nil) != (bErr == nil) {
					t.Errorf("%s%s: %s: other bytes (%v, %v)", dir, target, info.Path, aErr, bErr)
				}
			}
			if err := errors.Join(here.Close(), there.Close()); err != nil {
				t.Error(err)
			}
		}
		s.Close()
		return nil
	})
	if err != nil || read < 20 {
		t.Errorf("%d checkpoints were read (%v)", read, err)
	}
}

func rules(list []tensor.Finding) (out []string) {
	for _, f := range list {
		out = append(out, f.Rule+" "+f.File+" "+f.Tensor)
	}
	return out
}

func content(c *ingest.Checkpoint, info tensor.Info) (string, error) {
	r, err := c.Bytes(info.Path)
	if err != nil {
		return "", err
	}
	data := make([]byte, info.Bytes)
	err = tensor.ReadFull(r, data, 0)
	return string(data), err
}

// What is asked: a folder, or a file by its name, is one request; what could be either is two.
func TestRequests(t *testing.T) {
	s := s3test.Start(t)
	s.Put("a/model.safetensors", []byte("weights"))
	s.Put("a/config.json", []byte("{}"))
	s.Put("b/blob", []byte("weights"))
	for _, c := range []struct {
		address string
		asked   int
		single  string
	}{
		{"s3://models/a", 1, ""}, {"s3://models/a/", 1, ""}, {"s3://models", 1, ""},
		{"s3://models/a/model.safetensors", 1, "model.safetensors"}, {"s3://models/b/blob", 2, "blob"},
	} {
		s.Asked()
		p := must(t, c.address)
		if asked := s.Asked(); len(asked) != c.asked || p.(*Folder).Single() != c.single {
			t.Errorf("%s: %q, %v", c.address, p.(*Folder).Single(), asked)
		}
		s.Asked()
		again := must(t, p.Pin())
		if again.Pin() != p.Pin() || p.Pin() == c.address {
			t.Errorf("%s: pinned as %s, and that as %s", c.address, p.Pin(), again.Pin())
		}
	}
	for _, gone := range []string{"s3://models/c", "s3://models/c/", "s3://models/b/blo", "s3://models/a/x.safetensors"} {
		if _, err := open(t, gone); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", gone, err)
		}
	}
}

// A pin holds as long as the files that a model may consist of are the same, and says which was written since.
func TestPin(t *testing.T) {
	s := s3test.Start(t)
	s.Put("a/model.safetensors", []byte("weights"))
	s.Put("a/config.json", []byte("{}"))
	pin := must(t, "s3://models/a").Pin()
	s.Put("a/README.md", []byte("more"))
	s.Put("a/b/model.safetensors", []byte("more"))
	must(t, pin)
	for _, change := range []func(){
		func() { s.Put("a/model.safetensors", []byte("Weights")) },
		func() { s.Put("a/tokenizer.json", []byte("{}")) },
		func() { delete(s.Objects, "a/config.json") },
	} {
		was := must(t, "s3://models/a").Pin()
		change()
		if _, err := open(t, was); !errors.Is(err, remote.ErrChanged) || !strings.Contains(fmt.Sprint(err), "was written last") {
			t.Error(err)
		}
	}
}

// In a bucket that keeps versions a file is pinned by its own.
func TestVersion(t *testing.T) {
	s := s3test.Start(t)
	s.Put("a/model.gguf", []byte("weights")).Version = "v/1"
	pin := must(t, "s3://models/a/model.gguf").Pin()
	if pin != "s3://models/a/model.gguf?versionId=v%2F1" {
		t.Error(pin)
	}
	s.Asked()
	if got, err := text(t, must(t, pin), "model.gguf"); got != "weights" || err != nil {
		t.Error(got, err)
	}
	for _, q := range s.Asked() {
		if !strings.HasSuffix(q, "?versionId=v/1") {
			t.Error(q)
		}
	}
}

// A file that is another one by the time that it is read is refused: by the store, which was asked for this one
// only, or by what it answers.
func TestChanged(t *testing.T) {
	s := s3test.Start(t)
	s.Put("a/model.safetensors", []byte("weights"))
	for _, ignores := range []bool{false, true} {
		p := must(t, "s3://models/a")
		s.Put("a/model.safetensors", []byte(map[bool]string{false: "Weights", true: "WEIGHTS"}[ignores]))
		s.Before = func(w http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("If-Match") == "" {
				t.Error("the file was asked for whatever it is")
			}
			if ignores {
				r.Header.Del("If-Match")
			}
			return false
		}
		if got, err := text(t, p, "model.safetensors"); !errors.Is(err, remote.ErrChanged) {
			t.Errorf("ignores %v: %q, %v", ignores, got, err)
		}
		s.Before = nil
	}
	p := must(t, "s3://models/a")
	delete(s.Objects, "a/model.safetensors")
	if _, err := text(t, p, "model.safetensors"); !errors.Is(err, remote.ErrChanged) {
		t.Error(err)
	}
}

// What a bucket calls its files is no path.
func TestHostileNames(t *testing.T) {
	for _, name := range []string{"..", ".", `a\b`, "model.safetensors", "a\x00b", "a\nb", "../x/model.safetensors", "Model.safetensors", strings.Repeat("x", 5000)} {
		s := s3test.Start(t)
		s.Put("a/model.safetensors", []byte("weights"))
		s.Listing = func(p *s3test.Page) {
			p.Contents = append(p.Contents, s3test.Entry{Key: "a%2F" + url.QueryEscape(name), ETag: `"1"`})
		}
		if _, err := open(t, "s3://models/a"); err == nil || !strings.HasPrefix(err.Error(), "s3://models/a: ") && !strings.HasPrefix(err.Error(), "s3://models/a/: ") {
			t.Errorf("%.40q: %v", name, err)
		}
		s.Listing = func(p *s3test.Page) { p.CommonPrefixes = append(p.CommonPrefixes, s3test.Prefix{Prefix: "a/../"}) }
		if _, err := open(t, "s3://models/a"); err == nil {
			t.Error("a folder called .. was taken")
		}
	}
}

// Keys that need care in an address, in a listing and in a signature are read like any.
func TestOddKeys(t *testing.T) {
	s := s3test.Start(t)
	for _, name := range []string{"a b.json", "a+b.json", "é%41.json", "what?.json", "a&b=c.json", "#1.json", "x'y(z)*.json"} {
		s.Put("some + where/"+name, []byte(name))
	}
	p := must(t, "s3://models/some + where")
	list, err := p.List(ctx)
	if err != nil || len(list) != 7 {
		t.Error(list, err)
	}
	for _, e := range list {
		if got, err := text(t, p, e.Name); got != e.Name || err != nil {
			t.Errorf("%q: %q, %v", e.Name, got, err)
		}
	}
}

// Who may read a file and not list gets the file.
func TestOneFileOnly(t *testing.T) {
	s := s3test.Start(t)
	s.Put("a/model.safetensors", []byte("weights"))
	s.Before = func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "model.safetensors") {
			return false
		}
		return s3test.Refuse(w, http.StatusForbidden, "AccessDenied", "")
	}
	p := must(t, "s3://models/a/model.safetensors")
	if p.Has("config.json") || !p.Has("model.safetensors") {
		t.Error("what may not be seen is said to be there, or what may is not")
	}
	if got, err := text(t, p, "model.safetensors"); got != "weights" || err != nil {
		t.Error(got, err)
	}
	if _, err := p.Open(ctx, "config.json"); err == nil || !strings.Contains(err.Error(), "s3:GetObject") {
		t.Error(err)
	}
}

// A store's SHA-256 of a whole file is declared of it, and so is the one that is kept beside it; that of a file that came in parts
// is none of the file.
func TestDigest(t *testing.T) {
	s := s3test.Start(t)
	const meta = "X-Amz-Meta-Sha256"
	ones := strings.Repeat("1", 64)
	zeros := base64.StdEncoding.EncodeToString(make([]byte, 32))
	for _, c := range []struct {
		checksum, meta, want string
		asked                int // of a folder: the list, the file's beginning, and what is known of it where that is worth asking
	}{
		{zeros, "", "sha256:" + strings.Repeat("0", 64), 3},
		{zeros + "-2", "", "", 2},
		{zeros + "-2", ones, "sha256:" + ones, 2},
		{"", ones, "sha256:" + ones, 2},
		{"", "", "", 2},
	} {
		o := s.Put("a/model.safetensors", []byte("weights"))
		o.Checksum, o.Meta = c.checksum, map[string]string{meta: c.meta}
		for _, address := range []string{"s3://models/a", "s3://models/a/model.safetensors"} {
			s.Asked()
			b, err := must(t, address).Open(ctx, "model.safetensors")
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if f, err := b.Stat(); err != nil || f.Digest != c.want {
					t.Errorf("%s: %+v: %q, %v", address, c, f.Digest, err)
				}
			}
			if asked := s.Asked(); address == "s3://models/a" && len(asked) != c.asked {
				t.Errorf("%+v: %v", c, asked)
			}
		}
	}
}
