package oci

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"wreg/ingest"
	"wreg/ingest/artifact"
	"wreg/ingest/oci/ocitest"
	"wreg/ingest/place"
	"wreg/ingest/remote"
)

func start(t *testing.T) *ocitest.Registry {
	r := ocitest.Start()
	t.Cleanup(r.Stop)
	dir := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", filepath.Join(dir, "cache"))
	t.Setenv("DOCKER_CONFIG", filepath.Join(dir, "docker"))
	return r
}

func open(t *testing.T, address string) (place.Place, error) {
	t.Helper()
	n, err := Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	c := Connect(remote.Options{UserAgent: "wreg-test", Sleep: func(context.Context, time.Duration) error { return nil }}, n, "pull")
	t.Cleanup(c.Close)
	return Open(t.Context(), c, address)
}

const fixtures = "../testdata/fixtures/"

// layers are a folder as layers of one kind.
func layers(t *testing.T, r *ocitest.Registry, dir string, pack func(name string, data []byte) (artifact.Layer, []byte)) *artifact.Manifest {
	t.Helper()
	m := &artifact.Manifest{SchemaVersion: 2, ArtifactType: "application/vnd.cncf.model.manifest.v1+json"}
	list, err := os.ReadDir(fixtures + dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		data, err := os.ReadFile(filepath.Join(fixtures+dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		l, data := pack(e.Name(), data)
		l.Digest, l.Size = r.Push(data), int64(len(data))
		m.Layers = append(m.Layers, l)
	}
	return m
}

func modelPack(name string, data []byte) (artifact.Layer, []byte) {
	return artifact.Layer{MediaType: "application/vnd.cncf.model.weight.v1.raw", Annotations: map[string]string{"org.cncf.model.filepath": name}}, data
}

func kitOps(name string, data []byte) (artifact.Layer, []byte) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "./" + name, Size: int64(len(data)), Mode: 0o644, Typeflag: tar.TypeReg}); err != nil {
		panic(err)
	}
	if _, err := w.Write(data); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return artifact.Layer{MediaType: "application/vnd.kitops.modelkit.modelpart.v1.tar"}, b.Bytes()
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

// TestSameRows: an artifact is read as the folder that it was made of, whoever packed it, wherever its blobs are.
func TestSameRows(t *testing.T) {
	for _, away := range []bool{false, true} {
		for _, dir := range []string{"sharded_safetensors", "gguf", "mlx", "numpy"} {
			r := start(t)
			r.Away, r.Login = away, "me:secret"
			config(t, r, "me:secret")
			c, err := ingest.Open(t.Context(), fixtures+dir, ingest.Options{})
			if err != nil {
				continue // several models
			}
			want := rows(t, c, nil)
			for tag, pack := range map[string]func(string, []byte) (artifact.Layer, []byte){"raw": modelPack, "tar": kitOps} {
				digest := r.Tag("team/model", tag, layers(t, r, dir, pack))
				address := Scheme + r.Host() + "/team/model:" + tag
				p, err := open(t, address)
				if err != nil {
					t.Fatal(err)
				}
				if pin := address + "@" + digest; p.Pin() != pin {
					t.Errorf("pin %s, want %s", p.Pin(), pin)
				}
				c, err := ingest.OpenPlace(t.Context(), p, ingest.Options{})
				if got := rows(t, c, err); !slices.Equal(got, want) {
					t.Errorf("%s as %s: %v, want %v", dir, tag, got, want)
				}
			}
			if leaks := r.Leaks(); len(leaks) > 0 {
				t.Errorf("a login went to %v", leaks)
			}
		}
	}
}

// config writes a docker configuration with a login for the registry.
func config(t *testing.T, r *ocitest.Registry, login string) {
	t.Helper()
	file := filepath.Join(os.Getenv("DOCKER_CONFIG"), "config.json")
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, r.Host(), base64.StdEncoding.EncodeToString([]byte(login)))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// large is a layer that is not read whole.
func large() []byte { return bytes.Repeat([]byte("GGUF...."), 64<<10) }

// TestReads: only what is wanted is asked for, each range once; the login is asked for once.
func TestReads(t *testing.T) {
	r := start(t)
	r.Login = "me:secret"
	config(t, r, "me:secret")
	data := large()
	m := &artifact.Manifest{SchemaVersion: 2, Layers: []artifact.Layer{{MediaType: "application/vnd.docker.ai.gguf.v3", Digest: r.Push(data), Size: int64(len(data))}}}
	r.Tag("a", "latest", m)
	p, err := open(t, Scheme+r.Host()+"/a")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := r.Asked(), []string{"GET /v2/a/manifests/latest", "GET /token", "GET /v2/a/manifests/latest"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	b, err := p.Open(t.Context(), "model.gguf")
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if info, err := b.Stat(); err != nil || info.Size != int64(len(data)) || info.Name != "model.gguf" || info.Digest != m.Layers[0].Digest {
		t.Errorf("%+v, %v", info, err)
	}
	part := make([]byte, 100)
	if _, err := b.ReadAt(part, 200_003); err != nil || !bytes.Equal(part, data[200_003:200_103]) {
		t.Errorf("%q, %v", part, err)
	}
	if got, want := r.Asked(), []string{"GET /v2/a/blobs/" + m.Layers[0].Digest}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if list, err := p.List(t.Context()); err != nil || len(list) != 1 || list[0] != (place.Entry{Name: "model.gguf", Size: int64(len(data)), Digest: m.Layers[0].Digest}) {
		t.Errorf("%+v, %v", list, err)
	}
}

// TestNoLoginElsewhere: a store of blobs that asks for a login gets none, though docker has one for it.
func TestNoLoginElsewhere(t *testing.T) {
	r := start(t)
	r.Away, r.Login, r.Asks = true, "me:secret", `Basic realm="store"`
	dir := os.Getenv("DOCKER_CONFIG")
	login := base64.StdEncoding.EncodeToString([]byte("me:secret"))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(`{"auths":{%q:{"auth":%q},%q:{"auth":%q}}}`, r.Host(), login, strings.TrimPrefix(r.Store.URL, "http://"), login)
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, data := range [][]byte{[]byte("GGUF"), large()} {
		r.Tag("a", "latest", &artifact.Manifest{SchemaVersion: 2, Layers: []artifact.Layer{{MediaType: "application/vnd.docker.ai.gguf.v3", Digest: r.Push(data), Size: int64(len(data))}}})
		p, err := open(t, Scheme+r.Host()+"/a")
		if err != nil {
			t.Fatal(err)
		}
		b, err := p.Open(t.Context(), "model.gguf")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.ReadAt(make([]byte, 4), 0); err == nil || !strings.Contains(err.Error(), "401 Unauthorized") {
			t.Error(err)
		}
		b.Close()
	}
	if leaks := r.Leaks(); len(leaks) > 0 {
		t.Errorf("a login went to %v", leaks)
	}
}

// TestBasic: a registry that takes name and password itself gets them, and nobody else does.
func TestBasic(t *testing.T) {
	r := start(t)
	r.Away = true
	config(t, r, "me:secret")
	r.Change = func(w http.ResponseWriter, q *http.Request) bool {
		if user, password, _ := q.BasicAuth(); user == "me" && password == "secret" {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
	data := large()
	r.Tag("a", "latest", &artifact.Manifest{SchemaVersion: 2, Layers: []artifact.Layer{{MediaType: "application/vnd.docker.ai.gguf.v3", Digest: r.Push(data), Size: int64(len(data))}}})
	p, err := open(t, Scheme+r.Host()+"/a")
	if err != nil {
		t.Fatal(err)
	}
	b, err := p.Open(t.Context(), "model.gguf")
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for _, afresh := range []bool{false, true} { // by other connections, too
		s := b.(place.Streamer).Stream(t.Context(), 8, afresh)
		got, err := io.ReadAll(s)
		if err != nil || !bytes.Equal(got, data[8:]) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if leaks := r.Leaks(); len(leaks) > 0 {
		t.Errorf("a login went to %v", leaks)
	}
}

// TestRefused: every refusal is a sentence with what to do.
func TestRefused(t *testing.T) {
	r := start(t)
	one := &artifact.Manifest{SchemaVersion: 2, Layers: []artifact.Layer{{MediaType: "application/vnd.docker.ai.gguf.v3", Digest: r.Push([]byte("GGUF")), Size: 4}}}
	digest := r.Tag("team/model", "v1", one)
	r.Tag("team/model", "many", artifact.Manifest{SchemaVersion: 2, Manifests: []artifact.Layer{{Digest: digest}, {Digest: ocitest.Digest(nil)}}})
	r.Tag("team/model", "one", artifact.Manifest{SchemaVersion: 2, Manifests: []artifact.Layer{{Digest: digest}}})
	r.Tag("team/model", "packed", artifact.Manifest{SchemaVersion: 2, Layers: []artifact.Layer{{MediaType: "application/vnd.cncf.model.weight.v1.tar+gzip", Digest: digest}}})
	r.Tag("team/model", "lost", artifact.Manifest{SchemaVersion: 2, Layers: []artifact.Layer{{MediaType: "application/vnd.docker.ai.gguf.v3", Digest: digest, Size: 4}}})
	r.Tag("team/model", "short", artifact.Manifest{SchemaVersion: 2, Layers: []artifact.Layer{{MediaType: "application/vnd.docker.ai.gguf.v3", Digest: one.Layers[0].Digest, Size: 5}}})
	for address, want := range map[string]string{
		"team/model:v2":                     `there is no ` + r.Host() + `/team/model:v2; did you mean "v1"? (HTTP 404)`,
		"team/other":                        "has no repository team/other, or nothing in it (HTTP 404)",
		"team/model:many":                   "several artifacts go by this name: name one by its digest, @" + digest + " or @sha256:",
		"team/model:packed":                 "is compressed, so that no part of it can be read alone",
		"team/model@" + ocitest.Digest(nil): "there is no such manifest in it any more",
		"team/model:v1/other.gguf":          `other.gguf: file does not exist in it; there is "model.gguf"`,
	} {
		if p, err := open(t, Scheme+r.Host()+"/"+address); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v; want %q", address, p, err, want)
		}
	}
	if p, err := open(t, Scheme+r.Host()+"/team/model:one"); err != nil || !strings.HasSuffix(p.Pin(), ":one@"+digest) {
		t.Errorf("an index of one: %v, %v", p, err)
	}
	for tag, want := range map[string]string{"lost": "no longer has a blob that its manifest names; push the artifact again", "short": "4 bytes came, and the manifest says 5"} {
		p, err := open(t, Scheme+r.Host()+"/team/model:"+tag)
		if err != nil {
			t.Fatal(err)
		}
		b, err := p.Open(t.Context(), "model.gguf")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.ReadAt(make([]byte, 4), 0); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", tag, err, want)
		}
		b.Close()
	}

	r.Login = "me:secret"
	for _, login := range []string{"", "me:wrong"} {
		if login != "" {
			config(t, r, login)
		}
		r.Asked()
		want := "does not let you have it, or has no team/model"
		if _, err := open(t, Scheme+r.Host()+"/team/model:v1"); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "type: docker login "+r.Host()) {
			t.Errorf("%v, want %q", err, want)
		}
		if asked := r.Asked(); len(asked) != 2 { // the manifest, a token
			t.Errorf("a refused login was asked for again: %v", asked)
		}
	}
	r.Login = ""
	r.Change = func(w http.ResponseWriter, q *http.Request) bool {
		if strings.Contains(q.URL.Path, "/manifests/") {
			w.Write([]byte(`{"schemaVersion":2,"layers":[]}`))
			return true
		}
		return false
	}
	defer func() {
		r.Change = func(w http.ResponseWriter, q *http.Request) bool {
			if strings.Contains(q.URL.Path, "/blobs/") {
				w.Write([]byte("GGUG"))
				return true
			}
			return false
		}
		p, err := open(t, Scheme+r.Host()+"/team/model:v1")
		if err != nil {
			t.Fatal(err)
		}
		b, err := p.Open(t.Context(), "model.gguf")
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		if _, err := b.ReadAt(make([]byte, 4), 0); err == nil || !strings.Contains(err.Error(), "the bytes that came are not those that the manifest names") {
			t.Error(err)
		}
	}()
	if _, err := open(t, Scheme+r.Host()+"/team/model@"+digest); err == nil || !strings.Contains(err.Error(), "what lies between here and the registry changes it") {
		t.Error(err)
	}
}

// TestHelper: the program that docker's configuration names is asked for the login, and no other is run.
func TestHelper(t *testing.T) {
	r := start(t)
	r.Login = "me:secret"
	r.Tag("a", "latest", &artifact.Manifest{SchemaVersion: 2, Layers: []artifact.Layer{{MediaType: "application/vnd.docker.ai.gguf.v3", Digest: r.Push([]byte("GGUF")), Size: 4}}})
	dir := os.Getenv("DOCKER_CONFIG")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	count := filepath.Join(dir, "count")
	helper := "#!/bin/sh\necho \"$1 $(cat)\" >> '" + count + "'\necho '{\"Username\":\"me\",\"Secret\":\"secret\"}'\n"
	for name, text := range map[string]string{"docker-credential-mine": helper, "docker-credential-pass": "#!/bin/sh\ntouch '" + dir + "/other'\n", "config.json": fmt.Sprintf(`{"credHelpers":{%q:"mine"}}`, r.Host())} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	if _, err := open(t, Scheme+r.Host()+"/a"); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(count); err != nil || string(text) != "get "+r.Host()+"\n" {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := os.Stat(dir + "/other"); err == nil {
		t.Error("a program ran that the configuration does not name")
	}
	if err := os.WriteFile(filepath.Join(dir, "docker-credential-mine"), []byte("#!/bin/sh\necho no key chain; exit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, Scheme+r.Host()+"/a"); err == nil || !strings.Contains(err.Error(), "no key chain") || !strings.Contains(err.Error(), "docker login") {
		t.Error(err)
	}

	// A wrong login is refused each time, and the program asked once.
	if err := os.WriteFile(filepath.Join(dir, "docker-credential-mine"), []byte(strings.ReplaceAll(helper, "secret", "wrong")), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(count); err != nil {
		t.Fatal(err)
	}
	n, err := Parse(Scheme + r.Host() + "/a")
	if err != nil {
		t.Fatal(err)
	}
	c := Connect(remote.Options{}, n, "pull")
	defer c.Close()
	for range 2 {
		if _, err := Open(t.Context(), c, n.String()); err == nil {
			t.Error("a wrong login was taken")
		}
	}
	if text, err := os.ReadFile(count); err != nil || string(text) != "get "+r.Host()+"\n" {
		t.Errorf("%q, %v", text, err)
	}
}

// TestParse: how an artifact is named.
func TestParse(t *testing.T) {
	d := ocitest.Digest(nil)
	for address, want := range map[string]Name{
		"oci://ghcr.io/team/model":                {"ghcr.io", "team/model", "latest", "", ""},
		"OCI://ghcr.io/team/model:v1/":            {"ghcr.io", "team/model", "v1", "", ""},
		"oci://127.0.0.1:5000/m@" + d:             {"127.0.0.1:5000", "m", "", d, ""},
		"oci://ghcr.io/m:v1@" + d + "/sub/a.gguf": {"ghcr.io", "m", "v1", d, "sub/a.gguf"},
		"oci://ghcr.io/m:v1/sub":                  {"ghcr.io", "m", "v1", "", "sub"},
	} {
		got, err := Parse(address)
		if err != nil || got != want {
			t.Errorf("%s: %+v (%v), want %+v", address, got, err, want)
		}
		if again, err := Parse(got.String()); err != nil || again != got {
			t.Errorf("%s: %s names %+v (%v)", address, got, again, err)
		}
	}
	for address, want := range map[string]string{
		"oci://": "no HOST/NAME", "oci://ghcr.io": "no HOST/NAME", "oci:///m": "no HOST/NAME", "oci://ghcr.io/Team/m": "no name of a repository", "oci://ghcr.io/../m": "no name of a repository",
		"oci://ghcr.io/m:": "no tag", "oci://ghcr.io/m:a b": "no tag", "oci://ghcr.io/m@sha256:1": "no digest", "oci://me:pass@ghcr.io/m": "no host", "oci://ghcr.io#x/m": "no host",
		"oci://ghcr.io/m:v1/../x": "no path", "oci://ghcr.io/m:v1/a@" + d: "a path stands behind", "oci://ghcr.io/m?x": "no name of a repository", "oci://ghcr.io/" + strings.Repeat("x", 5000): "longer than",
	} {
		if got, err := Parse(address); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v; want %q", address, got, err, want)
		}
	}
	for host, want := range map[string]string{
		"ghcr.io": "https://ghcr.io", "127.0.0.1:5000": "http://127.0.0.1:5000", "localhost": "http://localhost", "LOCALHOST:1": "http://LOCALHOST:1", "[::1]:5000": "http://[::1]:5000", "10.0.0.1:5000": "https://10.0.0.1:5000",
		"localhost.example.com": "https://localhost.example.com", "127.0.0.1.nip.io": "https://127.0.0.1.nip.io", "docker.io": "https://registry-1.docker.io",
	} {
		if got := (Name{Host: host}).base(); got != want {
			t.Errorf("%s: %s, want %s", host, got, want)
		}
	}
	for address, want := range map[string]string{"oci://ghcr.io/team/model": "model", "oci://ghcr.io/team/model:7b@" + d: "model-7b", "oci://ghcr.io/model@" + d: "model", "oci://ghcr.io/model:a/b": "", "oci://": ""} {
		if got := Model(address); got != want {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
}
