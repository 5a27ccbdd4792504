package remote

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	headBytes  = 128 << 10 // read first: it holds the header of nearly every file
	tailBytes  = 128 << 10 // read together at the end, where a zip keeps its directory
	leastBytes = 512       // of a range
	smallBytes = 128 << 10 // reads up to this are served from what was read around them
	mostBytes  = 16 << 20  // that are read ahead of small reads
	segments   = 4         // stretches that are kept of them
)

// File is a file that is read by ranges. It is safe for use by many goroutines.
type File struct {
	c      *Client
	src    Source
	ctx    context.Context
	cancel context.CancelFunc
	fresh  bool // caches in between are asked not to answer

	locating chan struct{} // held by who asks where the file lies

	mu     sync.Mutex
	facts  Facts
	known  bool              // facts.Size is known
	marks  map[string]string // validator by origin
	at     *place
	direct bool // it lies where it is asked for
	head   *head
	kept   []segment // latest last
	ahead  []segment // by offset
}

// place is where a redirect led, while that holds.
type place struct {
	url     string
	until   time.Time
	trusted bool
}

// segment is a stretch of the file.
type segment struct {
	off  int64
	data []byte
}

// head is the file's beginning, being read or read.
type head struct {
	done chan struct{}
	data []byte
	err  error
}

// Open gives a file; nothing is asked yet. All its requests end with ctx, or when it is closed.
func (c *Client) Open(ctx context.Context, s Source) *File {
	f := &File{c: c, src: s, locating: make(chan struct{}, 1), marks: map[string]string{}, facts: Facts{Size: s.Size}, known: s.Size >= 0}
	f.ctx, f.cancel = context.WithCancel(ctx)
	return f
}

// Close ends what is under way.
func (f *File) Close() error {
	f.cancel()
	f.Release()
	if f.fresh { // its connections are its own
		f.c.Close()
	}
	return nil
}

// Size is the file's size, -1 while it is not known.
func (f *File) Size() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.known {
		return -1
	}
	return f.facts.Size
}

// Facts asks for the file's beginning, unless it is known, and says what the answer told.
func (f *File) Facts() (Facts, error) {
	f.mu.Lock()
	facts := f.facts
	f.mu.Unlock()
	if facts.First == nil && (f.src.Size != 0) {
		if _, err := f.beginning(f.ctx); err != nil {
			return Facts{}, err
		}
		f.mu.Lock()
		facts = f.facts
		f.mu.Unlock()
	}
	return facts, nil
}

// Prefetch begins to read the file's beginning.
func (f *File) Prefetch() { f.start(f.ctx) }

// start begins to read the beginning, unless that is done.
func (f *File) start(ctx context.Context) *head {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.head != nil {
		return f.head
	}
	h := &head{done: make(chan struct{})}
	f.head = h
	n := int64(headBytes)
	if f.known {
		n = min(n, f.facts.Size)
	}
	go func() {
		defer close(h.done)
		data := make([]byte, n)
		k, err := f.get(ctx, data, 0)
		h.data, h.err = data[:k], err
		if err != nil {
			f.mu.Lock()
			if f.head == h { // the next read asks again
				f.head = nil
			}
			f.mu.Unlock()
		}
	}()
	return h
}

// beginning waits for the file's beginning.
func (f *File) beginning(ctx context.Context) ([]byte, error) {
	h := f.start(f.ctx)
	select {
	case <-h.done:
		return h.data, h.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// ReadAt implements io.ReaderAt. Small reads are served from what was read around them.
func (f *File) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, &Error{Name: f.src.Name, Cause: fmt.Errorf("offset %d is negative", off)}
	}
	if f.Size() < 0 {
		if _, err := f.beginning(f.ctx); err != nil {
			return 0, err
		}
	}
	size := f.Size()
	want := p[:min(int64(len(p)), max(0, size-off))]
	for n := 0; n < len(want); {
		k, err := f.some(want[n:], off+int64(n), size, len(p))
		n += k
		if err != nil {
			return n, err
		}
	}
	if len(want) < len(p) {
		return len(want), io.EOF
	}
	return len(want), nil
}

// some reads some of what is asked for; whole is how much that was to begin with.
func (f *File) some(p []byte, off, size int64, whole int) (int, error) {
	if off < headBytes {
		data, err := f.beginning(f.ctx)
		if err != nil {
			return 0, err
		}
		if off < int64(len(data)) {
			return copy(p, data[off:]), nil
		}
		return 0, io.ErrUnexpectedEOF // never: the beginning is as long as the file, or headBytes
	}
	if n := f.copyKept(p, off); n > 0 {
		return n, nil
	}
	if whole > smallBytes {
		return f.get(f.ctx, p, off)
	}
	from, n, after := f.around(int64(len(p)), off, size)
	data := make([]byte, n)
	if _, err := f.get(f.ctx, data, from); err != nil {
		return 0, err
	}
	f.keep(segment{from, data}, after)
	return copy(p, data[off-from:]), nil
}

// around is what to read for n bytes at off: more where reading goes on, and the whole tail
// at the end. after is the offset of the segment that it goes on from, or -1.
func (f *File) around(n, off, size int64) (from, count, after int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	from, after = off, -1
	grown := int64(leastBytes)
	if off == headBytes {
		grown = 4 * headBytes
	}
	for _, s := range f.kept {
		if s.off+int64(len(s.data)) == off {
			grown, after = min(4*int64(len(s.data)), mostBytes), s.off
		}
	}
	if tail := max(headBytes, size-tailBytes); after < 0 && off > tail {
		return tail, size - tail, -1
	}
	return from, min(max(n, grown), size-off), after
}

func (f *File) copyKept(p []byte, off int64) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s := f.held(off); s != nil {
		return copy(p, s.data[off-s.off:])
	}
	for _, s := range f.kept {
		if at := off - s.off; at >= 0 && at < int64(len(s.data)) {
			return copy(p, s.data[at:])
		}
	}
	return 0
}

// keep remembers a segment in place of the one it goes on from, or of the oldest.
func (f *File) keep(s segment, after int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	drop := -1
	for i, k := range f.kept {
		if k.off == after || k.off == s.off {
			drop = i
		}
	}
	if drop < 0 && len(f.kept) == segments {
		drop = 0
	}
	if drop >= 0 {
		f.kept = append(f.kept[:drop:drop], f.kept[drop+1:]...)
	}
	f.kept = append(f.kept, s)
}

// get fills p from off, from as many connections as it takes. It gives less only where
// the file's size was not known and it ends sooner.
func (f *File) get(ctx context.Context, p []byte, off int64) (n int, err error) {
	a := f.c.attempts(f.src.Name, off, int64(len(p)))
	for n < len(p) {
		k, err := f.try(ctx, p[n:], off+int64(n), a.silence())
		n += k
		f.c.notice(Event{Name: f.src.Name, Bytes: int64(k)})
		if err == nil || err == io.EOF {
			break
		}
		a.brought(k)
		if err := a.again(ctx, err); err != nil {
			return n, err
		}
		if a.tries > 1 {
			f.forget() // another of its servers may do better
		}
	}
	return n, nil
}

// try is one request for len(p) bytes from off, and what came of it. io.EOF says that the
// file ends before len(p).
func (f *File) try(ctx context.Context, p []byte, off int64, silence time.Duration) (int, error) {
	rep, n, whole, err := f.ask(ctx, off, int64(len(p)), silence)
	if err != nil {
		return 0, err
	}
	defer rep.close()
	k, err := io.ReadFull(rep.body, p[:n])
	if err != nil {
		return k, broken(err)
	}
	if !whole { // one more byte would be one too many; none lets the connection be used again
		if extra, err := rep.body.Read(make([]byte, 1)); extra > 0 {
			return 0, failed(unsound, "the answer has more bytes than the %d that it announced", n)
		} else if err != nil && err != io.EOF {
			return k, nil // all that was asked for is here
		}
	}
	if n < int64(len(p)) {
		return k, io.EOF
	}
	return k, nil
}

// ask sends the request to where the file lies, if that is known, and judges the answer.
func (f *File) ask(ctx context.Context, off, n int64, silence time.Duration) (rep *reply, have int64, whole bool, err error) {
	at, direct := f.where()
	if at == nil && !direct { // one at a time asks, the others use what it learns
		select {
		case f.locating <- struct{}{}:
			defer func() { <-f.locating }()
		case <-ctx.Done():
			return nil, 0, false, context.Cause(ctx)
		}
		at, _ = f.where()
	}
	h := http.Header{"Range": {fmt.Sprintf("bytes=%d-%d", off, off+n-1)}}
	if f.fresh {
		h.Set("Cache-Control", "no-cache")
	}
	if rep, err = f.send(ctx, at, h, silence); err != nil {
		return nil, 0, false, err
	}
	if have, whole, err = f.judge(rep, off, n); err == nil {
		err = f.learn(rep, at)
	}
	if err != nil {
		rep.close()
		return nil, 0, false, err
	}
	return rep, have, whole, nil
}

// where is the place that a redirect led to, while it holds.
func (f *File) where() (at *place, direct bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.at != nil && f.c.o.Now().After(f.at.until) {
		f.at = nil
	}
	return f.at, f.direct
}

// forget has the next request ask again where the file lies.
func (f *File) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at = nil
}

func (f *File) send(ctx context.Context, at *place, h http.Header, silence time.Duration) (*reply, error) {
	r, trusted := Request{URL: f.src.URL, Header: h}, true
	if at != nil {
		r.URL, trusted = at.url, at.trusted
	}
	here := Origin(r.URL)
	if here == Origin(f.src.URL) {
		for k, v := range f.src.Header {
			h[http.CanonicalHeaderKey(k)] = v
		}
	}
	f.condition(h, here)
	rep, err := f.c.send(ctx, r, trusted, silence)
	if err != nil || at == nil && rep.hops == 0 {
		return rep, err
	}
	if signed[rep.StatusCode] {
		defer rep.close()
		f.forget()
		return nil, &failure{kind: expired, err: rep.status().err}
	}
	return rep, nil
}

// condition asks for the file only as it was seen at this origin.
func (f *File) condition(h http.Header, origin string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch mark := f.marks[origin]; {
	case strings.HasPrefix(mark, `"`):
		h.Set("If-Match", mark)
	case mark != "" && !strings.HasPrefix(mark, "W/"):
		h.Set("If-Unmodified-Since", mark)
	}
}

// learn keeps what an answer says of the file, and refuses what is another one.
func (f *File) learn(rep *reply, at *place) error {
	if at == nil && f.src.Check != nil {
		if err := f.src.Check(rep.first); err != nil {
			return &failure{kind: refused, err: err}
		}
	}
	etag, modified := rep.Header.Get("ETag"), rep.Header.Get("Last-Modified")
	mark := etag
	if mark == "" {
		mark = modified
	}
	from := origin(rep.url)
	f.mu.Lock()
	defer f.mu.Unlock()
	if old := f.marks[from]; old != "" && mark != "" && old != mark {
		return failed(changed, "%w: it was %s, it is %s", ErrChanged, quote(old), quote(mark))
	} else if old == "" {
		f.marks[from] = mark
	}
	if f.facts.First == nil {
		f.facts.ETag, f.facts.Modified, f.facts.First = etag, modified, rep.first
	}
	switch {
	case at == nil && rep.hops > 0:
		f.at = &place{url: rep.url.String(), until: holds(rep.url, f.c.o.Now()), trusted: rep.trusted}
	case at == nil:
		f.direct = true
	}
	return nil
}

// sized compares the file's size with what an answer says of it.
func (f *File) sized(total int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.known && f.facts.Size != total {
		return failed(changed, "%w: it had %d bytes, it has %d", ErrChanged, f.facts.Size, total)
	}
	f.facts.Size, f.known = total, true
	return nil
}
