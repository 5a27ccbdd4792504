package remote

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"wreg/ingest/remote/hubtest"
)

// noWait does not sleep: what it was asked for is in events.
func noWait(ctx context.Context, _ time.Duration) error { return ctx.Err() }

func random(n int) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(1, uint64(n)))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

const token = "the-token"

// startHub serves acme/tiny with a large and a small file.
func startHub(t *testing.T, large []byte, faults ...string) *hubtest.Hub {
	t.Helper()
	o := hubtest.Options{Token: token, Repos: map[string]fs.FS{"acme/tiny": fstest.MapFS{
		"model.safetensors": {Data: large}, "config.json": {Data: []byte(`{"model_type":"llama"}`)},
	}}}
	for _, spec := range faults {
		f, err := hubtest.Parse(spec)
		if err != nil {
			t.Fatal(err)
		}
		o.Faults = append(o.Faults, f)
	}
	h, err := hubtest.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		h.Close()
		if n := h.Leaks(); n != 0 {
			t.Errorf("%d tokens leaked", n)
		}
	})
	return h
}

// client has the token for the hub alone.
func client(t *testing.T, h *hubtest.Hub, p Patience) *Client {
	t.Helper()
	c := New(Options{Sleep: noWait, Patience: p, Token: func(origin string) string {
		if origin == h.URL {
			return token
		}
		return ""
	}})
	t.Cleanup(c.Close)
	return c
}

func source(h *hubtest.Hub, name string, size int) Source {
	return Source{Name: name, URL: h.Resolve("acme/tiny", "main", name), Size: int64(size), SHA256: h.SHA256("acme/tiny", name),
		Check: func(first http.Header) error {
			if s := first.Get("X-Linked-Size"); s != "" && strings.HasPrefix(s, "30000") && s != "300000" {
				return errors.New("listed with another size: " + s)
			}
			return nil
		}}
}

// Each row of the table of errors: a fault, and what comes of it.
func TestFaults(t *testing.T) {
	data, long := random(300_000), random(StreamBytes+5000)
	brief := Patience{Tries: 3, Silence: 300 * time.Millisecond, Slow: 100 * time.Millisecond}
	for _, c := range []struct {
		fault string
		file  string // "": model.safetensors; long: one of two ranges
		want  string // of the error; "" when the bytes are right
	}{
		{"drop:first=2", "", ""},
		{"drop", "", "after 3 tries: the connection ended before the answer did; check the network"},
		{"reset:port=cdn,first=2", "", ""},
		{"short:port=cdn,first=2", "", ""},
		{"short:port=cdn,bytes=10", "", "after 3 tries: the connection ended before"},
		{"stall:port=cdn,first=1", "", ""},
		{"stall:port=cdn,bytes=10", "", "no byte for"},
		{"hang:first=1", "", ""},
		{"hang:port=cdn", "", "no byte for"},
		{"slow:port=cdn,secs=0.01", "", "bytes in"},
		{"s408:first=2", "", ""},
		{"s429:first=2", "", ""},
		{"s429date:first=1", "", ""},
		{"s429", "", "429 Too Many Requests; the limit resets in 1s; run it again later"},
		{"s429:secs=3000", "", "the limit resets in 50m0s"},
		{"s500:first=1", "", ""},
		{"s502:first=1,port=cdn", "", ""},
		{"s503:first=2,port=cdn", "", ""},
		{"s504:first=1", "", ""},
		{"s503", "", "503 Service Unavailable; the server is overloaded"},
		{"s403:port=hub", "", "403 Forbidden"},
		{"s404:port=hub", "", "404 Not Found"},
		{"expired:first=2", "", ""},
		{"expired", "", "its own signed addresses"},
		{"s404:port=cdn,first=1", "", ""},
		{"full200:port=cdn,first=1", "", ""},
		{"full200:port=cdn", "", ""},
		{"full200:port=cdn", "long", "the server ignores ranges: bytes 8388608 to 8393607 were asked for"},
		{"full200", "config.json", ""},
		{"wrong-range:port=cdn,first=1", "", ""},
		{"wrong-range:port=cdn", "", "bytes 0 to 131071 were asked for, bytes 1 to 131072 are answered"},
		{"wrong-total:port=cdn", "", "the file changed: it had 300000 bytes, it has 300001"},
		{"multipart:port=cdn,first=1", "", ""},
		{"multipart:port=cdn", "", "multipart/byteranges"},
		{"gzip:port=cdn,first=1", "", ""},
		{"gzip:port=cdn", "", "Content-Encoding: gzip"},
		{"gzip206:port=cdn", "", "Content-Encoding: gzip"},
		{"chunked:port=cdn", "", ""},
		{"chunked", "config.json", ""},
		{"size:port=hub", "", "listed with another size: 300001"},
		{"changed:port=cdn,skip=1", "long", "the file changed"},
		{"s416:port=cdn", "", "the file changed: it does not reach to bytes"},
		{"lying-range:port=cdn,first=1", "", ""},
		{"lying-range:port=cdn", "long", "declared is"},
		{"changed-silent:port=cdn,skip=1", "long", "declared is"},
		{"changed-silent:port=cdn,skip=1,first=1", "long", ""},
		{"offhost", "", ""},
		{"offhost-bad:port=hub", "", "declared is"},
		{"loop", "", "it leads back to itself"},
		{"nowhere", "", "it does not say where to"},
		{"tofile:port=cdn", "", "neither http nor https"},
		{"html:port=cdn,first=1", "", ""},
		{"html:port=cdn", "", "a web page instead of the file"},
		{"pointer", "", "the file changed: it had 300000 bytes, it has 131"},
		{"noetag", "", ""},
		{"nocommit", "", ""},
	} {
		t.Run(c.fault+" "+c.file, func(t *testing.T) {
			t.Parallel()
			name, want := "model.safetensors", data
			if c.file == "long" {
				want = long
			}
			h := startHub(t, want, c.fault)
			if c.file == "config.json" {
				name, want = c.file, []byte(`{"model_type":"llama"}`)
			}
			f := client(t, h, brief).Open(t.Context(), source(h, name, len(want)))
			defer f.Close()
			err := readAll(f, want)
			if c.want == "" && err != nil {
				t.Errorf("%v", err)
			} else if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v, want: %s", err, c.want)
			}
			if err != nil && !strings.Contains(err.Error(), name) {
				t.Errorf("the error does not name the file: %v", err)
			}
		})
	}
}

var errWrong = errors.New("wrong bytes were given out as right")

// readAll reads a file from front to back, and compares what is taken for right.
func readAll(f *File, want []byte) error {
	var got bytes.Buffer
	err := f.Verified(context.Background(), 4, func(r io.Reader) error {
		got.Reset()
		_, err := io.CopyN(&got, r, int64(len(want)))
		return err
	})
	if err == nil && !bytes.Equal(got.Bytes(), want) {
		return errWrong
	}
	return err
}

// What two ranges brought of a file, by ReadAt, is the file.
func TestReadAtByPieces(t *testing.T) {
	data := random(1_000_000)
	for _, fault := range []string{"nocommit", "short:port=cdn,first=3", "reset:port=cdn,every=2", "expired:every=3", "noetag"} {
		h := startHub(t, data, fault)
		f := client(t, h, Patience{}).Open(t.Context(), Source{Name: "m", URL: h.Resolve("acme/tiny", "main", "model.safetensors"), Size: -1})
		rng := rand.New(rand.NewPCG(3, 4))
		for range 40 {
			off, n := rng.IntN(len(data)+10), rng.IntN(1<<rng.IntN(19)+1)
			p := make([]byte, n)
			k, err := f.ReadAt(p, int64(off))
			want := data[min(off, len(data)):min(off+n, len(data))]
			if !bytes.Equal(p[:k], want) || (k < n) != (err == io.EOF) || k == n && err != nil {
				t.Fatalf("%s: ReadAt(%d bytes, %d): %d bytes, %v", fault, n, off, k, err)
			}
		}
		f.Close()
	}
}

// A file that is read in small steps costs a few ranges, each four times the one before.
func TestSmallStepsGrow(t *testing.T) {
	data := random(9 << 20)
	h := startHub(t, data)
	f := client(t, h, Patience{}).Open(t.Context(), source(h, "model.safetensors", len(data)))
	for off := 0; off < 8<<20; off += 32 << 10 {
		p := make([]byte, 32<<10)
		if _, err := f.ReadAt(p, int64(off)); err != nil || !bytes.Equal(p, data[off:off+len(p)]) {
			t.Fatal(off, err)
		}
	}
	if n := ranges(h); n > 4 {
		t.Errorf("%d ranges, want 4 at most", n)
	}
	h.Forget()
	for _, off := range []int{len(data) - 22, len(data) - 4096, len(data) - 70_000} { // as a zip is read
		p := make([]byte, 20)
		if _, err := f.ReadAt(p, int64(off)); err != nil || !bytes.Equal(p, data[off:off+len(p)]) {
			t.Fatal(off, err)
		}
	}
	if n := ranges(h); n > 1 {
		t.Errorf("%d ranges for the tail, want 1", n)
	}
}

// ranges counts the requests that the CDN got.
func ranges(h *hubtest.Hub) (n int) {
	for _, e := range h.Log() {
		if e.Port == "cdn" {
			n++
		}
	}
	return n
}

// A signed URL is asked for once, and used by all ranges of a file.
func TestSignedURLIsKept(t *testing.T) {
	data := random(40 << 20)
	h := startHub(t, data)
	f := client(t, h, Patience{}).Open(t.Context(), source(h, "model.safetensors", len(data)))
	if err := readAll(f, data); err != nil {
		t.Fatal(err)
	}
	if all, cdn := len(h.Log()), ranges(h); cdn != 5 && cdn != 6 || all != cdn+1 {
		t.Errorf("%d requests, %d of them to the CDN", all, cdn)
	}
}

func TestMain(m *testing.M) {
	for _, k := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"} {
		os.Unsetenv(k)
	}
	os.Exit(m.Run())
}
