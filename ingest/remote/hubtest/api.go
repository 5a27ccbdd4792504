package hubtest

import (
	"bytes"
	"crypto/hmac"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// routes are what the hub answers; a pattern's groups are given to it.
var routes = []struct {
	form   *regexp.Regexp
	answer func(x *exchange, m []string)
}{
	{regexp.MustCompile(`^/api/resolve-cache/models/([^/]+/[^/]+)/([0-9a-f]{40})/(.+)$`), func(x *exchange, m []string) { x.resolve(m[1], m[2], m[3], true) }},
	{regexp.MustCompile(`^/api/models/([^/]+/[^/]+)(?:/revision/(.+))?$`), func(x *exchange, m []string) { x.model(m[1], m[2]) }},
	{regexp.MustCompile(`^/api/models/([^/]+/[^/]+)/tree/([^/]+)(?:/(.+))?$`), func(x *exchange, m []string) { x.tree(m[1], m[2], m[3]) }},
	{regexp.MustCompile(`^/api/models/([^/]+/[^/]+)/paths-info/(.+)$`), func(x *exchange, m []string) { x.paths(m[1], m[2]) }},
	{regexp.MustCompile(`^/api/models/([^/]+/[^/]+)/refs$`), func(x *exchange, m []string) { x.refs(m[1]) }},
	{regexp.MustCompile(`^/([^/]+/[^/]+)/resolve/(refs/pr/[0-9]+|refs/convert/[^/]+|[^/]+)/(.+)$`), func(x *exchange, m []string) { x.resolve(m[1], m[2], m[3], false) }},
}

func (x *exchange) hub() {
	if auth := x.r.Header.Get("Authorization"); auth != "" && x.h.o.Token != "" && !x.known() {
		x.refuse(401, "", "Invalid credentials in Authorization header")
		return
	}
	if x.write() {
		return
	}
	for _, route := range routes {
		if m := route.form.FindStringSubmatch(x.r.URL.Path); m != nil {
			route.answer(x, m)
			return
		}
	}
	x.refuse(404, "", "Sorry, we can't find the page you are looking for.")
}

// known reports whether the request has the token.
func (x *exchange) known() bool {
	return x.h.o.Token != "" && hmac.Equal([]byte(x.r.Header.Get("Authorization")), []byte("Bearer "+x.h.o.Token))
}

// folder is the revision that is asked for; nil when the answer was given.
func (x *exchange) folder(repo, rev string, content bool) *folder {
	known := x.known()
	switch {
	case !x.h.has(repo) || x.h.isPrivate(repo) && !known:
		if known {
			x.refuse(404, "RepoNotFound", "Repository not found")
		} else {
			x.refuse(401, "RepoNotFound", "Invalid username or password.")
		}
		return nil
	case content && slices.Contains(x.h.o.Gated, repo) && !known:
		x.refuse(401, "GatedRepo", "Access to model "+repo+" is restricted. You must have access to it and be authenticated to access it. Please log in.")
		return nil
	}
	f := x.h.revision(repo, rev)
	if f == nil {
		x.refuse(404, "RevisionNotFound", "Invalid rev id: "+rev)
	}
	return f
}

func (f *folder) head() http.Header { return http.Header{"X-Repo-Commit": {f.commit}} }

type lfs struct {
	OID         string `json:"oid,omitempty"`
	SHA256      string `json:"sha256,omitempty"`
	Size        int64  `json:"size"`
	PointerSize int    `json:"pointerSize"`
}

type item struct {
	Type string `json:"type"`
	Path string `json:"path"`
	Size int64  `json:"size"`
	OID  string `json:"oid"`
	LFS  *lfs   `json:"lfs,omitempty"`
}

// item is a file as listings have it.
func (x *exchange) item(f *folder, e file) item {
	it := item{Type: "file", Path: e.name, Size: e.size}
	if x.h.large(e) {
		sum := x.h.sum(f, e.name)
		text := pointer(sum, e.size)
		it.OID, it.LFS = oid(text), &lfs{OID: sum, Size: e.size, PointerSize: len(text)}
	} else {
		data, _ := fs.ReadFile(f.fs, e.name)
		it.OID = oid(data)
	}
	if x.fault.is("size") {
		it.Size += x.fault.by()
		if it.LFS != nil {
			it.LFS.Size = it.Size
		}
	}
	return it
}

func (x *exchange) model(repo, rev string) {
	if rev == "" {
		rev = "main"
	}
	f := x.folder(repo, rev, false)
	if f == nil {
		return
	}
	type sibling struct {
		Name string `json:"rfilename"`
		Size int64  `json:"size,omitempty"`
		Blob string `json:"blobId,omitempty"`
		LFS  *lfs   `json:"lfs,omitempty"`
	}
	siblings := []sibling{}
	for _, e := range f.files {
		s := sibling{Name: e.name}
		if x.r.URL.Query().Get("blobs") == "true" {
			it := x.item(f, e)
			if s.Size, s.Blob, s.LFS = it.Size, it.OID, it.LFS; s.LFS != nil {
				s.LFS.SHA256, s.LFS.OID = s.LFS.OID, ""
			}
		}
		siblings = append(siblings, s)
	}
	if x.fault.is("truncated") {
		siblings = siblings[:min(1000, len(siblings)/2)]
	}
	x.json(f.head(), map[string]any{"id": repo, "modelId": repo, "sha": f.commit, "siblings": siblings,
		"private": x.h.isPrivate(repo), "gated": slices.Contains(x.h.o.Gated, repo)})
}

func (x *exchange) paths(repo, rev string) {
	f := x.folder(repo, rev, false)
	if f == nil {
		return
	}
	body, _ := io.ReadAll(io.LimitReader(x.r.Body, 1<<20))
	var want struct{ Paths []string }
	if json.Unmarshal(body, &want) != nil {
		form, _ := url.ParseQuery(string(body))
		want.Paths = form["paths"]
	}
	out := []item{}
	for _, name := range want.Paths {
		if e, ok := f.find(name); ok {
			out = append(out, x.item(f, e))
		}
	}
	x.json(f.head(), out)
}

func (x *exchange) refs(repo string) {
	if x.folder(repo, "main", false) == nil {
		return
	}
	branches := []map[string]string{}
	x.h.mu.Lock()
	for _, f := range x.h.folders {
		if f.repo == repo {
			branches = append(branches, map[string]string{"name": f.name, "ref": "refs/heads/" + f.name, "targetCommit": f.commit})
		}
	}
	x.h.mu.Unlock()
	x.json(nil, map[string]any{"branches": branches, "converts": []string{}, "tags": []string{}})
}

// hostile are names that no listing should have.
var hostile = []string{"../../outside.safetensors", "/etc/passwd", "a/../../b.safetensors", "", ".", "nul\x00name.safetensors", "CONFIG.JSON",
	"Model.safetensors", "esc\x1b[31m.safetensors", `a\..\b.safetensors`, "model.safetensors "}

func (x *exchange) tree(repo, rev, inside string) {
	f := x.folder(repo, rev, false)
	if f == nil {
		return
	}
	prefix := ""
	if inside != "" {
		prefix = strings.TrimSuffix(inside, "/") + "/"
	}
	names, folders := []string{}, map[string]bool{}
	recursive := x.r.URL.Query().Get("recursive") == "true"
	for _, e := range f.files {
		left, ok := strings.CutPrefix(e.name, prefix)
		if !ok {
			continue
		}
		parts := strings.Split(left, "/")
		for k := 1; k < len(parts) && (recursive || k == 1); k++ {
			folders[prefix+strings.Join(parts[:k], "/")] = true
		}
		if recursive || len(parts) == 1 {
			names = append(names, e.name)
		}
	}
	for d := range folders {
		names = append(names, d)
	}
	if x.fault.is("huge") {
		for i := range 200_000 {
			names = append(names, fmt.Sprintf("zz/file-%07d.bin", i))
		}
	}
	if x.fault.is("hostile-names") {
		names = append(names, hostile...)
	}
	slices.Sort(names)
	q, start := x.r.URL.Query(), 0
	if c, err := base64.URLEncoding.DecodeString(q.Get("cursor")); err == nil {
		start, _ = strconv.Atoi(string(c))
	}
	start = max(0, min(start, len(names)))
	end := min(start+x.h.o.Page, len(names))
	out := []item{}
	for _, name := range names[start:end] {
		it := item{Type: "file", Path: name, Size: 1, OID: oid([]byte(name))}
		if e, ok := f.find(name); ok {
			it = x.item(f, e)
		} else if folders[name] {
			it.Type, it.Size = "directory", 0
		}
		out = append(out, it)
	}
	head := f.head()
	if end < len(names) {
		if x.fault.is("pageloop") {
			end = start
		}
		q.Set("cursor", base64.URLEncoding.EncodeToString([]byte(strconv.Itoa(end))))
		head.Set("Link", fmt.Sprintf(`<%s%s?%s>; rel="next"`, x.h.URL, x.r.URL.EscapedPath(), q.Encode()))
	}
	x.json(head, out)
}

// resolve sends small files, and says where large ones lie.
func (x *exchange) resolve(repo, rev, name string, cached bool) {
	f := x.folder(repo, rev, true)
	if f == nil {
		return
	}
	e, ok := f.find(name)
	if !ok {
		x.refuse(404, "EntryNotFound", "Entry not found")
		return
	}
	head := f.head()
	if !x.h.large(e) {
		data, err := fs.ReadFile(f.fs, name)
		if err != nil {
			x.refuse(500, "", "Internal error")
			return
		}
		id := `"` + oid(data) + `"`
		if !cached {
			head.Set("X-Linked-Size", strconv.FormatInt(e.size, 10))
			head.Set("X-Linked-ETag", id)
			head.Set("Location", "/api/resolve-cache/models/"+repo+"/"+f.commit+"/"+(&url.URL{Path: name}).EscapedPath())
			x.answer(307, head, "text/plain", []byte("Temporary Redirect"))
			return
		}
		head.Set("ETag", id)
		x.content(bytes.NewReader(data), e.size, head)
		return
	}
	sum, to, more, size := x.h.sum(f, name), x.h.CDN, "", e.size
	switch {
	case x.fault.is("offhost"):
		to = x.h.Stranger
	case x.fault.is("offhost-bad"):
		to, more = x.h.Stranger, "&bad=1"
	case x.fault.is("size"):
		size += x.fault.by()
	}
	head.Set("X-Linked-Size", strconv.FormatInt(size, 10))
	head.Set("X-Linked-ETag", `"`+sum+`"`)
	if x.fault.is("pointer") {
		data := pointer(sum, e.size)
		x.content(bytes.NewReader(data), int64(len(data)), head)
		return
	}
	head.Set("Location", x.h.signed(to, f, name, sum, more))
	x.answer(302, head, "text/plain", []byte("Found. Redirecting"))
}
