package oci

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"wreg/ingest"
	"wreg/ingest/oci"
	"wreg/ingest/oci/ocitest"
	"wreg/ingest/remote"
	"wreg/push"
)

func start(t *testing.T) *ocitest.Registry {
	r := ocitest.Start()
	t.Cleanup(r.Stop)
	dir := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", filepath.Join(dir, "cache"))
	t.Setenv("DOCKER_CONFIG", filepath.Join(dir, "docker"))
	return r
}

func target(t *testing.T, r *ocitest.Registry, chunk int64) *Target {
	t.Helper()
	p, err := Open(t.Context(), oci.Scheme+r.Host()+"/team/model:v1", push.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	p.(*Target).chunk = chunk
	return p.(*Target)
}

func file(name string, data []byte) push.File {
	sum := sha256.Sum256(data)
	return push.File{Name: name, Size: int64(len(data)), SHA256: hex.EncodeToString(sum[:])}
}

// rows are what a checkpoint holds, with every byte of it.
func rows(t *testing.T, c *ingest.Checkpoint, err error) (rows []string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	tensors, err := c.Hash(t.Context(), ingest.HashOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range tensors {
		rows = append(rows, fmt.Sprintf("%s %v %v %s %x", i.Path, i.DType, i.Shape, i.File, i.Hash))
	}
	return rows
}

// TestRoundTrip: what was published is read back as the folder, and not sent twice; before the tag nothing is visible.
func TestRoundTrip(t *testing.T) {
	const dir = "../../ingest/testdata/fixtures/sharded_safetensors"
	r := start(t)
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var files []push.File
	data := map[string][]byte{}
	for _, e := range list {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files, data[e.Name()] = append(files, file(e.Name(), text)), text
	}
	for round, want := range []bool{false, true} {
		p := target(t, r, 64)
		held, err := p.Held(t.Context(), files)
		if err != nil || len(held) != len(files) || slices.Contains(held, !want) {
			t.Fatalf("round %d: %v, %v", round, held, err)
		}
		for i, f := range files {
			var moved atomic.Int64
			if held[i] {
				continue
			}
			if err := p.Put(t.Context(), f, bytes.NewReader(data[f.Name]), func(n int64) { moved.Add(n) }); err != nil || moved.Load() != f.Size {
				t.Fatalf("%s: %v, %d of %d bytes moved", f.Name, err, moved.Load(), f.Size)
			}
		}
		if round == 0 && r.Manifest("team/model", "v1") != nil {
			t.Error("visible before it is whole")
		}
		address, err := p.Commit(t.Context(), files)
		if err != nil || address != oci.Scheme+r.Host()+"/team/model:v1@"+ocitest.Digest(r.Manifest("team/model", "v1")) {
			t.Fatal(address, err)
		}
		n, err := oci.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		at, err := oci.Open(t.Context(), oci.Connect(remote.Options{}, n, "pull"), address)
		if err != nil {
			t.Fatal(err)
		}
		here, err := ingest.Open(t.Context(), dir, ingest.Options{})
		want := rows(t, here, err)
		there, err := ingest.OpenPlace(t.Context(), at, ingest.Options{})
		if got := rows(t, there, err); !slices.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
	}
	var m manifest
	if err := json.Unmarshal(r.Manifest("team/model", "v1"), &m); err != nil {
		t.Fatal(err)
	}
	if m.ArtifactType != artifactType || m.Config.MediaType != configMedia || int64(len(r.Blob(m.Config.Digest))) != m.Config.Size {
		t.Errorf("%+v", m)
	}
	for i, l := range m.Layers {
		if want := media(files[i].Name); l.MediaType != want || l.Annotations["org.cncf.model.filepath"] != files[i].Name || l.Annotations["org.opencontainers.image.title"] != files[i].Name {
			t.Errorf("%s: %+v", files[i].Name, l)
		}
	}
}

// TestMedia: which kind of layer a file becomes.
func TestMedia(t *testing.T) {
	for name, want := range map[string]string{
		"model-00001-of-00002.safetensors": weightMedia, "m.gguf": weightMedia, "config.json": settingsMedia, "tokenizer.model": settingsMedia,
		"README.md": docMedia, "LICENSE": docMedia, "modeling_x.py": codeMedia, "model.safetensors.index.json": settingsMedia, "wreg-receipt.json": settingsMedia,
	} {
		if got := media(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// large is ten chunks of 100 bytes, and five bytes.
var large = bytes.Repeat([]byte("0123456789abcde"), 67)

// TestGoesOn: an upload that breaks goes on where the registry is, or begins anew, in this process and in another.
func TestGoesOn(t *testing.T) {
	var n int
	cut := func(_ http.ResponseWriter, q *http.Request, _ int64) bool {
		if q.Method == http.MethodPatch {
			if n++; n == 4 {
				panic(http.ErrAbortHandler)
			}
		}
		return false
	}
	for what, c := range map[string]struct {
		chunk   func(w http.ResponseWriter, q *http.Request, have int64) bool
		lost    func(q *http.Request) bool
		patches int // that were sent, with those that failed
		begun   int
	}{
		"whole": {nil, nil, 10, 1},
		"cut":   {cut, nil, 11, 1},
		"taken, the answer lost": {nil, func(q *http.Request) bool {
			if q.Method == http.MethodPatch {
				n++
			}
			return q.Method == http.MethodPatch && n == 4
		}, 10, 1},
		"answered and refused": {func(w http.ResponseWriter, q *http.Request, _ int64) bool {
			if q.Method == http.MethodPatch {
				if n++; n == 4 {
					w.WriteHeader(http.StatusInternalServerError)
					return true
				}
			}
			return false
		}, nil, 11, 1},
		"forgotten": {func(w http.ResponseWriter, q *http.Request, have int64) bool {
			if q.Method == http.MethodPatch && have == 300 {
				n++
			}
			if n == 1 && q.Method != http.MethodPost {
				n = 1
				if q.Method == http.MethodGet {
					n = 2
				}
				w.WriteHeader(http.StatusNotFound)
				return true
			}
			return false
		}, nil, 14, 2},
	} {
		t.Run(what, func(t *testing.T) {
			n = 0
			r := start(t)
			r.Chunk, r.Lost = c.chunk, c.lost
			var moved atomic.Int64
			f := file("a.gguf", large)
			err := target(t, r, 100).Put(t.Context(), f, bytes.NewReader(large), func(n int64) { moved.Add(n) })
			if err != nil || moved.Load() != f.Size || !bytes.Equal(r.Blob(digestOf(f)), large) {
				t.Fatalf("%v, %d bytes moved", err, moved.Load())
			}
			patches, begun := 0, 0
			for _, asked := range r.Asked() {
				if strings.HasPrefix(asked, "PATCH") {
					patches++
				} else if strings.HasPrefix(asked, "POST") {
					begun++
				}
			}
			if patches != c.patches || begun != c.begun {
				t.Errorf("%d chunks, %d uploads begun; want %d, %d", patches, begun, c.patches, c.begun)
			}
		})
	}
	t.Run("another process", func(t *testing.T) {
		r := start(t)
		f := file("a.gguf", large)
		ctx, cancel := context.WithCancel(t.Context())
		sent := 0
		err := target(t, r, 100).Put(ctx, f, bytes.NewReader(large), func(int64) {
			if sent++; sent == 4 {
				cancel()
			}
		})
		if err == nil {
			t.Fatal("not interrupted")
		}
		r.Asked()
		var moved atomic.Int64
		from := &counted{Reader: bytes.NewReader(large)}
		if err := target(t, r, 100).Put(t.Context(), f, from, func(n int64) { moved.Add(n) }); err != nil || moved.Load() != f.Size || !bytes.Equal(r.Blob(digestOf(f)), large) {
			t.Fatalf("%v, %d bytes moved", err, moved.Load())
		}
		if from.n != f.Size-400 {
			t.Errorf("%d bytes were sent again of %d, with 400 there", from.n, f.Size)
		}
		if asked := r.Asked(); slices.Contains(asked, "POST /v2/team/model/blobs/uploads/") {
			t.Errorf("begun anew: %v", asked)
		}
		notes, err := filepath.Glob(filepath.Join(os.Getenv("XDG_CACHE_HOME"), "wreg", "uploads", "*", "*"))
		if err != nil || len(notes) > 0 {
			t.Errorf("left behind: %v, %v", notes, err)
		}
	})
}

type counted struct {
	*bytes.Reader
	n int64
}

func (c *counted) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.Reader.ReadAt(p, off)
	c.n += int64(n)
	return n, err
}

// TestRefused: what a registry says no to, and what is not as it should be.
func TestRefused(t *testing.T) {
	f := file("a.gguf", large)
	put := func(r *ocitest.Registry, f push.File, from io.ReaderAt) error {
		return target(t, r, 100).Put(t.Context(), f, from, func(int64) {})
	}
	answer := func(method string, status int, header ...string) func(w http.ResponseWriter, q *http.Request) bool {
		return func(w http.ResponseWriter, q *http.Request) bool {
			if q.Method != method {
				return false
			}
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(status)
			return true
		}
	}
	other := bytes.Replace(large, []byte("0"), []byte("1"), 1)
	for want, c := range map[string]struct {
		change func(w http.ResponseWriter, q *http.Request) bool
		from   []byte
	}{
		"the upload goes on at \"http://example.com/x\", which is not the registry":                    {answer("POST", 202, "Location", "http://example.com/x"), large},
		"does not say where to upload to":                                                              {answer("POST", 202), large},
		"the registry wants chunks of 99999999 bytes":                                                  {answer("POST", 202, "Location", "/x", "OCI-Chunk-Min-Length", "99999999"), large},
		"100 bytes were sent, and the registry says that it has 0-50":                                  {answer("PATCH", 202, "Range", "0-50"), large},
		"what the registry got of it has not the SHA-256 " + f.SHA256 + ": the file changed meanwhile": {nil, other},
		"the registry took it for \"sha256:0\"":                                                        {answer("PUT", 201, "Docker-Content-Digest", "sha256:0"), large},
		"the registry took it, and does not have it by its digest":                                     {answer("PUT", 201), large},
		"the registry has " + digestOf(f) + " with 7 bytes, and the file has 1005":                     {answer("HEAD", 200, "Content-Length", "7"), large},
		"does not let you have it, or has no team/model; if it is private type: docker login":          {answer("POST", 401), large},
	} {
		r := start(t)
		r.Change = c.change
		if err := put(r, f, bytes.NewReader(c.from)); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "a.gguf: ") {
			t.Errorf("%v, want %q", err, want)
		}
	}
	r := start(t)
	if err := put(r, f, bytes.NewReader(other)); err == nil {
		t.Error("other bytes were taken")
	}
	if begun := slices.DeleteFunc(r.Asked(), func(asked string) bool { return !strings.HasPrefix(asked, "POST") }); len(begun) != maxBegun {
		t.Errorf("begun %d times, want %d", len(begun), maxBegun)
	}
	r = start(t)
	r.Push(large)
	r.Change = func(w http.ResponseWriter, q *http.Request) bool {
		no := q.Method == http.MethodPut && strings.Contains(q.URL.Path, "/manifests/sha256:")
		if no {
			w.WriteHeader(http.StatusBadRequest)
		}
		return no
	}
	if _, err := target(t, r, 100).Commit(t.Context(), []push.File{f}); err == nil || r.Manifest("team/model", "v1") != nil {
		t.Errorf("the tag leads to a manifest that was refused: %v", err)
	}
	r = start(t)
	if _, err := target(t, r, 100).Commit(t.Context(), []push.File{f}); err == nil || !strings.Contains(err.Error(), "MANIFEST_BLOB_UNKNOWN") || r.Manifest("team/model", "v1") != nil {
		t.Error(err)
	}
	for address, want := range map[string]string{
		"oci://ghcr.io/m@" + digestOf(f): "a digest names what is there already", "oci://ghcr.io/m:v1/x": "an artifact is published whole", "oci://ghcr.io": "no HOST/NAME",
	} {
		if err := Check(address); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", address, err, want)
		}
	}
}
