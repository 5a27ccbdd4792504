package hub

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"wreg/ingest/remote"
	"wreg/ingest/remote/hubtest"
	"wreg/push"
)

const token = "hf_the-token"

// chunk is how large parts are; a shard has several.
const chunk = 64 << 10

// start is a hub with one repository that has a file, and that can be pushed to.
func start(t *testing.T, faults ...string) *hubtest.Hub {
	t.Helper()
	for _, v := range []string{"HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_IMPLICIT_TOKEN", "HF_TOKEN_PATH"} {
		t.Setenv(v, "")
	}
	h, err := hubtest.Start(hubtest.Options{Token: token, Store: t.TempDir(), Part: chunk, Repos: map[string]fs.FS{
		"acme/there": fstest.MapFS{"README.md": {Data: []byte("a card\n")}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	strike(t, h, faults...)
	t.Setenv("HF_ENDPOINT", h.URL)
	t.Setenv("HF_TOKEN", token)
	t.Setenv("HF_HOME", t.TempDir())
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Cleanup(func() {
		h.Close()
		if n := h.Leaks(); n != 0 {
			t.Errorf("%d tokens leaked", n)
		}
	})
	return h
}

func strike(t *testing.T, h *hubtest.Hub, faults ...string) {
	t.Helper()
	var all []hubtest.Fault
	for _, spec := range faults {
		f, err := hubtest.Parse(spec)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, f)
	}
	h.Faults(all...)
}

// model is a folder of two shards and what lies beside them.
func model(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, n := range map[string]int{"model-00001-of-00002.safetensors": 5*chunk + 17, "model-00002-of-00002.safetensors": 1000} {
		data := make([]byte, n)
		rand.Read(data)
		write(t, dir, name, data)
	}
	write(t, dir, "config.json", []byte(`{"model_type": "llama"}`))
	write(t, dir, "model.safetensors.index.json", []byte(`{"weight_map": {}}`))
	write(t, dir, "empty.txt", nil)
	return dir
}

func write(t *testing.T, dir, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), data, 0o666); err != nil {
		t.Fatal(err)
	}
}

// sending is one push of a folder, as the command line does it.
type sending struct {
	o     push.Options
	held  []bool
	moved int64 // as it is told
	put   int64 // what went out in requests that were answered well
	proof string
}

func (s *sending) do(t *testing.T, dir, address string) (string, error) {
	t.Helper()
	f, err := push.OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Hash(t.Context(), 0, nil); err != nil {
		t.Fatal(err)
	}
	target, err := Open(t.Context(), address, s.o)
	if err != nil {
		return "", err
	}
	defer target.Close()
	put := quick(target.(*Target))
	defer func() { s.put = put.bytes.Load() }()
	if s.held, err = target.Held(t.Context(), f.Files); err != nil {
		return "", err
	}
	var moved atomic.Int64
	pin, err := f.Send(t.Context(), target, s.held, 0, func(n int64) { moved.Add(n) })
	s.moved, s.proof = moved.Load(), target.Proof()
	return pin, err
}

// quick makes a Target that waits for nothing, and counts what it sends.
func quick(t *Target) *counter {
	c := &counter{}
	o := remote.Options{Token: t.login.Token, Notice: t.o.Notice, Patience: remote.Patience{Tries: 3, Silence: 500 * time.Millisecond},
		Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }, Transport: c}
	t.client, t.slow = remote.New(o), remote.New(o)
	return c
}

type counter struct {
	http.Transport
	bytes atomic.Int64
}

func (c *counter) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := c.Transport.RoundTrip(r)
	if err == nil && r.Method == http.MethodPut && answer.StatusCode == http.StatusOK {
		c.bytes.Add(r.ContentLength)
	}
	return answer, err
}

// same reads a repository back and compares it with a folder.
func same(t *testing.T, h *hubtest.Hub, label, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		want, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := h.Read(label, e.Name()); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s has %d bytes (%v), want the %d that were sent", e.Name(), len(got), err, len(want))
		}
	}
}

func TestPublish(t *testing.T) {
	for _, c := range []struct {
		address, label string
		pin            string // how it begins
	}{
		{"hf://acme/new", "acme/new", "hf://acme/new@"},
		{"hf://acme/there", "acme/there", "hf://acme/there@"},
		{"hf://acme/there@mlx", "acme/there@mlx", "hf://acme/there@"},
		{"hf://acme/new@mlx", "acme/new@mlx", "hf://acme/new@"},
	} {
		t.Run(c.address, func(t *testing.T) {
			h, dir := start(t), model(t)
			var s sending
			pin, err := s.do(t, dir, c.address)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(pin, c.pin) || len(pin) != len(c.pin)+40 || !strings.Contains(s.proof, "5 files") {
				t.Errorf("pin %s, proof %q", pin, s.proof)
			}
			same(t, h, c.label, dir)
			if slices.Contains(s.held, true) {
				t.Errorf("held: %v", s.held)
			}
			h.Forget()
			again := sending{}
			if p, err := again.do(t, dir, c.address); err != nil || p != pin {
				t.Errorf("once more: %s, %v; want the same commit %s", p, err, pin)
			}
			for _, e := range h.Log() {
				if e.Method == "PUT" || strings.Contains(e.URL, "/commit/") {
					t.Errorf("%s %s, though all is there", e.Method, e.URL)
				}
			}
			if _, err := h.Read("acme/there", "README.md"); err != nil {
				t.Errorf("what lay there before: %v", err)
			}
		})
	}
}

// A folder of a repository is published to beside what lies there.
func TestPublishBelow(t *testing.T) {
	h, dir := start(t), model(t)
	var s sending
	pin, err := s.do(t, dir, "hf://acme/there/int4")
	if err != nil || !strings.HasSuffix(pin, "/int4") {
		t.Fatalf("%s, %v", pin, err)
	}
	if _, err := h.Read("acme/there", "int4/config.json"); err != nil {
		t.Error(err)
	}
}

// Each row: what goes wrong while sending, and what comes of it.
func TestFaults(t *testing.T) {
	for _, c := range []struct{ fault, want string }{
		{"s503:first=2", ""},
		{"s429:first=2", ""},
		{"drop:method=PUT,first=2", ""},
		{"reset:method=PUT,first=2", ""},
		{"hang:method=PUT,first=1", ""},
		{"expired:port=cdn,first=2", ""},
		{"expired:port=cdn", "after it was sent 3 times"},
		{"lost:first=1", ""},
		{"lost", "after it was sent 3 times"},
		{"s503:method=PUT", "after 3 tries"},
		{"s500:kind=api,skip=4", "answers 500"},
		{"html:method=PUT,first=1", ""},
		{"html:method=PUT", "-of-00002.safetensors: "},
		{"badjson:kind=api", "broken JSON"},
		{"html:kind=api", "a web page instead of JSON"},
		{"s403:kind=api,skip=2", "may not write there"},
		{"lostanswer", ""},
		{"loop:method=PUT", "back to itself"},
		{"gzip:method=PUT,first=1", ""},
	} {
		t.Run(c.fault, func(t *testing.T) {
			h, dir := start(t, c.fault), model(t)
			began := time.Now()
			var s sending
			pin, err := s.do(t, dir, "hf://acme/new")
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				strike(t, h)
				same(t, h, "acme/new", dir)
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s, %v; want %q", pin, err, c.want)
			}
			if time.Since(began) > time.Minute {
				t.Error("it took more than a minute")
			}
			strike(t, h)
			if _, err := h.Read("acme/new", "config.json"); err == nil {
				t.Error("what failed is visible")
			}
		})
	}
}

// Who comes after an end in the middle sends the rest, not what is known to have arrived.
func TestResume(t *testing.T) {
	h, dir := start(t, "s503:method=PUT,skip=20"), t.TempDir()
	data := make([]byte, 40*chunk+17)
	rand.Read(data)
	write(t, dir, "model.safetensors", data)
	if _, err := (&sending{}).do(t, dir, "hf://acme/new"); err == nil {
		t.Fatal("it was to fail after 20 parts")
	}
	files, err := filepath.Glob(filepath.Join(journalDir(), "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	j := readJournal(files[0])
	known := 0
	for _, tag := range j.etags {
		if tag != "" {
			known++
		}
	}
	if known < 20-partsAtOnce || known > 20 {
		t.Errorf("%d parts are remembered of the 20 that were taken, %d at once", known, partsAtOnce)
	}
	strike(t, h)
	s := sending{}
	if _, err := s.do(t, dir, "hf://acme/new"); err != nil {
		t.Fatal(err)
	}
	same(t, h, "acme/new", dir)
	if want := int64(len(data) - known*chunk); s.put != want {
		t.Errorf("%d bytes were sent, want the %d that were missing", s.put, want)
	}
	if s.moved != int64(len(data)) {
		t.Errorf("%d bytes are said to be there, want %d", s.moved, len(data))
	}
	if left, err := os.ReadDir(journalDir()); err != nil || len(left) > 0 {
		t.Errorf("%d journals are left (%v)", len(left), err)
	}
}

// A journal that is damaged, or whose addresses hold no more, costs what was sent and nothing else.
func TestJournalIsNotTrusted(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"cut":      func(b []byte) []byte { return b[:len(b)-3] },
		"empty":    func([]byte) []byte { return nil },
		"expired":  func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("Signature="), []byte("Signature=0")) },
		"wrong":    func(b []byte) []byte { return bytes.ReplaceAll(b, []byte(`"etag":"`), []byte(`"etag":"0`)) },
		"no place": func(b []byte) []byte { return bytes.ReplaceAll(b, []byte(`http://`), []byte(`file://`)) },
	} {
		t.Run(name, func(t *testing.T) {
			h, dir := start(t, "s503:method=PUT,skip=4"), model(t)
			(&sending{}).do(t, dir, "hf://acme/new")
			files, err := filepath.Glob(filepath.Join(journalDir(), "*"))
			if err != nil || len(files) != 1 {
				t.Fatalf("%v, %v", files, err)
			}
			if info, err := os.Stat(files[0]); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("others may read it: %v", info.Mode())
			}
			data, err := os.ReadFile(files[0])
			if err != nil {
				t.Fatal(err)
			}
			write(t, journalDir(), filepath.Base(files[0]), damage(data))
			strike(t, h)
			if _, err := (&sending{}).do(t, dir, "hf://acme/new"); err != nil {
				t.Fatal(err)
			}
			same(t, h, "acme/new", dir)
		})
	}
}

// Of two that publish to a branch the one that comes second is told, and changes nothing.
func TestRace(t *testing.T) {
	h, dir, other := start(t), model(t), model(t)
	f, err := push.OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Hash(t.Context(), 0, nil); err != nil {
		t.Fatal(err)
	}
	target, err := Open(t.Context(), "hf://acme/there", push.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	held, err := target.Held(t.Context(), f.Files)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (&sending{}).do(t, other, "hf://acme/there"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Send(t.Context(), target, held, 0, nil); err == nil || !strings.Contains(err.Error(), "moved on") {
		t.Errorf("%v, want that the branch moved on", err)
	}
	same(t, h, "acme/there", other)
}

func TestRefusals(t *testing.T) {
	h, dir := start(t), model(t)
	for _, c := range []struct {
		address, env, value, want string
		private                   bool
	}{
		{"hf://acme/there", "HF_TOKEN", "hf_another", "does not take the token from HF_TOKEN", false},
		{"hf://acme/there", "HF_TOKEN", "", "it takes a token with the right to write", false},
		{"hf://acme/there", "HF_HUB_OFFLINE", "1", "HF_HUB_OFFLINE is set, so nothing is sent", false},
		{"hf://acme/there", "", "", "it is there, and not private", true},
		{"hf://acme/there@" + strings.Repeat("a", 40), "", "", "a commit does not change", false},
		{"hf://datasets/acme/there", "", "", "datasets", false},
	} {
		t.Run(c.want, func(t *testing.T) {
			if c.env != "" {
				t.Setenv(c.env, c.value)
			}
			h.Forget()
			s := sending{o: push.Options{Private: c.private}}
			if _, err := s.do(t, dir, c.address); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
			for _, e := range h.Log() {
				if e.Method != "GET" {
					t.Errorf("%s %s", e.Method, e.URL)
				}
			}
		})
	}
}

func TestPrivate(t *testing.T) {
	h, dir := start(t), model(t)
	s := sending{o: push.Options{Private: true}}
	if _, err := s.do(t, dir, "hf://acme/secret"); err != nil {
		t.Fatal(err)
	}
	if !h.Private("acme/secret") {
		t.Error("anybody may read it")
	}
}

// Asking what is held makes nothing.
func TestHeldChangesNothing(t *testing.T) {
	h, dir := start(t), model(t)
	f, err := push.OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Hash(t.Context(), 0, nil); err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{"hf://acme/new", "hf://acme/there@new"} {
		target, err := Open(t.Context(), address, push.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := target.Held(t.Context(), f.Files); err != nil {
			t.Error(err)
		}
		target.Close()
	}
	if _, err := h.Read("acme/new", "config.json"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	for _, e := range h.Log() {
		if e.Method == "PUT" || strings.Contains(e.URL, "create") || strings.Contains(e.URL, "branch") {
			t.Errorf("%s %s", e.Method, e.URL)
		}
	}
}
