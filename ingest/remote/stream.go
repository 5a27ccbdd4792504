package remote

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sync"
)

// StreamBytes is the range that a stream asks for at a time.
const StreamBytes = 8 << 20

// StreamAhead is how many ranges are enough to have under way in one file.
const StreamAhead = 4

// Stream reads n bytes from off on, to the end when n is negative, in order: by ranges of
// StreamBytes, ahead of them under way at once. It holds ahead+1 ranges in memory.
func (f *File) Stream(ctx context.Context, off, n int64, ahead int) io.ReadCloser {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(f.ctx, cancel)
	s := &stream{f: f, ctx: ctx, cancel: func() { stop(); cancel() }, next: off, end: -1, ahead: max(1, ahead)}
	if n >= 0 {
		s.end = off + n
	}
	return s
}

// Rest reads the file from off to its end, StreamAhead ranges ahead; afresh: by connections of
// its own and past caches, until the file is closed. explain words what goes wrong.
func (f *File) Rest(ctx context.Context, off int64, afresh bool, explain func(error) error) io.ReadCloser {
	from := f
	if afresh {
		from = f.Afresh()
		context.AfterFunc(f.ctx, func() { from.Close() })
	}
	return &worded{from.Stream(ctx, off, f.src.Size-off, StreamAhead), explain}
}

// worded is a stream whose errors say what they mean to who asked.
type worded struct {
	io.ReadCloser
	explain func(error) error
}

func (w *worded) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = w.explain(err)
	}
	return n, err
}

// Held is Rest of a file that is in memory, or of one that could not be brought there.
func Held(data []byte, off int64, err error) io.ReadCloser {
	if err != nil {
		return &held{err: err}
	}
	return &held{Reader: bytes.NewReader(data[min(off, int64(len(data))):])}
}

type held struct {
	*bytes.Reader
	err error
}

func (h *held) Read(p []byte) (int, error) {
	if h.err != nil {
		return 0, h.err
	}
	return h.Reader.Read(p)
}

func (*held) Close() error { return nil }

type stream struct {
	f         *File
	ctx       context.Context
	cancel    func()
	next, end int64 // of what is not asked for yet; end -1: the file's
	ahead     int
	queue     []*piece // asked for, in order
	now       []byte   // read, not given out
	buffer    []byte   // that now is part of
	free      [][]byte
	err       error
	workers   sync.WaitGroup
}

// piece is one range of a stream.
type piece struct {
	data []byte
	err  error
	done chan struct{}
}

func (s *stream) Read(p []byte) (int, error) {
	for len(s.now) == 0 {
		if s.err != nil {
			return 0, s.err
		}
		s.err = s.fill()
	}
	n := copy(p, s.now)
	s.now = s.now[n:]
	return n, nil
}

// fill asks for what may be under way, and waits for the next range.
func (s *stream) fill() error {
	if s.end < 0 || s.f.Size() < 0 {
		facts, err := s.f.Facts()
		if err != nil {
			return err
		}
		if s.end < 0 {
			s.end = facts.Size
		}
	}
	if size := s.f.Size(); s.end > size {
		return &Error{Name: s.f.src.Name, Cause: fmt.Errorf("bytes up to %d were asked for, it has %d", s.end, size)}
	}
	if s.buffer != nil {
		s.free, s.buffer = append(s.free, s.buffer), nil
	}
	for len(s.queue) < s.ahead && s.next < s.end {
		s.ask(min(StreamBytes, s.end-s.next))
	}
	if len(s.queue) == 0 {
		return io.EOF
	}
	p := s.queue[0]
	select {
	case <-p.done:
	case <-s.ctx.Done():
		return context.Cause(s.ctx)
	}
	s.queue = s.queue[1:]
	s.now, s.buffer = p.data, p.data[:cap(p.data)]
	return p.err
}

func (s *stream) ask(n int64) {
	p := &piece{done: make(chan struct{})}
	if k := len(s.free); k > 0 && int64(cap(s.free[k-1])) >= n {
		p.data, s.free = s.free[k-1][:n], s.free[:k-1]
	} else {
		p.data = make([]byte, n)
	}
	off := s.next
	s.next += n
	s.queue = append(s.queue, p)
	s.workers.Go(func() {
		defer close(p.done)
		var k int
		k, p.err = s.f.get(s.ctx, p.data, off)
		if p.err == nil && int64(k) < n {
			p.err = &Error{Name: s.f.src.Name, Off: off, N: n, Cause: io.ErrUnexpectedEOF}
		}
		p.data = p.data[:k]
	})
}

// Close ends what is under way and waits for it.
func (s *stream) Close() error {
	s.cancel()
	s.workers.Wait()
	s.err, s.now, s.queue, s.free = errors.New("the stream is closed"), nil, nil, nil
	return nil
}

// DigestError is a file whose bytes are not the declared ones, read twice.
type DigestError struct{ Name, Want, Got string }

func (e *DigestError) Error() string {
	return fmt.Sprintf("%s: its SHA-256 is %s, declared is %s, read twice; the server or what lies in between alters it", e.Name, e.Got, e.Want)
}

// Verified reads the file from front to back and gives it to pass, which reads what it
// needs. When the SHA-256 is not the declared one, pass is called once more with the file
// read again, by other connections and past caches: what it did before does not count.
func (f *File) Verified(ctx context.Context, ahead int, pass func(io.Reader) error) error {
	got, err := f.hashed(ctx, ahead, pass)
	if err != nil || f.src.SHA256 == "" || got == f.src.SHA256 {
		return err
	}
	f.c.notice(Event{Name: f.src.Name, Try: 1, Cause: &DigestError{f.src.Name, f.src.SHA256, got}})
	g := f.Afresh()
	defer g.Close()
	if got, err = g.hashed(ctx, ahead, pass); err == nil && got != f.src.SHA256 {
		err = &DigestError{f.src.Name, f.src.SHA256, got}
	}
	return err
}

// Afresh is the same file, read by connections of its own and past caches.
func (f *File) Afresh() *File {
	g := f.c.another().Open(f.ctx, f.src)
	g.fresh = true
	return g
}

// hashed gives the file to pass and its SHA-256.
func (f *File) hashed(ctx context.Context, ahead int, pass func(io.Reader) error) (string, error) {
	s := f.Stream(ctx, 0, -1, ahead)
	defer s.Close()
	h := sha256.New()
	r := io.TeeReader(s, h)
	if err := pass(r); err != nil {
		return "", err
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
