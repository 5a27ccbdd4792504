package hub

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"wreg/ingest/place"
	"wreg/ingest/remote"
	"wreg/registry/tensor"
)

var noTime time.Time

func noSleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }

// tiny is a repository of a large file, which is read by ranges, and small ones.
func tiny() map[string]string {
	return map[string]string{
		"config.json": `{"model_type":"x"}`, "README.md": "read", "readme.md": "me", "sub/a.safetensors": "inner",
		"model.safetensors": strings.Repeat("0123456789abcdef", 1<<14),
	}
}

// open is Open, closed when the test ends.
func open(t *testing.T, c *remote.Client, address string) (place.Place, error) {
	p, err := Open(context.Background(), c, address)
	if err == nil {
		t.Cleanup(func() {
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return p, err
}

func read(t *testing.T, p place.Place, name string) (string, error) {
	t.Helper()
	b, err := p.Open(context.Background(), name)
	if err != nil {
		return "", err
	}
	defer b.Close()
	info, err := b.Stat()
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, info.Size)
	err = tensor.ReadFull(b, data, 0)
	if h, ok := b.(interface{ HeaderRead() }); ok && err == nil {
		h.HeaderRead()
	}
	return string(data), err
}

func wants(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error; want one with %.300q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%v: want %q in it", err, part)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("%v: more than a line", err)
	}
}

// TestOpen: one request lists; files are of its commit; what was read of a digest is remembered for other
// repositories.
func TestOpen(t *testing.T) {
	f, c := serve(t, tiny())
	ctx := context.Background()
	p, err := open(t, c, "hf://acme/tiny")
	if err != nil {
		t.Fatal(err)
	}
	list, err := p.List(ctx)
	if err != nil || len(list) != 5 || list[4] != (place.Entry{Name: "sub", Dir: true}) || list[2].Digest != "sha256:"+sha(f.files["model.safetensors"]) {
		t.Fatal(list, err)
	}
	if p.Pin() != "hf://acme/tiny@"+commit || !p.Has("config.json") || p.Has("a.safetensors") {
		t.Error(p.Pin())
	}
	for _, name := range []string{"config.json", "model.safetensors", "README.md", "sub/a.safetensors"} {
		if got, err := read(t, p, name); err != nil || got != f.files[name] {
			t.Errorf("%s: other bytes (%v)", name, err)
		}
	}
	if n := f.of("/api/"); n != 1 {
		t.Errorf("%d requests of the API: %q", n, f.asked)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	before := f.of("")
	p, err = open(t, c, "hf://acme/tiny@"+commit)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"config.json", "model.safetensors"} {
		if got, err := read(t, p, name); err != nil || got != f.files[name] {
			t.Errorf("%s: other bytes (%v)", name, err)
		}
	}
	if n := f.of("") - before; n != 1 {
		t.Errorf("%d requests for what is remembered: %q", n, f.asked[before:])
	}
	// What hash reads of it afterwards is the file's own.
	if _, err := p.Open(ctx, "model.gguf"); !errors.Is(err, fs.ErrNotExist) || f.of("paths-info") != 1 {
		t.Error(err, f.asked)
	}
}

// TestWhere: a path is a file or a folder, and one that the listing lacks is asked for.
func TestWhere(t *testing.T) {
	f, c := serve(t, tiny())
	for address, want := range map[string]string{
		"hf://acme/tiny/sub":                             "hf://acme/tiny@" + commit + "/sub",
		"hf://acme/tiny/sub/a.safetensors":               "hf://acme/tiny@" + commit + "/sub/a.safetensors",
		f.URL + "/acme/tiny/blob/main/sub/a.safetensors": "hf://acme/tiny@" + commit + "/sub/a.safetensors",
	} {
		p, err := open(t, c, address)
		if err != nil {
			t.Fatal(err)
		}
		got, err := read(t, p, "a.safetensors")
		if single := strings.HasSuffix(want, ".safetensors"); err != nil || got != "inner" || p.Pin() != want || (p.(*Repo).Single() != "") != single {
			t.Errorf("%s: %q %s (%v)", address, got, p.Pin(), err)
		}
	}
	_, err := open(t, c, "hf://acme/tiny/model.safetensor")
	if wants(t, err, "model.safetensor", commit[:10], `did you mean "model.safetensors"?`); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// TestCutListing: a listing that is cut short, or has too many entries to be trusted, is asked for page by
// page; one file that it lacks is asked for by name.
func TestCutListing(t *testing.T) {
	files := tiny()
	for i := range 3 {
		files[fmt.Sprintf("model-%05d-of-00003.safetensors", i+1)] = strings.Repeat("x", i)
	}
	f, c := serve(t, files)
	f.cut, f.page = "model-00002-of-00003.safetensors", 3
	p, err := open(t, c, "hf://acme/tiny")
	if err != nil {
		t.Fatal(err)
	}
	if !p.Has(f.cut) || f.of("/tree/") != 3 {
		t.Errorf("%q", f.asked)
	}
	f.now(func() { f.cut = "config.json" })
	if p, err = open(t, c, "hf://acme/tiny"); err != nil {
		t.Fatal(err)
	}
	if got, err := read(t, p, "config.json"); err != nil || got != files["config.json"] {
		t.Error(got, err)
	}
	files = maps.Clone(files)
	for i := range trusted {
		files[fmt.Sprintf("x/%d", i)] = "y"
	}
	f.now(func() { f.files, f.cut, f.page = files, "x/7", 500 })
	if p, err = open(t, c, "hf://acme/tiny"); err != nil {
		t.Fatal(err)
	}
	if !p.Has("x/7") || f.of("/tree/") != 3 {
		t.Errorf("%q", f.asked)
	}
	tooLarge := true
	f.now(func() {
		f.refuse = func(path string) (int, string) {
			if was := tooLarge; was && strings.Contains(path, "/revision/") {
				tooLarge = false
				return http.StatusRequestEntityTooLarge, ""
			}
			return 0, ""
		}
	})
	if p, err = open(t, c, "hf://acme/tiny"); err != nil || !p.Has("x/7") {
		t.Error(err, f.asked)
	}
}

// TestListings: what a listing may not hold is refused, with the name made harmless.
func TestListings(t *testing.T) {
	for _, bad := range []string{"../x.safetensors", "..", "/etc/passwd", "a/../../b", "a/./b", "a//b", "", ".", "a/", "nul\x00.bin", "esc\x1b[31m.bin", `a\..\b`, strings.Repeat("x", 5000)} {
		f, c := serve(t, tiny())
		f.list = func(list []map[string]any) []map[string]any {
			return append(list, map[string]any{"type": "file", "path": bad, "size": 1})
		}
		_, err := open(t, c, "hf://acme/tiny")
		wants(t, err, "hf://acme/tiny")
		if err != nil && (strings.ContainsAny(err.Error(), "\x00\x1b") || len(err.Error()) > 300) {
			t.Errorf("%q", err)
		}
	}
	for what, c := range map[string]struct {
		files map[string]string
		page  int
		link  func(string) string
		list  func([]map[string]any) []map[string]any
		want  string
	}{
		"twice":   {nil, 0, nil, func(l []map[string]any) []map[string]any { return append(l, l[0]) }, "twice"},
		"twins":   {map[string]string{"CONFIG.json": "x"}, 0, nil, nil, "case makes no difference"},
		"twins 2": {map[string]string{"Model.Safetensors": "x"}, 0, nil, nil, "case makes no difference"},
		"size":    {nil, 0, nil, func(l []map[string]any) []map[string]any { l[0]["size"] = -5; delete(l[0], "lfs"); return l }, "size of -5"},
		"circle":  {map[string]string{"model-1-of-2.safetensors": "x"}, 2, func(string) string { return "?recursive=true&expand=false" }, nil, "circle"},
		"abroad":  {map[string]string{"model-1-of-2.safetensors": "x"}, 2, func(string) string { return "http://127.0.0.1:1/x" }, nil, "not the hub"},
	} {
		t.Run(what, func(t *testing.T) {
			files := tiny()
			for name, data := range c.files {
				files[name] = data
			}
			f, client := serve(t, files)
			f.page, f.link, f.list = c.page, c.link, c.list
			_, err := open(t, client, "hf://acme/tiny")
			wants(t, err, "hf://acme/tiny", c.want)
		})
	}
}

// TestProof: what the hub says of a file, and a small file's bytes, are held against the listing; headers that
// are not there are no fault.
func TestProof(t *testing.T) {
	for what, c := range map[string]struct {
		name   string
		change func(h http.Header)
		bytes  func(string) string
		want   string // "" when it is fine
	}{
		"none":            {"model.safetensors", func(h http.Header) { h.Del("X-Linked-Size"); h.Del("X-Linked-Etag"); h.Del("X-Repo-Commit") }, nil, ""},
		"mirror's etag":   {"model.safetensors", func(h http.Header) { h.Set("X-Linked-Etag", `W/"5f3-abc"`) }, nil, ""},
		"size":            {"model.safetensors", func(h http.Header) { h.Set("X-Linked-Size", "262145") }, nil, "size is 262145 now and was 262144"},
		"no number":       {"model.safetensors", func(h http.Header) { h.Set("X-Linked-Size", "x") }, nil, "size is x now"},
		"sha256":          {"model.safetensors", func(h http.Header) { h.Set("X-Linked-Etag", strings.Repeat("a", 64)) }, nil, "sha256"},
		"commit":          {"model.safetensors", func(h http.Header) { h.Set("X-Repo-Commit", strings.Repeat("a", 40)) }, nil, "commit"},
		"small's commit":  {"config.json", func(h http.Header) { h.Set("X-Repo-Commit", strings.Repeat("a", 40)) }, nil, "commit"},
		"small's object":  {"config.json", func(h http.Header) { h.Set("X-Linked-Etag", strings.Repeat("a", 40)) }, nil, "git object"},
		"small's bytes":   {"config.json", nil, func(s string) string { return strings.Replace(s, "x", "y", 1) }, "not those that were listed: sha1:"},
		"small's page":    {"config.json", nil, func(string) string { return "<!doctype html><p>Welcome</p>" }, "a web page came in its place"},
		"small's pointer": {"sub/a.safetensors", nil, func(string) string { return pointerStart + "v1\noid sha256:00\nsize 5\n" }, "the text of its Git LFS pointer came"},
		"pointer":         {"model.safetensors", nil, func(string) string { return pointerStart + "v1\noid sha256:00\nsize 262144\n" }, "the text of its Git LFS pointer came"},
		"other size":      {"model.safetensors", nil, func(s string) string { return s[:len(s)-1] }, "bytes 0 to 131071: the file changed: it had 262144 bytes, it has 262143"},
		"small's LFS":     {"sub/a.safetensors", nil, func(string) string { return "outer" }, "not those that were listed: sha256:"},
		"small cut":       {"config.json", nil, func(s string) string { return s[1:] }, "17 bytes came"},
		"small longer":    {"config.json", nil, func(s string) string { return s + " " }, "config.json"},
	} {
		t.Run(what, func(t *testing.T) {
			f, client := serve(t, tiny())
			f.change = func(path string, h http.Header) {
				if path == c.name && c.change != nil {
					c.change(h)
				}
			}
			f.bytes = func(name, data string) string {
				if name == c.name && c.bytes != nil {
					return c.bytes(data)
				}
				return data
			}
			p, err := open(t, client, "hf://acme/tiny")
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			got, err := read(t, p, c.name)
			if c.want != "" {
				wants(t, err, "hf://acme/tiny@main/"+c.name+": ", c.want)
				if failed, ok := errors.AsType[*place.Error](err); !ok || strings.Count(failed.Text, c.name) > 1 {
					t.Errorf("%v: want an error of the place that names the file once", err)
				}
			} else if err != nil || got != f.files[c.name] {
				t.Error(err)
			}
		})
	}
}

// TestRefusals: what the hub refuses is said in a sentence, with where the token came from and what to do.
func TestRefusals(t *testing.T) {
	api := func(status int, code string) func(string) (int, string) {
		return func(path string) (int, string) {
			if strings.Contains(path, "/revision/") {
				return status, code
			}
			return 0, ""
		}
	}
	files := func(status int, code string) func(string) (int, string) {
		return func(path string) (int, string) {
			if strings.Contains(path, "/resolve/") {
				return status, code
			}
			return 0, ""
		}
	}
	for what, c := range map[string]struct {
		token, message string
		refuse         func(string) (int, string)
		want           []string
	}{
		"gated":              {"", "", files(401, "GatedRepo"), []string{"/acme/tiny", "no token", "hf auth login", "ask at"}},
		"gated, token":       {"secret", "", files(403, "GatedRepo"), []string{"/acme/tiny", "token from HF_TOKEN", "ask at"}},
		"none":               {"", "", api(401, "RepoNotFound"), []string{"no such model, or it is private", "no token", "hf auth login"}},
		"none, token":        {"secret", "", api(404, "RepoNotFound"), []string{"no such model, or a private one", "token from HF_TOKEN"}},
		"401 without a code": {"", "", api(401, ""), []string{"no such model, or it is private", "hf auth login"}},
		"bad token":          {"secret", "Invalid credentials in Authorization header", api(401, ""), []string{"does not take the token from HF_TOKEN", "hf auth login"}},
		"disabled":           {"", "Access to this resource is disabled.", api(403, ""), []string{"disabled"}},
		"404":                {"", "", api(404, ""), []string{"(HF_ENDPOINT) has no such model"}},
		"403":                {"", "", api(403, ""), []string{"without a reason", "/acme/tiny in a browser"}},
		"file's 404":         {"", "", files(404, "EntryNotFound"), []string{"the hub lists it at commit 0123456789", "ingest it again"}},
		"limit":              {"", "", api(429, ""), []string{"after 6 tries", "429 Too Many Requests", "log in for a higher limit, with hf auth login"}},
		"file's limit":       {"secret", "", files(429, ""), []string{"429 Too Many Requests", "the token from HF_TOKEN has reached its limit"}},
		"revision":           {"", "", api(404, "RevisionNotFound"), []string{`no revision "v1.1"`, `did you mean "v1.0"?`}},
	} {
		t.Run(what, func(t *testing.T) {
			f, client := serve(t, tiny())
			f.refuse, f.message = c.refuse, c.message
			t.Setenv("HF_TOKEN", c.token)
			p, err := open(t, client, "hf://acme/tiny@v1.1")
			for _, name := range []string{"config.json", "model.safetensors"} {
				if p != nil {
					_, err = read(t, p, name)
				}
				wants(t, err, append(c.want, "hf://acme/tiny@v1.1")...)
				if strings.Contains(err.Error(), "secret") {
					t.Error("the token is shown: ", err)
				}
			}
		})
	}
	f, client := serve(t, tiny())
	t.Setenv("HF_HUB_OFFLINE", "1")
	_, err := open(t, client, "hf://acme/tiny@v1.1")
	wants(t, err, "HF_HUB_OFFLINE", "wreg ingest acme/tiny@v1.1")
	if len(f.asked) != 0 {
		t.Error(f.asked)
	}
}
