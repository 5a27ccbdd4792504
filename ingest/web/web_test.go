package web

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"wreg/ingest"
	"wreg/ingest/remote"
	"wreg/registry/tensor"
)

const (
	fixtures = "../testdata/fixtures"
	secret   = "Signature=5ecret"
)

// server serves the fixtures to who knows the secret, and sees what it is sent.
type server struct {
	*httptest.Server
	etag   atomic.Value
	answer atomic.Value // an http.HandlerFunc in place of files
	sent   atomic.Value // headers of the last request
	asked  atomic.Int64
}

func serve(t *testing.T) (*server, *remote.Client) {
	t.Helper()
	t.Setenv("HF_TOKEN", "hf_token")
	s := &server{}
	s.etag.Store(`"one"`)
	s.answer.Store(http.HandlerFunc(nil))
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		s.sent.Store(r.Header.Clone())
		if h := s.answer.Load().(http.HandlerFunc); h != nil {
			h(w, r)
			return
		}
		if r.URL.RawQuery != secret {
			http.Error(w, "<Error>AccessDenied</Error>", http.StatusForbidden)
			return
		}
		data, err := os.ReadFile(filepath.Join(fixtures, filepath.Clean(r.URL.Path)))
		if err != nil {
			http.NotFound(w, r)
			return
		}
		var when time.Time
		switch tag := s.etag.Load().(string); tag {
		case "":
		case "modified":
			when = time.Unix(1e9, 0)
		default:
			w.Header().Set("ETag", tag)
		}
		http.ServeContent(w, r, "", when, strings.NewReader(string(data)))
	}))
	t.Cleanup(s.Close)
	c := remote.New(remote.Options{Transport: s.Client().Transport, Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }})
	return s, c
}

// TestIngest reads files of each format as from disk: no token is sent, and nothing that is kept or told has the
// secret.
func TestIngest(t *testing.T) {
	s, c := serve(t)
	for _, name := range []string{"mlx/model.safetensors", "gguf/" + one(t, "gguf/*.gguf"), "zip/" + one(t, "zip/*.pt"), "numpy/" + one(t, "numpy/*.npz")} {
		want, err := ingest.Open(t.Context(), filepath.Join(fixtures, name), ingest.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer want.Close()
		p, err := Open(t.Context(), c, s.URL+"/"+name+"?"+secret)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ingest.OpenPlace(t.Context(), p, ingest.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer got.Close()
		if !slices.EqualFunc(got.Tensors(), want.Tensors(), func(a, b tensor.Info) bool {
			return a.Path == b.Path && a.Offset == b.Offset && a.DType == b.DType && slices.Equal(a.Shape, b.Shape)
		}) {
			t.Errorf("%s: other tensors", name)
		}
		info, err := os.Stat(filepath.Join(fixtures, name))
		if err != nil {
			t.Fatal(err)
		}
		if pin := got.Path(); pin != fmt.Sprintf("%s/%s#etag=%%22one%%22&size=%d", s.URL, name, info.Size()) || ModelName(pin) != strings.TrimSuffix(filepath.Base(name), filepath.Ext(name)) {
			t.Errorf("pin %s, model %s", pin, ModelName(pin))
		}
		if sent := s.sent.Load().(http.Header); sent.Get("Authorization") != "" || sent.Get("Cookie") != "" || sent.Get("Referer") != "" {
			t.Error(sent)
		}
	}
}

func one(t *testing.T, pattern string) string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(fixtures, pattern))
	if err != nil || len(list) == 0 {
		t.Fatal(pattern, err)
	}
	return filepath.Base(list[0])
}

// TestPin: what is opened by its pin is the same file, by size and validator, or it is refused; one that asks for
// it has made one request.
func TestPin(t *testing.T) {
	s, c := serve(t)
	address := s.URL + "/mlx/model.safetensors?" + secret
	for _, tag := range []string{`"one"`, `W/"weak"`, "modified", ""} {
		s.etag.Store(tag)
		before := s.asked.Load()
		p, err := Open(t.Context(), c, address)
		if err != nil {
			t.Fatal(err)
		}
		if n := s.asked.Load() - before; n != 1 {
			t.Errorf("%s: %d requests", tag, n)
		}
		_, mark, _ := strings.Cut(p.Pin(), "#")
		again, err := Open(t.Context(), c, address+"#"+mark)
		if err != nil || again.Pin() != p.Pin() {
			t.Fatalf("%s: %v", tag, err)
		}
		for _, p := range []interface{ Close() error }{p, again} {
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		}
		s.etag.Store(`"two"`)
		_, err = Open(t.Context(), c, address+"#"+mark)
		if !errors.Is(err, remote.ErrChanged) || strings.Contains(err.Error(), secret) || !strings.Contains(err.Error(), `("\"two\""), it was`) {
			t.Errorf("%s: %v", tag, err)
		}
	}
	// A file that is opened twice is asked for twice, and stays open when the place is closed.
	p, err := Open(t.Context(), c, address)
	if err != nil {
		t.Fatal(err)
	}
	a, errA := p.Open(t.Context(), "model.safetensors")
	b, errB := p.Open(t.Context(), "model.safetensors")
	if err := errors.Join(errA, errB, a.Close(), p.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.ReadAt(make([]byte, 8), 0); err != nil {
		t.Error(err)
	}
	if _, err := p.Open(t.Context(), "config.json"); !errors.Is(err, fs.ErrNotExist) || strings.Contains(err.Error(), secret) {
		t.Error(err)
	}
}

// TestRefused: whatever goes wrong, the error names the address without what may be secret.
func TestRefused(t *testing.T) {
	s, c := serve(t)
	redirect := func(to string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) }
	}
	for what, k := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"403":     {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }, "403 Forbidden; no token is sent there: give a presigned address"},
		"404":     {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }, "there is no such file"},
		"503":     {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }, "after 6 tries: "},
		"loop":    {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.String(), http.StatusFound) }, "leads back to itself"},
		"to http": {redirect("http://example.com/m.gguf?" + secret), "from https to http"},
		"cut": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9")
			w.WriteHeader(http.StatusOK)
		}, "ended before"},
		"no size": {func(w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush() }, "does not say how large"},
	} {
		s.answer.Store(k.answer)
		_, err := Open(t.Context(), c, s.URL+"/m.gguf?"+secret)
		if err == nil || strings.Contains(err.Error(), "5ecret") || !strings.HasPrefix(err.Error(), s.URL+"/m.gguf: ") || !strings.Contains(err.Error(), k.want) {
			t.Errorf("%s: %v, want %q", what, err, k.want)
		}
	}
	plain := httptest.NewServer(redirect("http://example.com/m.gguf?" + secret))
	defer plain.Close()
	if _, err := Open(t.Context(), remote.New(remote.Options{Transport: nowhere{}}), plain.URL+"/m.gguf"); err == nil || !strings.Contains(err.Error(), `leads to http at "example.com"`) {
		t.Error(err)
	}
	for address, want := range map[string]string{
		"http://example.com/m.gguf?" + secret:                       "http is read on this machine only",
		"http://localhost/m.gguf":                                   "",
		"http://127.1.2.3:80/m.gguf":                                "",
		"http://[::1]:80/m.gguf":                                    "",
		"HTTPS://example.com/m.gguf":                                "",
		"https://example.com/a%2Fb/m.safetensors?" + secret:         "",
		"https://me:5ecret@example.com/m.gguf":                      "not sent",
		"https:///m.gguf":                                           "not an address",
		"https://example.com/%zz?" + secret:                         "not an address",
		"https://example.com/model.safetensors.index.json?x=5ecret": "an index",
		"https://example.com/":                                      "names no file of weights",
		"https://example.com/optimizer.bin":                         "names no file of weights",
		"https://example.com/" + strings.Repeat("x", maxAddress):    "more than",
	} {
		err := Check(address)
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "5ecret")) {
			t.Errorf("%.60s: %v, want %q", address, err, want)
		}
	}
}

// nowhere answers what is asked of this machine, and fails the test's network elsewhere.
type nowhere struct{}

func (nowhere) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Hostname() != "127.0.0.1" {
		w := httptest.NewRecorder()
		w.Header().Set("Content-Range", "bytes 0-3/4")
		w.WriteHeader(http.StatusPartialContent)
		w.WriteString("GGUF")
		return w.Result(), nil
	}
	return http.DefaultTransport.RoundTrip(r)
}
