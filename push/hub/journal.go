package hub

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	"wreg/ingest/regular"
	"wreg/push"
)

// journal is what was sent of a file in parts: a line that says where to, then one for each part that arrived. The
// addresses in it let whoever has them write that file, so nobody else may read it.
type journal struct {
	SHA256 string   `json:"sha256"`
	Size   int64    `json:"size"`
	Chunk  int64    `json:"chunk"`
	Href   string   `json:"href"` // who puts the parts together
	URLs   []string `json:"urls"`

	path string // "" when nothing can be remembered
	file *os.File

	mu    sync.Mutex
	etags []string
}

// arrived is a line of a journal.
type arrived struct {
	Part int    `json:"part"`
	ETag string `json:"etag"`
}

// maxJournal bounds the bytes of a journal.
const maxJournal = 64 << 20

// journalDir is $XDG_CACHE_HOME/wreg/push, else ~/.cache.
func journalDir() string {
	base := os.Getenv("XDG_CACHE_HOME")
	if !filepath.IsAbs(base) {
		home, err := os.UserHomeDir()
		if err != nil {
			return ""
		}
		base = filepath.Join(home, ".cache")
	}
	return filepath.Join(base, "wreg", "push")
}

// journal opens what is remembered of a file, and where there is nothing begins it with what the hub says now.
func (t *Target) journal(f push.File, to *link, chunk string) (*journal, error) {
	j := &journal{SHA256: f.SHA256, Size: f.Size, Href: to.Href}
	var err error
	if j.Chunk, err = strconv.ParseInt(chunk, 10, 64); err != nil || j.Chunk <= 0 || (f.Size-1)/j.Chunk >= maxParts {
		return nil, fmt.Errorf("%s: the hub wants its %d bytes in parts of %.40q, which is no size, or makes more than %d", f.Name, f.Size, chunk, maxParts)
	}
	byNumber := map[int]string{}
	for k, v := range to.Header {
		if n, err := strconv.Atoi(k); err == nil {
			byNumber[n] = text(v)
		}
	}
	for k := range int((f.Size-1)/j.Chunk) + 1 {
		j.URLs = append(j.URLs, byNumber[k+1])
	}
	if len(byNumber) != len(j.URLs) || slices.Contains(j.URLs, "") {
		return nil, fmt.Errorf("%s: the hub wants %d parts, and names %d places for them", f.Name, len(j.URLs), len(byNumber))
	}
	j.etags = make([]string, len(j.URLs))
	if t.journals == "" {
		return j, nil
	}
	key := sha256.Sum256([]byte(t.login.Endpoint + "\n" + t.name.ID + "\n" + f.SHA256))
	j.path = filepath.Join(t.journals, fmt.Sprintf("%x.jsonl", key[:16]))
	if was := readJournal(j.path); was != nil && was.SHA256 == j.SHA256 && was.Size == j.Size && t.leads(was) {
		j.Chunk, j.Href, j.URLs, j.etags = was.Chunk, was.Href, was.URLs, was.etags
		j.file, err = os.OpenFile(j.path, os.O_WRONLY|os.O_APPEND, 0o600)
	} else {
		j.file, err = j.begin()
	}
	if err != nil { // a folder that cannot be written to costs a resume alone
		j.path, j.file = "", nil
	}
	return j, nil
}

// leads reports that every address of a journal is one that may be sent to.
func (t *Target) leads(j *journal) bool {
	return !slices.ContainsFunc(append([]string{j.Href}, j.URLs...), func(at string) bool { _, err := t.address(at); return err != nil })
}

func (j *journal) begin() (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(j.path), 0o700); err != nil {
		return nil, err
	}
	os.Remove(j.path)
	f, err := os.OpenFile(j.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	if _, err := f.Write(append(encode(j), '\n')); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// readJournal gives nil for what is not whole: its last line may have been cut by the end of who wrote it.
func readJournal(path string) *journal {
	data, err := regular.Read(path, maxJournal)
	if err != nil {
		return nil
	}
	first, rest, _ := bytes.Cut(data, []byte("\n"))
	var j journal
	if json.Unmarshal(first, &j) != nil || j.Chunk <= 0 || j.Size <= 0 || len(j.URLs) > maxParts || int64(len(j.URLs)) != (j.Size-1)/j.Chunk+1 {
		return nil
	}
	j.etags = make([]string, len(j.URLs))
	for line := range bytes.Lines(rest) {
		var a arrived
		if !bytes.HasSuffix(line, []byte("\n")) || json.Unmarshal(line, &a) != nil || a.Part < 1 || a.Part > len(j.etags) || a.ETag == "" {
			return nil
		}
		j.etags[a.Part-1] = a.ETag
	}
	return &j
}

// bytes is the size of part k.
func (j *journal) bytes(k int) int64 { return min(j.Chunk, j.Size-int64(k)*j.Chunk) }

// add remembers a part that arrived.
func (j *journal) add(k int, etag string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.etags[k] = etag
	if j.file != nil {
		if _, err := j.file.Write(append(encode(arrived{k + 1, etag}), '\n')); err != nil {
			j.file.Close()
			j.file = nil
		}
	}
}

func (j *journal) close() {
	if j.file != nil {
		j.file.Close()
	}
}

// remove forgets it: the file is there, or has to be sent anew.
func (j *journal) remove() {
	if j.path != "" {
		os.Remove(j.path)
	}
}
