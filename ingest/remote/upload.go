package remote

import (
	"context"
	"io"
	"net/http"
)

// Upload is a piece of a file to send, and where to.
type Upload struct {
	Name   string // in errors
	URL    string // signed: the token is not sent along, unless Token says so
	Token  bool
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
		answer, err := c.once(ctx, Request{Method: http.MethodPut, URL: u.URL, Header: u.Header, Signed: !u.Token, piece: p}, a.silence())
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
		if err := a.again(ctx, cause(p, err)); err != nil {
			return nil, err
		}
	}
}

// cause is why sending failed with err: what could not be read is not asked for again.
func cause(p *payload, err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return &failure{kind: refused, err: p.err}
	}
	return err
}
