// Package headers remembers what was read of files elsewhere to know what is in them, so
// that it need not be asked for again: by the digest that is declared of the whole file.
//
// Most users need [Cached], [Store.Through] and [Reader.Keep].
//
// Invariants: a header proves nothing of its file, so what one hub said is never used for
// another; an entry that is damaged, cut short, about another file or too large counts as
// absent and is written again; nothing fails because there is no cache.
package headers

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"wreg/ingest/regular"
)

// MaxKept bounds the bytes that are remembered of one file, and maxEntry those of an entry.
const (
	MaxKept    = 32 << 20
	maxEntry   = 33 << 20
	maxExtents = 1 << 14
)

const magic = "wreg header 1\n"

// Store is a folder of entries. A nil one remembers nothing.
type Store struct{ dir, from string }

// Cached is the store in $XDG_CACHE_HOME/wreg/headers, else ~/.cache; from is the origin whose word the entries
// are. Nil where there is no home folder.
func Cached(from string) *Store {
	base := os.Getenv("XDG_CACHE_HOME")
	if !filepath.IsAbs(base) {
		home, err := os.UserHomeDir()
		if err != nil {
			return nil
		}
		base = filepath.Join(home, ".cache")
	}
	return &Store{filepath.Join(base, "wreg", "headers"), from}
}

var digestName = regexp.MustCompile(`^(sha256:[0-9a-f]{64}|sha1:[0-9a-f]{40})$`)

func (s *Store) path(digest string) string {
	if s == nil || !digestName.MatchString(digest) {
		return ""
	}
	kind, hex, _ := strings.Cut(digest, ":")
	return filepath.Join(s.dir, kind, hex)
}

// extent is a stretch of a file that is remembered.
type extent struct {
	off  int64
	data []byte
}

// about is what an entry says of itself, on the line after the magic.
type about struct {
	From    string     `json:"from"`
	Digest  string     `json:"digest"`
	Size    int64      `json:"size"`
	Extents [][2]int64 `json:"extents"`
}

// load reads an entry; nil when there is none that is sound and about this file.
func (s *Store) load(digest string, size int64) []extent {
	path := s.path(digest)
	if path == "" {
		return nil
	}
	data, err := regular.Read(path, maxEntry)
	if err != nil || len(data) < len(magic)+sha256.Size || !bytes.HasPrefix(data, []byte(magic)) {
		return nil
	}
	body, sum := data[:len(data)-sha256.Size], data[len(data)-sha256.Size:]
	if own := sha256.Sum256(body); !bytes.Equal(own[:], sum) {
		return nil
	}
	line, rest, _ := bytes.Cut(body[len(magic):], []byte("\n"))
	var a about
	if json.Unmarshal(line, &a) != nil || a.From != s.from || a.Digest != digest || a.Size != size || len(a.Extents) > maxExtents {
		return nil
	}
	list, end := make([]extent, 0, len(a.Extents)), int64(0)
	for _, e := range a.Extents {
		if off, n := e[0], e[1]; off < end || n <= 0 || n > int64(len(rest)) || off > size-n {
			return nil
		}
		list = append(list, extent{e[0], rest[:e[1]:e[1]]})
		rest, end = rest[e[1]:], e[0]+e[1]
	}
	if len(rest) > 0 {
		return nil
	}
	return list
}

// keep writes an entry. That it could not be written is no fault of what was read.
func (s *Store) keep(digest string, size int64, list []extent) {
	path := s.path(digest)
	if path == "" || os.MkdirAll(filepath.Dir(path), 0o700) != nil {
		return
	}
	a := about{From: s.from, Digest: digest, Size: size, Extents: make([][2]int64, len(list))}
	for i, e := range list {
		a.Extents[i] = [2]int64{e.off, int64(len(e.data))}
	}
	line, err := json.Marshal(a)
	if err != nil {
		return
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return
	}
	defer os.Remove(f.Name())
	sum := sha256.New()
	w := io.MultiWriter(f, sum)
	_, err = w.Write(append(append([]byte(magic), line...), '\n'))
	for _, e := range list {
		if err == nil {
			_, err = w.Write(e.data)
		}
	}
	if err == nil {
		_, err = f.Write(sum.Sum(nil))
	}
	// Not synced: a torn entry is found by its checksum.
	if err = cmp.Or(err, f.Close()); err == nil {
		_ = os.Rename(f.Name(), path)
	}
}

// Whole is a file that is remembered from end to end, nil when it is not.
func (s *Store) Whole(digest string, size int64) []byte {
	if list := s.load(digest, size); len(list) == 1 && int64(len(list[0].data)) == size {
		return list[0].data
	}
	return nil
}

// KeepWhole remembers a file from end to end.
func (s *Store) KeepWhole(digest string, data []byte) {
	if n := int64(len(data)); n > 0 && n <= MaxKept {
		s.keep(digest, n, []extent{{0, data}})
	}
}

// Reader gives the bytes of a file, those of the header from the store where they are remembered.
type Reader struct {
	s      *Store
	digest string
	size   int64
	r      io.ReaderAt

	mu      sync.Mutex
	list    []extent // sorted, apart, none touching the next
	held    int64
	fresh   bool // some of it was not in the store
	settled bool // the header was read: nothing is remembered any more
}

// Through reads r, a file of that digest and size, and remembers what is read until Keep.
func (s *Store) Through(digest string, size int64, r io.ReaderAt) *Reader {
	x := &Reader{s: s, digest: digest, size: size, r: r, list: s.load(digest, size), settled: s.path(digest) == ""}
	for _, e := range x.list {
		x.held += int64(len(e.data))
	}
	return x
}

// Known reports that the header is remembered, as far as anything that was read shows.
func (x *Reader) Known() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.list) > 0 && !x.fresh
}

// ReadAt reads from the store what it has, else from the file.
func (x *Reader) ReadAt(p []byte, off int64) (int, error) {
	x.mu.Lock()
	if i := x.at(off); i < len(x.list) && len(p) > 0 {
		if e := x.list[i]; e.off <= off && off+int64(len(p)) <= e.off+int64(len(e.data)) {
			n := copy(p, e.data[off-e.off:])
			x.mu.Unlock()
			return n, nil
		}
	}
	x.mu.Unlock()
	n, err := x.r.ReadAt(p, off)
	if n > 0 {
		x.add(off, p[:n])
	}
	return n, err
}

// at is the first extent that ends behind off.
func (x *Reader) at(off int64) int {
	i, _ := slices.BinarySearchFunc(x.list, off, func(e extent, off int64) int {
		if e.off+int64(len(e.data)) <= off {
			return -1
		}
		return 1
	})
	return i
}

// add remembers what was read, but for what is remembered already.
func (x *Reader) add(off int64, p []byte) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.settled {
		return
	}
	for len(p) > 0 {
		i := x.at(off)
		if i < len(x.list) && x.list[i].off <= off { // known up to there
			n := min(int64(len(p)), x.list[i].off+int64(len(x.list[i].data))-off)
			p, off = p[n:], off+n
			continue
		}
		n := int64(len(p))
		if i < len(x.list) {
			n = min(n, x.list[i].off-off)
		}
		if x.held+n > MaxKept || len(x.list) == maxExtents {
			x.settled, x.list = true, nil // more than a header: all of it is asked for again
			return
		}
		x.held, x.fresh = x.held+n, true
		if i > 0 && x.list[i-1].off+int64(len(x.list[i-1].data)) == off {
			x.list[i-1].data = append(x.list[i-1].data, p[:n]...)
			i--
		} else {
			x.list = slices.Insert(x.list, i, extent{off, slices.Clone(p[:n])})
		}
		if i+1 < len(x.list) && x.list[i].off+int64(len(x.list[i].data)) == x.list[i+1].off {
			x.list[i].data = append(x.list[i].data, x.list[i+1].data...)
			x.list = slices.Delete(x.list, i+1, i+2)
		}
		p, off = p[n:], off+n
	}
}

// Keep says that the header was read: what was read is written down, and let go.
func (x *Reader) Keep() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.fresh && !x.settled && len(x.list) > 0 {
		x.s.keep(x.digest, x.size, x.list)
	}
	x.settled, x.list = true, nil
}
