package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"
)

const (
	// DefaultSlots is how many requests are under way at once.
	DefaultSlots = 32
	// MaxAnswer bounds the body of an answer whose request says nothing else.
	MaxAnswer  = 16 << 20
	maxHeader  = 256 << 10 // bytes of an answer's header
	drainBytes = 64 << 10  // bytes of a body that are read only to use its connection again
	quoteBytes = 512       // bytes that are kept of the body of an answer that refuses
)

// Client asks servers. It is safe for use by many goroutines.
type Client struct {
	o        Options
	patience Patience
	base     http.RoundTripper // has the connections
	http     http.RoundTripper // what is asked: base, or what is around it
	slots    chan struct{}
	limits   *limits
	reading  atomic.Int64 // bodies that are being read
}

// New makes a Client.
func New(o Options) *Client {
	if o.Slots <= 0 {
		o.Slots = DefaultSlots
	}
	if o.UserAgent == "" {
		o.UserAgent = "wreg"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	c := &Client{o: o, patience: o.Patience.filled(), base: o.Transport, slots: make(chan struct{}, o.Slots), limits: newLimits()}
	if c.base == nil {
		c.base = newTransport(c.patience, o.Slots)
	}
	return c.dressed()
}

// dressed is the Client with what belongs around its transport.
func (c *Client) dressed() *Client {
	if c.http = c.base; c.o.Around != nil {
		c.http = c.o.Around(c.base)
	}
	return c
}

// newTransport is net/http's with its proxies and certificates, without what alters bodies.
func newTransport(p Patience, slots int) *http.Transport {
	dialer := &net.Dialer{Timeout: p.Connect, KeepAlive: 15 * time.Second}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, TLSHandshakeTimeout: p.Connect, ForceAttemptHTTP2: true,
		DisableCompression: true, MaxIdleConnsPerHost: slots, IdleConnTimeout: 60 * time.Second, MaxResponseHeaderBytes: maxHeader,
		ReadBufferSize: 64 << 10, WriteBufferSize: 64 << 10, ExpectContinueTimeout: announceWait,
	}
}

// Close lets go of idle connections.
func (c *Client) Close() {
	if t, ok := c.base.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// another is the same Client with connections of its own.
func (c *Client) another() *Client {
	d := &Client{o: c.o, patience: c.patience, base: c.base, slots: c.slots, limits: c.limits}
	if t, ok := c.base.(*http.Transport); ok {
		d.base = t.Clone()
	}
	return d.dressed()
}

func (c *Client) notice(e Event) {
	if c.o.Notice != nil {
		c.o.Notice(e)
	}
}

func (c *Client) sleep(ctx context.Context, d time.Duration) error {
	if c.o.Sleep != nil {
		return c.o.Sleep(ctx, d)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// StatusError is an answer that refuses.
type StatusError struct {
	Status        int
	Code, Message string // X-Error-Code and X-Error-Message, as they came
	URL           string // without its query
	Body          []byte // its beginning
	Header        http.Header
}

func (e *StatusError) Error() string {
	who := e.URL
	if u, err := url.Parse(e.URL); err == nil && u.Host != "" {
		who = u.Host
	}
	text := fmt.Sprintf("%s answers %d", who, e.Status)
	if s := http.StatusText(e.Status); s != "" {
		text += " " + s
	}
	if e.Code != "" {
		text += fmt.Sprintf(" (%s)", quote(e.Code))
	}
	if e.Message != "" {
		text += ": " + quote(e.Message)
	}
	return text
}

// quote makes what came harmless and short.
func quote(s string) string {
	if len(s) > quoteBytes {
		s = s[:quoteBytes]
	}
	q := fmt.Sprintf("%+q", s)
	return q[1 : len(q)-1]
}

// Do asks, follows, tries again, and gives the whole answer. What is not 2xx is a *StatusError.
func (c *Client) Do(ctx context.Context, r Request) (*Answer, error) {
	return c.do(ctx, r, func(*Answer) error { return nil })
}

// JSON is Do for an answer that is JSON.
func (c *Client) JSON(ctx context.Context, r Request, into any) (*Answer, error) {
	return c.do(ctx, r, func(a *Answer) error {
		err := json.Unmarshal(a.Body, into)
		if err == nil {
			return nil
		}
		start := a.Body[:min(len(a.Body), 60)]
		if bytes.HasPrefix(bytes.TrimSpace(start), []byte("<")) {
			return failed(login, "a web page instead of JSON, a proxy's or a login's: it begins %+q", start)
		}
		return failed(unsound, "broken JSON (%w): it begins %+q", err, start)
	})
}

func (c *Client) do(ctx context.Context, r Request, judge func(*Answer) error) (*Answer, error) {
	if r.Name == "" {
		r.Name = show(r.URL)
	}
	a := c.attempts(r.Name, 0, 0)
	for {
		answer, err := c.once(ctx, r, a.silence())
		if err == nil {
			err = judge(answer)
		}
		if err == nil {
			return answer, nil
		}
		if r.Once {
			return nil, &Error{Name: a.name, Tries: 1, Cause: err}
		}
		if err := a.again(ctx, err); err != nil {
			return nil, err
		}
	}
}

// once is one try of Do.
func (c *Client) once(ctx context.Context, r Request, silence time.Duration) (*Answer, error) {
	rep, err := c.send(ctx, r, true, silence)
	if err != nil {
		return nil, err
	}
	defer rep.close()
	if rep.StatusCode < 200 || rep.StatusCode > 299 {
		f := rep.status()
		if signed[rep.StatusCode] && origin(rep.url) != Origin(r.URL) {
			f.kind = expired
		}
		return nil, f
	}
	if err := rep.plain(); err != nil {
		return nil, err
	}
	most := r.Most
	if most <= 0 {
		most = MaxAnswer
	}
	tooLong := failed(refused, "the answer has more than the %d bytes that are read of one", most)
	if rep.ContentLength > most {
		return nil, tooLong
	}
	body, err := io.ReadAll(io.LimitReader(rep.body, most+1))
	if err != nil {
		return nil, broken(err)
	}
	if int64(len(body)) > most {
		return nil, tooLong
	}
	c.notice(Event{Name: r.Name, Bytes: int64(len(body))})
	return &Answer{Status: rep.StatusCode, Header: rep.Header, First: rep.first, URL: rep.url.String(), Body: body}, nil
}

// broken is a body or a connection that ended too early.
func broken(err error) error {
	var f *failure
	switch {
	case errors.As(err, &f):
		return err
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return failed(cut, "the connection ended before the answer did")
	}
	return &failure{kind: cut, err: err}
}
