package remote

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// Upload is a piece of a file to send, and where to.
type Upload struct {
	Name   string // in errors
	URL    string // signed: the token is not sent along
	Header http.Header
	From   io.ReaderAt
	Off, N int64
	Check  func(http.Header) error // nil, or looks at the answer; what it refuses is sent again
	Moved  func(int64)             // nil, or called with what goes out, and with negative numbers for what has to go again
}

// Upload sends a piece by PUT, as often as it takes. What is not 2xx is a *StatusError. When it returns nothing
// reads From any more.
func (c *Client) Upload(ctx context.Context, u Upload) (*Answer, error) {
	a := c.attempts(u.Name, u.Off, u.N)
	for {
		p := &payload{from: u.From, off: u.Off, n: u.N, moved: u.Moved}
		answer, err := c.once(ctx, Request{Method: http.MethodPut, URL: u.URL, Header: u.Header, Signed: true, piece: p}, a.silence())
		p.wait()
		if err == nil && u.Check != nil {
			if err = u.Check(answer.Header); err != nil {
				err = &failure{kind: unsound, err: err}
			}
		}
		if err == nil {
			return answer, nil
		}
		p.back()
		if err := a.again(ctx, p.cause(err)); err != nil {
			return nil, err
		}
	}
}

// What a server may refuse is announced before it is sent: who hangs up in the midst of it is not heard.
const (
	announced    = 1 << 20
	announceWait = 2 * time.Second // for the answer to that; not every server gives one
)

// payload is what a request sends; of no bytes, nothing.
type payload struct {
	from   io.ReaderAt
	off, n int64
	moved  func(int64)

	open sync.WaitGroup // readers of it
	mu   sync.Mutex
	gone int64 // bytes of it that were read
	err  error // of from
}

func (r *Request) body() *payload {
	if r.piece != nil {
		return r.piece
	}
	return &payload{from: bytes.NewReader(r.Body), n: int64(len(r.Body))}
}

// into makes it a request's body. Reading it is a sign of life.
func (p *payload) into(req *http.Request, w *watch) {
	if p.n == 0 {
		return
	}
	req.GetBody = func() (io.ReadCloser, error) { // again, where a connection turns out to be closed already
		p.back()
		p.open.Add(1)
		return &outgoing{p: p, w: w, r: io.NewSectionReader(p.from, p.off, p.n)}, nil
	}
	req.Body, _ = req.GetBody()
	req.ContentLength = p.n
	if p.n >= announced {
		req.Header.Set("Expect", "100-continue")
	}
}

// wait returns when nobody reads it.
func (p *payload) wait() { p.open.Wait() }

// back takes back what was counted.
func (p *payload) back() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.add(-p.gone)
}

func (p *payload) count(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.add(n)
}

func (p *payload) add(n int64) {
	p.gone += n
	if p.moved != nil && n != 0 {
		p.moved(n)
	}
}

// cause is why sending failed with err: what could not be read is not asked for again.
func (p *payload) cause(err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return &failure{kind: refused, err: p.err}
	}
	return err
}

// outgoing reads a payload once.
type outgoing struct {
	p      *payload
	w      *watch
	r      *io.SectionReader
	closed sync.Once
}

func (o *outgoing) Read(b []byte) (int, error) {
	n, err := o.r.Read(b)
	if left := o.r.Size() - o.at(); err == io.EOF && left > 0 {
		err = fmt.Errorf("it ends %d bytes before the end that it had: %w", left, io.ErrUnexpectedEOF)
	}
	if err != nil && err != io.EOF {
		o.p.mu.Lock()
		o.p.err = err
		o.p.mu.Unlock()
	}
	o.w.alive()
	o.p.count(int64(n))
	return n, err
}

func (o *outgoing) at() int64 {
	at, _ := o.r.Seek(0, io.SeekCurrent)
	return at
}

func (o *outgoing) Close() error {
	o.closed.Do(o.p.open.Done)
	return nil
}
