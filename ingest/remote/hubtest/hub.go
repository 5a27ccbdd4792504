// Package hubtest is a model hub on the loopback, with faults to switch on: for tests, and
// for the demo.
//
// Most users need [Start] and [Hub.Faults]; [Hub.Leaks] must stay 0.
//
// Invariants: it listens on the loopback only, on three ports: the hub, its CDN, where
// large files are redirected to with a signed URL, and a stranger, where the fault offhost
// leads; none but the hub may be sent a token, and every token that another got is counted.
package hubtest

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

// Options are what a hub serves, and how.
type Options struct {
	Repos   map[string]fs.FS // by ORG/NAME, the branch main, or ORG/NAME@REVISION
	Token   string           // the one that is good
	Gated   []string         // repositories whose files need it
	Private []string         // repositories that are not there without it
	Page    int              // entries of a page of the tree; 0: 1000
	Latency time.Duration    // before each answer
	Expires time.Duration    // of signed URLs; 0: an hour
	Large   int64            // files larger than this are redirected to the CDN, whatever their name; 0: 10 MB
	Faults  []Fault

	Store string // a folder to keep in what is pushed; "": nothing can be pushed
	Part  int64  // files larger than this are sent in parts of it; 0: every file at once
}

// Digested is an open file that says its digest itself, in hex: one that is too large to be read.
type Digested interface{ SHA256() string }

// Entry is a request that was answered.
type Entry struct {
	Port, Method, URL, Range string
	Status                   int
	Bytes                    int64
	Token                    bool
	Fault                    string
}

// Hub is a hub that runs.
type Hub struct {
	URL, CDN, Stranger string // of its three listeners

	o       Options
	secret  [16]byte
	servers []*http.Server
	ended   chan struct{}

	mu      sync.Mutex
	faults  []*struck
	log     []Entry
	leaks   int
	sums    map[string]string
	folders map[string]*folder
	pushed  pushed
}

// folder is one repository at one revision.
type folder struct {
	repo, name, commit string
	fs                 fs.FS
	files              []file
}

type file struct {
	name string
	size int64
	mod  time.Time
}

// Start serves on free ports.
func Start(o Options) (*Hub, error) {
	if o.Page <= 0 {
		o.Page = 1000
	}
	if o.Expires <= 0 {
		o.Expires = time.Hour
	}
	if o.Large <= 0 {
		o.Large = 10e6
	}
	h := &Hub{o: o, ended: make(chan struct{}), sums: map[string]string{}, folders: map[string]*folder{}}
	rand.Read(h.secret[:])
	for label, root := range o.Repos {
		repo, name, _ := strings.Cut(label, "@")
		f := &folder{repo: repo, name: name, fs: root}
		if f.name == "" {
			f.name = "main"
		}
		if err := h.survey(f); err != nil {
			return nil, fmt.Errorf("%s: %w", label, err)
		}
		h.folders[label] = f
	}
	h.Faults(o.Faults...)
	for _, port := range []struct {
		name string
		url  *string
	}{{"hub", &h.URL}, {"cdn", &h.CDN}, {"evil", &h.Stranger}} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			h.Close()
			return nil, err
		}
		*port.url = "http://" + l.Addr().String()
		s := &http.Server{Handler: h.handler(port.name), ReadHeaderTimeout: time.Minute}
		h.servers = append(h.servers, s)
		go s.Serve(l)
	}
	return h, nil
}

// Close ends the hub, and answers that are under way.
func (h *Hub) Close() {
	close(h.ended)
	for _, s := range h.servers {
		s.Close()
	}
}

// survey lists the files, and makes up the commit from their names and bytes.
func (h *Hub) survey(f *folder) error {
	sum := sha1.New()
	fmt.Fprintln(sum, f.repo, f.name)
	err := fs.WalkDir(f.fs, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := fs.Stat(f.fs, name)
		if err != nil {
			return err
		}
		f.files = append(f.files, file{name, info.Size(), info.ModTime()})
		fmt.Fprintln(sum, name, info.Size(), info.ModTime().UnixNano())
		return nil
	})
	slices.SortFunc(f.files, func(a, b file) int { return strings.Compare(a.name, b.name) })
	f.commit = hex.EncodeToString(sum.Sum(nil))
	return err
}

// Faults replaces all faults, and counts anew.
func (h *Hub) Faults(faults ...Fault) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.faults = nil
	for _, f := range faults {
		h.faults = append(h.faults, &struck{Fault: f})
	}
}

// Log is what was answered, in order.
func (h *Hub) Log() []Entry {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.log)
}

// Leaks counts the tokens that came where none should.
func (h *Hub) Leaks() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.leaks
}

// Forget empties the log.
func (h *Hub) Forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.log, h.leaks = nil, 0
}

// Resolve is the URL of a file.
func (h *Hub) Resolve(repo, revision, name string) string {
	return h.URL + "/" + repo + "/resolve/" + revision + "/" + name
}

// SHA256 is the digest of a file of a repository, "" when there is none.
func (h *Hub) SHA256(label, name string) string {
	f := h.labelled(label)
	if f == nil {
		return ""
	}
	return h.sum(f, name)
}

func (h *Hub) labelled(label string) *folder {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.folders[label]
}

// revision finds a folder by branch or commit.
func (h *Hub) revision(repo, rev string) *folder {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, f := range h.folders {
		if f.repo == repo && (rev == f.name || rev == "refs/heads/"+f.name || rev == f.commit) {
			return f
		}
	}
	return nil
}

// has reports whether there is any revision of a repository.
func (h *Hub) has(repo string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, f := range h.folders {
		if f.repo == repo {
			return true
		}
	}
	return false
}

// find gives a file of a folder.
func (f *folder) find(name string) (file, bool) {
	i, ok := slices.BinarySearchFunc(f.files, name, func(e file, n string) int { return strings.Compare(e.name, n) })
	if !ok {
		return file{}, false
	}
	return f.files[i], true
}

// large files are LFS's: they lie at the CDN.
var largeNames = []string{".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".gguf", ".npz", ".npy"}

func (h *Hub) large(f file) bool {
	return f.size > h.o.Large || slices.Contains(largeNames, path.Ext(f.name))
}

// sum is a file's SHA-256, computed once.
func (h *Hub) sum(f *folder, name string) string {
	key := f.repo + "@" + f.name + "/" + name
	h.mu.Lock()
	known := h.sums[key]
	h.mu.Unlock()
	if known != "" {
		return known
	}
	r, err := f.fs.Open(name)
	if err != nil {
		return ""
	}
	defer r.Close()
	if d, ok := r.(Digested); ok {
		known = d.SHA256()
	} else {
		s := sha256.New()
		if _, err := io.Copy(s, r); err != nil {
			return ""
		}
		known = hex.EncodeToString(s.Sum(nil))
	}
	h.mu.Lock()
	h.sums[key] = known
	h.mu.Unlock()
	return known
}

// oid is what git calls a file.
func oid(data []byte) string {
	s := sha1.New()
	fmt.Fprintf(s, "blob %d\x00", len(data))
	s.Write(data)
	return hex.EncodeToString(s.Sum(nil))
}

func pointer(sum string, size int64) []byte {
	return fmt.Appendf(nil, "version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n", sum, size)
}

func (h *Hub) sign(what string, expires int64) string {
	m := hmac.New(sha256.New, h.secret[:])
	fmt.Fprintln(m, what, expires)
	return hex.EncodeToString(m.Sum(nil))[:32]
}
