package remote

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"wreg/ingest/remote/hubtest"
)

// writable is a hub that can be pushed to, and where it keeps what it gets.
func writable(t *testing.T, faults ...string) (h *hubtest.Hub, store string) {
	t.Helper()
	store = t.TempDir()
	o := hubtest.Options{Token: token, Store: store, Repos: map[string]fs.FS{"acme/tiny": fstest.MapFS{}}}
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
	return h, store
}

// placeFor asks where to send bytes.
func placeFor(t *testing.T, c *Client, h *hubtest.Hub, sum string, size int) string {
	t.Helper()
	body, _ := json.Marshal(map[string]any{"objects": []map[string]any{{"oid": sum, "size": size}}})
	var got struct {
		Objects []struct {
			Actions struct{ Upload struct{ Href string } }
		}
	}
	if _, err := c.JSON(t.Context(), Request{Method: http.MethodPost, URL: h.URL + "/acme/tiny.git/info/lfs/objects/batch", Body: body}, &got); err != nil {
		t.Fatal(err)
	}
	return got.Objects[0].Actions.Upload.Href
}

// A piece arrives whole, whatever happened on the way, or an error says what did; what was counted as moved is
// what counts.
func TestUpload(t *testing.T) {
	data := random(3 << 20)
	digest := sha256.Sum256(data)
	sum := hex.EncodeToString(digest[:])
	brief := Patience{Tries: 3, Silence: 300 * time.Millisecond}
	for _, c := range []struct{ fault, want string }{
		{"", ""},
		{"drop:port=cdn,first=2", ""},
		{"drop:port=cdn", "after 3 tries: "},
		{"s503:port=cdn,first=2", ""},
		{"s500:port=cdn", "answers 500"},
		{"s429:port=cdn,first=1", ""},
		{"hang:port=cdn,first=1", ""},
		{"hang:port=cdn", "no byte for"},
		{"expired:port=cdn", "answers 403"},
		{"s404:port=cdn", "answers 404"},
		{"loop:port=cdn", "back to itself"},
		{"gzip:port=cdn", "Content-Encoding"},
	} {
		t.Run(c.fault, func(t *testing.T) {
			var faults []string
			if c.fault != "" {
				faults = []string{c.fault}
			}
			h, store := writable(t, faults...)
			cl := client(t, h, brief)
			var moved atomic.Int64
			_, err := cl.Upload(t.Context(), Upload{Name: "model.safetensors", URL: placeFor(t, cl, h, sum, len(data)), From: bytes.NewReader(data), N: int64(len(data)),
				Moved: func(n int64) { moved.Add(n) }})
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "model.safetensors: ") {
					t.Errorf("%v, want %q", err, c.want)
				}
				if n := moved.Load(); n != 0 {
					t.Errorf("%d bytes are said to have moved", n)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(filepath.Join(store, "lfs", sum)); err != nil || !bytes.Equal(got, data) {
				t.Errorf("%d bytes arrived (%v), want %d", len(got), err, len(data))
			}
			if n := moved.Load(); n != int64(len(data)) {
				t.Errorf("%d bytes are said to have moved, want %d", n, len(data))
			}
		})
	}
}

type unreadable struct{ io.ReaderAt }

var errDisk = errors.New("the disk is broken")

func (unreadable) ReadAt([]byte, int64) (int, error) { return 0, errDisk }

// What cannot be read is not asked for again, and a file that became shorter is not sent as if it were whole.
func TestUploadSource(t *testing.T) {
	h, _ := writable(t)
	c := client(t, h, Patience{})
	for _, x := range []struct {
		from io.ReaderAt
		want error
	}{{unreadable{}, errDisk}, {strings.NewReader("short"), io.ErrUnexpectedEOF}} {
		_, err := c.Upload(t.Context(), Upload{Name: "f", URL: placeFor(t, c, h, strings.Repeat("a", 64), 4000), From: x.from, N: 4000})
		if !errors.Is(err, x.want) || strings.Contains(err.Error(), "tries") {
			t.Errorf("%v, want %v at once", err, x.want)
		}
	}
}

// What is sent goes to nobody else.
func TestUploadIsNotRedirectedElsewhere(t *testing.T) {
	var got atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body); got.Add(1) }))
	defer other.Close()
	first := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("a signed URL gets the token")
		}
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	}))
	defer first.Close()
	c := New(Options{Sleep: noWait, Token: func(string) string { return token }})
	defer c.Close()
	_, err := c.Upload(context.Background(), Upload{Name: "f", URL: first.URL, From: strings.NewReader("abc"), N: 3})
	if err == nil || !strings.Contains(err.Error(), "to another server") || got.Load() != 0 {
		t.Errorf("%v, %d requests elsewhere", err, got.Load())
	}
}
