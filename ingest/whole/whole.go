// Package whole reads a file once, from front to back: it takes the SHA-256 of all of it, and on
// the way the hashes and statistics of the tensors in it.
//
// Most users need [Read] and, in what they give it, [Tensors].
//
// Invariants: each byte is read once and counts for both; where the SHA-256 is not the declared
// digest there is an error, whatever else was found; what lies elsewhere may be read a second
// time, so what a pass filled in counts only when Read returns without one.
package whole

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"

	"wreg/ingest/files"
	"wreg/ingest/place"
	"wreg/ingest/sums"
	"wreg/registry/tensor"
)

// DigestError is a file whose bytes are not those of its declared digest.
type DigestError struct {
	Name, Want, Got string
	Twice           bool // it was read a second time, past what is kept on the way
}

func (e *DigestError) Error() string {
	then := "it is damaged, or another file; download it again"
	if e.Twice {
		then = "it was read twice: the server, or what lies in between, alters it, or declares what it is not"
	}
	return fmt.Sprintf("%s: its SHA-256 is %s, declared is %s: %s", e.Name, e.Got, e.Want, then)
}

// Wrong reports an error that says of a file that its bytes are not those of its declared digest.
func Wrong(err error) bool {
	_, wrong := errors.AsType[*DigestError](err)
	return wrong
}

// Read gives a file to pass, which reads as much as it needs, and holds its SHA-256 against the
// declared digest, if there is one. It gives the digest.
func Read(ctx context.Context, b files.Blob, info tensor.File, pass func(io.Reader) error) (digest string, err error) {
	far, elsewhere := b.(place.Streamer)
	for again := false; ; again = true {
		var r io.ReadCloser = io.NopCloser(io.NewSectionReader(b, 0, info.Size))
		if elsewhere {
			r = far.Stream(ctx, 0, again)
		}
		digest, fault, err := sum(ctx, r, info, pass)
		switch err = errors.Join(err, r.Close()); {
		case ctx.Err() != nil:
			return "", ctx.Err()
		case err != nil:
			return "", err
		case info.Digest == "" || digest == info.Digest:
			return digest, fault
		case !elsewhere || again:
			return "", &DigestError{info.Name, info.Digest, digest, elsewhere}
		}
	}
}

// sum gives r to pass, reads what that leaves, and gives the SHA-256 of it all. fault is what pass
// says: of bytes that are not those that were declared it says nothing.
func sum(ctx context.Context, r io.Reader, info tensor.File, pass func(io.Reader) error) (digest string, fault, err error) {
	t := newTee(ctx, r)
	defer t.close()
	fault = pass(t)
	if _, err := io.Copy(io.Discard, t); err != nil {
		return "", nil, fmt.Errorf("%s: %w", info.Name, err)
	}
	if t.read != info.Size {
		return "", nil, fmt.Errorf("%s: %d bytes came, it has %d: %w", info.Name, t.read, info.Size, io.ErrUnexpectedEOF)
	}
	return tensor.Hash(t.close()).String(), fault, nil
}

// stretch is how much is read at a time.
const stretch = 1 << 20

// tee hands out what it reads, while another goroutine takes its SHA-256.
type tee struct {
	ctx    context.Context
	r      io.Reader
	read   int64
	now    []byte // read, and not given out
	chunks [2]chunk
	turn   int
	err    error

	work   chan *chunk
	done   chan struct{}
	closed bool
	sha    [sha256.Size]byte
}

// chunk is a stretch of the file; free holds a token while nobody hashes it.
type chunk struct {
	data []byte
	free chan struct{}
}

func newTee(ctx context.Context, r io.Reader) *tee {
	t := &tee{ctx: ctx, r: r, work: make(chan *chunk, 1), done: make(chan struct{})}
	for i := range t.chunks {
		t.chunks[i] = chunk{make([]byte, stretch), make(chan struct{}, 1)}
		t.chunks[i].free <- struct{}{}
	}
	go func() {
		defer close(t.done)
		h := sha256.New()
		for c := range t.work {
			h.Write(c.data)
			c.free <- struct{}{}
		}
		h.Sum(t.sha[:0])
	}()
	return t
}

func (t *tee) Read(p []byte) (int, error) {
	for len(t.now) == 0 {
		if t.err != nil {
			return 0, t.err
		}
		if t.err = t.ctx.Err(); t.err != nil {
			return 0, t.err
		}
		c := &t.chunks[t.turn]
		t.turn ^= 1
		<-c.free
		var n int
		n, t.err = io.ReadFull(t.r, c.data[:stretch])
		if t.err == io.ErrUnexpectedEOF {
			t.err = io.EOF // of the file, which may be of any length
		}
		c.data = c.data[:n]
		t.read += int64(n)
		t.now = c.data
		t.work <- c
	}
	n := copy(p, t.now)
	t.now = t.now[n:]
	return n, nil
}

// close ends the other goroutine and gives the SHA-256 of what was read.
func (t *tee) close() [sha256.Size]byte {
	if !t.closed {
		t.closed = true
		close(t.work)
	}
	<-t.done
	return t.sha
}

// InOrder sorts tensors as they lie in their file. ok says that each lies there plainly, and that
// none begins before another ends: they can be read from front to back.
func InOrder[T any](list []T, of func(T) *tensor.Info) (ok bool) {
	slices.SortStableFunc(list, func(a, b T) int {
		return cmp.Or(cmp.Compare(of(a).Offset, of(b).Offset), cmp.Compare(of(a).Bytes, of(b).Bytes))
	})
	end := int64(0)
	for _, x := range list {
		t := of(x)
		if t.Offset < end {
			return false
		}
		end = t.Offset + t.Bytes
	}
	return true
}

// Tensors reads a file from front to back and hashes the tensors in it, which are InOrder. The
// first bytes go to header, each tensor that was hashed to each.
func Tensors(ctx context.Context, h *sums.Hasher, r io.Reader, first int64, header func([]byte) error, list []*tensor.Info, each func(i int)) error {
	data := make([]byte, first)
	if n, err := io.ReadFull(r, data); err != nil {
		return fmt.Errorf("bytes %d:%d: %w", n, first, err)
	}
	if err := header(data); err != nil {
		return err
	}
	at := first
	for i, t := range list {
		if _, err := io.CopyN(io.Discard, r, t.Offset-at); err != nil {
			return fmt.Errorf("bytes %d:%d: %w", at, t.Offset, err)
		}
		if err := h.Hash(ctx, t, &onward{r, 0}); err != nil {
			return fmt.Errorf("tensor %q: %w", t.Path, err)
		}
		at = t.Offset + t.Bytes
		each(i)
	}
	return nil
}

// onward is a stretch of a stream that is read from front to back.
type onward struct {
	r  io.Reader
	at int64
}

func (o *onward) ReadAt(p []byte, off int64) (int, error) {
	if off != o.at {
		return 0, fmt.Errorf("byte %d of a stream was asked for, it is at %d", off, o.at)
	}
	n, err := io.ReadFull(o.r, p)
	o.at += int64(n)
	return n, err
}
