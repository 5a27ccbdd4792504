package remote

import (
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

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

// into makes it a request's body. Reading it is a sign of life.
func (p *payload) into(req *http.Request, alive func()) {
	if p.n == 0 {
		return
	}
	req.GetBody = func() (io.ReadCloser, error) { // again, where a connection turns out to be closed already
		p.back()
		p.open.Add(1)
		return &outgoing{p: p, alive: alive, r: io.NewSectionReader(p.from, p.off, p.n)}, nil
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

// outgoing reads a payload once.
type outgoing struct {
	p      *payload
	alive  func()
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
	o.alive()
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
