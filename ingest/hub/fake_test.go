package hub

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"wreg/ingest/remote"
)

const commit = "0123456789abcdef0123456789abcdef01234567"

// fake is a hub of one repository, acme/tiny.
type fake struct {
	*httptest.Server
	mu    sync.Mutex
	asked []string // METHOD path?query

	files   map[string]string
	cut     string                           // a file that the listing with the commit does not have
	page    int                              // entries of a page
	refuse  func(path string) (int, string)  // status and X-Error-Code
	message string                           // X-Error-Message
	change  func(path string, h http.Header) // of what is answered at a resolve
	bytes   func(name, data string) string   // what comes instead
	link    func(next string) string         // the address of the next page
	list    func(entries []map[string]any) []map[string]any
}

func lfs(name string) bool {
	return strings.HasSuffix(name, ".safetensors") || strings.HasSuffix(name, ".gguf")
}

func gitID(data string) string {
	sum := sha1.Sum([]byte(fmt.Sprintf("blob %d\x00%s", len(data), data)))
	return hex.EncodeToString(sum[:])
}

func sha(data string) string { sum := sha256.Sum256([]byte(data)); return hex.EncodeToString(sum[:]) }

func (f *fake) entry(name string) map[string]any {
	data := f.files[name]
	e := map[string]any{"type": "file", "path": name, "size": len(data), "oid": gitID(data)}
	if lfs(name) {
		e["lfs"] = map[string]any{"oid": sha(data), "size": len(data)}
	}
	return e
}

func (f *fake) entries() (list []map[string]any) {
	names := make([]string, 0, len(f.files))
	for name := range f.files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		list = append(list, f.entry(name))
	}
	if f.list != nil {
		list = f.list(list)
	}
	return list
}

func (f *fake) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	real := f
	f.mu.Lock()
	f.asked = append(f.asked, q.Method+" "+q.URL.String())
	f = &fake{Server: f.Server, files: f.files, cut: f.cut, page: f.page, refuse: f.refuse, message: f.message, change: f.change, bytes: f.bytes, link: f.link, list: f.list}
	real.mu.Unlock()
	path, ok := strings.CutPrefix(q.URL.Path, "/api/models/acme/tiny/")
	file, resolve := strings.CutPrefix(q.URL.Path, "/acme/tiny/resolve/"+commit+"/")
	if f.refuse != nil {
		if status, code := f.refuse(q.URL.Path); status != 0 {
			w.Header().Set("X-Error-Code", code)
			w.Header().Set("X-Error-Message", f.message)
			w.WriteHeader(status)
			return
		}
	}
	answer := func(v any) {
		if err := json.NewEncoder(w).Encode(v); err != nil {
			panic(err)
		}
	}
	switch {
	case resolve:
		data, there := f.files[file]
		if !there {
			w.Header().Set("X-Error-Code", "EntryNotFound")
			w.WriteHeader(http.StatusNotFound)
			return
		}
		h := w.Header()
		h.Set("X-Repo-Commit", commit)
		h.Set("X-Linked-Size", strconv.Itoa(len(data)))
		h.Set("X-Linked-Etag", `"`+gitID(data)+`"`)
		if lfs(file) {
			h.Set("X-Linked-Etag", `"`+sha(data)+`"`)
		}
		if f.change != nil {
			f.change(file, h)
		}
		if f.bytes != nil {
			data = f.bytes(file, data)
		}
		http.ServeContent(w, q, "", noTime, strings.NewReader(data))
	case ok && strings.HasPrefix(path, "revision/"):
		var siblings []map[string]any
		for _, e := range f.entries() {
			s := map[string]any{"rfilename": e["path"], "size": e["size"], "blobId": e["oid"]}
			if l, ok := e["lfs"].(map[string]any); ok {
				s["lfs"] = map[string]any{"sha256": l["oid"], "size": l["size"]}
			}
			if e["path"] != f.cut {
				siblings = append(siblings, s)
			}
		}
		answer(map[string]any{"sha": commit, "siblings": siblings})
	case ok && strings.HasPrefix(path, "tree/"+commit):
		list := f.entries()
		at, _ := strconv.Atoi(q.URL.Query().Get("cursor"))
		end := len(list)
		if f.page > 0 && at+f.page < end {
			end = at + f.page
			next := f.URL + q.URL.Path + "?cursor=" + strconv.Itoa(end)
			if f.link != nil {
				next = f.link(next)
			}
			w.Header().Set("Link", "<"+next+`>; rel="next"`)
		}
		answer(list[at:end])
	case ok && strings.HasPrefix(path, "paths-info/"+commit) && q.Method == http.MethodPost:
		list := []map[string]any{}
		if name := q.FormValue("paths"); f.files[name] != "" {
			list = append(list, f.entry(name))
		}
		answer(list)
	case ok && path == "refs":
		answer(map[string]any{"branches": []any{map[string]any{"name": "main"}, map[string]any{"name": "release-1"}}, "tags": []any{map[string]any{"name": "v1.0"}}})
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// serve starts a hub of these files, and an environment in which it is the hub.
func serve(t *testing.T, files map[string]string) (*fake, *remote.Client) {
	t.Helper()
	blank(t, t.TempDir())
	f := &fake{files: files, cut: "none"}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	t.Setenv("HF_ENDPOINT", f.URL+"/")
	c := remote.New(remote.Options{Sleep: noSleep, Token: func(origin string) string {
		l, err := ReadLogin()
		if err != nil {
			return ""
		}
		return l.Token(origin)
	}})
	t.Cleanup(c.Close)
	return f, c
}

// now changes what the hub does from here on.
func (f *fake) now(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = nil
	change()
}

// of counts the requests whose address has a part.
func (f *fake) of(part string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range f.asked {
		if strings.Contains(a, part) {
			n++
		}
	}
	return n
}
