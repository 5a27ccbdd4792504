// Package ocitest is a registry of artifacts on the loopback, for tests: it keeps what is
// pushed in memory, asks for logins, and redirects to a store of blobs where that is
// wanted. Only tests use it.
//
// Most users need [Start] and [Registry.Push].
//
// Invariants: it writes down every request that came with a login to where none belongs;
// what is not in its store is 404, as the distribution specification has it.
package ocitest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Registry is a registry; its fields are set before it is asked.
type Registry struct {
	*httptest.Server
	Store *httptest.Server // where blobs are redirected to, a host of its own

	Login  string                                                     // USER:PASSWORD that tokens are given for, "" for anybody
	Away   bool                                                       // blobs are answered by Store
	Change func(w http.ResponseWriter, q *http.Request) bool          // true: it has answered
	Chunk  func(w http.ResponseWriter, q *http.Request, n int64) bool // before a request about an upload of which n bytes are there; true: it has answered
	Lost   func(q *http.Request) bool                                 // true: it did what an upload asked for, and its answer is lost
	Asks   string                                                     // what Store challenges everybody with, "" for nobody

	mu        sync.Mutex
	blobs     map[string][]byte
	manifests map[string][]byte // by REPO@DIGEST and REPO:TAG
	media     map[string]string // of them, by digest
	uploads   map[string][]byte
	asked     []string // METHOD path
	leaks     []string
}

// Start starts a registry.
func Start() *Registry {
	r := &Registry{blobs: map[string][]byte{}, manifests: map[string][]byte{}, media: map[string]string{}, uploads: map[string][]byte{}}
	r.Server = httptest.NewServer(http.HandlerFunc(r.serve))
	r.Store = httptest.NewServer(http.HandlerFunc(r.store))
	return r
}

// Stop ends it.
func (r *Registry) Stop() {
	r.Server.Close()
	r.Store.Close()
}

// Host is how addresses name it.
func (r *Registry) Host() string { return strings.TrimPrefix(r.Server.URL, "http://") }

// Digest is how blobs go by.
func Digest(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Push puts a blob, and gives its digest.
func (r *Registry) Push(data []byte) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.blobs[Digest(data)] = data
	return Digest(data)
}

// Tag puts a manifest under a tag.
func (r *Registry) Tag(repo, tag string, manifest any) string {
	text, err := json.Marshal(manifest)
	if err != nil {
		panic(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.manifests[repo+":"+tag], r.manifests[repo+"@"+Digest(text)] = text, text
	return Digest(text)
}

// Blob is a blob as it was pushed, nil when it is not there.
func (r *Registry) Blob(digest string) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.blobs[digest]
}

// Manifest is a manifest by tag, nil when it is not there.
func (r *Registry) Manifest(repo, tag string) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.manifests[repo+":"+tag]
}

// Asked are the requests that came since, as METHOD path.
func (r *Registry) Asked() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	asked := r.asked
	r.asked = nil
	return asked
}

// Leaks are the requests that came with a login to the store of blobs.
func (r *Registry) Leaks() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.leaks)
}

const token = "a-token-of-the-registry"

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"errors":[{"code":%q,"message":"it is so"}]}`, code)
}

// store answers for blobs, as a bucket does: it refuses whoever comes with a login.
func (r *Registry) store(w http.ResponseWriter, q *http.Request) {
	r.mu.Lock()
	data := r.blobs[strings.TrimPrefix(q.URL.Path, "/")]
	if q.Header.Get("Authorization") != "" || q.Header.Get("Cookie") != "" {
		r.leaks = append(r.leaks, q.Method+" "+q.URL.Path)
	}
	r.mu.Unlock()
	if r.Asks != "" {
		w.Header().Set("WWW-Authenticate", r.Asks)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if q.Header.Get("Authorization") != "" {
		http.Error(w, "only one auth mechanism", http.StatusBadRequest)
		return
	}
	http.ServeContent(w, q, "", time.Time{}, strings.NewReader(string(data)))
}

func (r *Registry) serve(w http.ResponseWriter, q *http.Request) {
	r.mu.Lock()
	r.asked = append(r.asked, q.Method+" "+q.URL.Path)
	change := r.Change
	r.mu.Unlock()
	if change != nil && change(w, q) {
		return
	}
	if q.URL.Path == "/token" {
		user, password, _ := q.BasicAuth()
		if r.Login != "" && user+":"+password != r.Login {
			refuse(w, http.StatusUnauthorized, "UNAUTHORIZED")
			return
		}
		fmt.Fprintf(w, `{"token":%q}`, token)
		return
	}
	repo, rest, what := "", "", ""
	for _, what = range []string{"manifests", "blobs", "tags"} {
		var ok bool
		if repo, rest, ok = strings.Cut(strings.TrimPrefix(q.URL.Path, "/v2/"), "/"+what+"/"); ok {
			break
		}
	}
	if r.Login != "" && q.Header.Get("Authorization") != "Bearer "+token {
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s/token",service="test",scope="repository:%s:pull"`, r.URL, repo))
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED")
		return
	}
	switch {
	case what == "tags":
		r.tags(w, repo)
	case what == "manifests":
		r.manifest(w, q, repo, rest)
	case strings.HasPrefix(rest, "uploads/"):
		r.upload(w, q, repo, strings.TrimPrefix(rest, "uploads/"))
	default:
		r.blob(w, q, rest)
	}
}

func (r *Registry) tags(w http.ResponseWriter, repo string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	tags := []string{}
	for name := range r.manifests {
		if tag, ok := strings.CutPrefix(name, repo+":"); ok {
			tags = append(tags, tag)
		}
	}
	if slices.Sort(tags); len(tags) == 0 {
		refuse(w, http.StatusNotFound, "NAME_UNKNOWN")
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"name": repo, "tags": tags})
}

func (r *Registry) manifest(w http.ResponseWriter, q *http.Request, repo, reference string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := repo + ":" + reference
	if strings.Contains(reference, ":") {
		at = repo + "@" + reference
	}
	if q.Method == http.MethodPut {
		text, err := io.ReadAll(q.Body)
		var m struct{ Layers []struct{ Digest string } }
		if err != nil || json.Unmarshal(text, &m) != nil || strings.Contains(reference, ":") && reference != Digest(text) {
			refuse(w, http.StatusBadRequest, "MANIFEST_INVALID")
			return
		}
		for _, l := range m.Layers {
			if r.blobs[l.Digest] == nil {
				refuse(w, http.StatusNotFound, "MANIFEST_BLOB_UNKNOWN")
				return
			}
		}
		r.manifests[at], r.manifests[repo+"@"+Digest(text)], r.media[Digest(text)] = text, text, q.Header.Get("Content-Type")
		w.Header().Set("Docker-Content-Digest", Digest(text))
		w.WriteHeader(http.StatusCreated)
		return
	}
	text := r.manifests[at]
	if text == nil {
		refuse(w, http.StatusNotFound, "MANIFEST_UNKNOWN")
		return
	}
	w.Header().Set("Docker-Content-Digest", Digest(text))
	if media := r.media[Digest(text)]; media != "" {
		w.Header().Set("Content-Type", media)
	}
	_, _ = w.Write(text)
}

func (r *Registry) blob(w http.ResponseWriter, q *http.Request, digest string) {
	data := r.Blob(digest)
	switch {
	case data == nil:
		refuse(w, http.StatusNotFound, "BLOB_UNKNOWN")
	case r.Away && q.Method == http.MethodGet:
		http.Redirect(w, q, r.Store.URL+"/"+digest, http.StatusTemporaryRedirect)
	default:
		http.ServeContent(w, q, "", time.Time{}, strings.NewReader(string(data)))
	}
}

// upload is the protocol of uploads by chunks.
func (r *Registry) upload(w http.ResponseWriter, q *http.Request, repo, id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if q.Method == http.MethodPost {
		id = strconv.Itoa(len(r.uploads) + 1)
		r.uploads[id] = []byte{}
	}
	have, there := r.uploads[id]
	if !there {
		refuse(w, http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN")
		return
	}
	if r.Chunk != nil && r.Chunk(w, q, int64(len(have))) {
		return
	}
	if at, _, ok := strings.Cut(q.Header.Get("Content-Range"), "-"); ok && at != strconv.Itoa(len(have)) {
		w.Header().Set("Range", fmt.Sprintf("0-%d", len(have)-1))
		refuse(w, http.StatusRequestedRangeNotSatisfiable, "BLOB_UPLOAD_INVALID")
		return
	}
	part, err := io.ReadAll(q.Body)
	have = append(slices.Clip(have), part...)
	r.uploads[id] = have
	if err != nil {
		return
	}
	if r.Lost != nil && r.Lost(q) {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	h := w.Header()
	h.Set("Location", fmt.Sprintf("/v2/%s/blobs/uploads/%s", repo, id))
	h.Set("Docker-Upload-UUID", id)
	h.Set("Range", fmt.Sprintf("0-%d", max(0, len(have)-1)))
	switch q.Method {
	case http.MethodPut:
		digest := q.URL.Query().Get("digest")
		if digest != Digest(have) {
			refuse(w, http.StatusBadRequest, "DIGEST_INVALID")
			return
		}
		r.blobs[digest] = have
		delete(r.uploads, id)
		h.Set("Docker-Content-Digest", digest)
		w.WriteHeader(http.StatusCreated)
	case http.MethodGet:
		w.WriteHeader(http.StatusNoContent)
	default:
		w.WriteHeader(http.StatusAccepted)
	}
}
