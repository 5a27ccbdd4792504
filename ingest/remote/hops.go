package remote

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// maxHops is how many redirects are followed.
const maxHops = 10

// crosses are the headers of a request that go to another origin, too.
var crosses = map[string]bool{"Accept": true, "Range": true, "If-Match": true, "If-Unmodified-Since": true, "Cache-Control": true}

// Origin words scheme, host and port of a URL, the port always told; "" when it is not http or https.
func Origin(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return ""
	}
	return origin(u)
}

func origin(u *url.URL) string {
	scheme := strings.ToLower(u.Scheme)
	port := map[string]string{"http": "80", "https": "443"}[scheme]
	if port == "" || u.Hostname() == "" {
		return ""
	}
	if p := u.Port(); p != "" {
		port = p
	}
	return scheme + "://" + net.JoinHostPort(strings.TrimSuffix(strings.ToLower(u.Hostname()), "."), port)
}

// show is a URL as people may see it: signatures and passwords are left out.
func show(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return "an address that is not a URL"
	}
	return quote((&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String())
}

// reply is the last answer of a chain of redirects; its body is watched.
type reply struct {
	*http.Response
	c       *Client
	body    io.Reader
	first   http.Header // of the first hop
	url     *url.URL    // of the last
	hops    int
	trusted bool // every hop had a token, or was the first: it may be asked for further on
	watch   *watch
	lane    string
}

func (r *reply) close() {
	r.Body.Close()
	r.watch.stop()
	r.c.reading.Add(-1)
	<-r.c.slots
}

// plain refuses a body that is not the bytes themselves.
func (r *reply) plain() error {
	if e := r.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return failed(unsound, "the answer is encoded (Content-Encoding: %s), though that was ruled out", quote(e))
	}
	return nil
}

// status reads the beginning of an answer that refuses, and says what that means.
func (r *reply) status() *failure {
	body, _ := io.ReadAll(io.LimitReader(r.body, drainBytes))
	e := &StatusError{Status: r.StatusCode, Code: r.Header.Get("X-Error-Code"), Message: r.Header.Get("X-Error-Message"),
		URL: show(r.url.String()), Body: body[:min(len(body), quoteBytes)], Header: r.Header}
	f := &failure{kind: refused, err: e}
	wait := func() time.Duration { // until it may be asked again, in whole seconds
		f.wait = r.c.limits.until(r.lane, r.c.o.Now())
		return (f.wait + time.Second - 1).Truncate(time.Second)
	}
	switch s := r.StatusCode; {
	case s == http.StatusTooManyRequests:
		f.kind = rateLimited
		if d := wait(); d > 0 {
			f.err = fmt.Errorf("%w; the limit resets in %v", e, d)
		}
	case s == http.StatusRequestTimeout || s >= 500 && s != http.StatusNotImplemented && s != http.StatusHTTPVersionNotSupported:
		f.kind = busy
		if d := wait(); d > 0 {
			f.err = fmt.Errorf("%w and asks to wait %v", e, d)
		}
	}
	return f
}

// send asks down a chain of redirects. trusted says whether the token may be asked for.
func (c *Client) send(ctx context.Context, r Request, trusted bool, silence time.Duration) (*reply, error) {
	at, err := url.Parse(r.URL)
	if err != nil || origin(at) == "" {
		return nil, failed(refused, "%s: not a URL of http or https", show(r.URL))
	}
	if err := c.pace(ctx, at); err != nil {
		return nil, err
	}
	select {
	case c.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	c.reading.Add(1)
	w := c.watch(ctx, silence)
	give := func(err error) (*reply, error) {
		w.stop()
		c.reading.Add(-1)
		<-c.slots
		return nil, err
	}
	home, method, body := origin(at), r.Method, r.body()
	rep := &reply{c: c, watch: w, trusted: trusted}
	var chain []string
	seen := map[string]bool{}
	for {
		res, sent, err := c.hop(w, r, method, at, body, rep.trusted, origin(at) == home)
		if err != nil {
			return give(connection(w.cause(err)))
		}
		w.alive()
		rep.Response, rep.url, rep.lane = res, at, lane(at)
		rep.body = w.reader(res.Body)
		if rep.first == nil {
			rep.first = res.Header
		}
		c.limits.saw(rep.lane, c.o.Now(), res.StatusCode, res.Header)
		chain = append(chain, show(at.String()))
		seen[at.String()] = true
		if !redirects[res.StatusCode] || elsewhere(res.Header) {
			return rep, nil
		}
		if n := res.ContentLength; n >= 0 && n <= drainBytes { // then its connection is good for the next
			io.Copy(io.Discard, rep.body)
		}
		res.Body.Close()
		to, err := next(at, res.Header.Get("Location"))
		switch {
		case err != nil:
		case seen[to.String()]:
			err = errors.New("it leads back to itself")
		case len(chain) > maxHops:
			err = fmt.Errorf("more than %d hops", maxHops)
		case body.n > 0 && origin(to) != origin(at):
			err = errors.New("it would send what was sent to another server")
		}
		if err != nil {
			if to != nil {
				chain = append(chain, show(to.String()))
			}
			return give(failed(refused, "a redirect that is not followed: %w (%s)", err, strings.Join(chain, " -> ")))
		}
		if s := res.StatusCode; s != http.StatusTemporaryRedirect && s != http.StatusPermanentRedirect && method != http.MethodHead {
			method, body = http.MethodGet, &payload{}
		}
		rep.trusted = rep.trusted && (sent || origin(to) == origin(at))
		rep.hops++
		at = to
	}
}

// signed are the statuses with which a signed URL is refused that holds no more.
var signed = map[int]bool{http.StatusForbidden: true, http.StatusBadRequest: true, http.StatusNotFound: true}

var redirects = map[int]bool{301: true, 302: true, 303: true, 307: true, 308: true}

func (r *Request) body() *payload {
	if r.piece != nil {
		return r.piece
	}
	return &payload{from: bytes.NewReader(r.Body), n: int64(len(r.Body))}
}

// elsewhere says that a redirect tells where a bucket lies and not an address: who asked makes that.
func elsewhere(h http.Header) bool {
	return h.Get("Location") == "" && h.Get("X-Amz-Bucket-Region") != ""
}

// next is where a redirect leads.
func next(from *url.URL, location string) (*url.URL, error) {
	if location == "" {
		return nil, errors.New("it does not say where to")
	}
	to, err := from.Parse(location)
	if err != nil {
		return nil, errors.New("it leads to what is not a URL")
	}
	to.User, to.Fragment, to.RawFragment = nil, "", ""
	switch {
	case origin(to) == "":
		return to, errors.New("it leads to what is neither http nor https")
	case from.Scheme == "https" && !strings.EqualFold(to.Scheme, "https"):
		return to, errors.New("it leads from https to http")
	}
	return to, nil
}

// hop sends one request; sent says whether with a token.
func (c *Client) hop(w *watch, r Request, method string, at *url.URL, body *payload, trusted, home bool) (res *http.Response, sent bool, err error) {
	req, err := http.NewRequestWithContext(w.ctx, method, at.String(), http.NoBody)
	if err != nil {
		return nil, false, failed(refused, "%w", err)
	}
	body.into(req, w.alive)
	for k, v := range r.Header {
		if k = http.CanonicalHeaderKey(k); crosses[k] || home && trusted || k == "Content-Type" && body.n > 0 {
			req.Header[k] = v
		}
	}
	req.Header.Set("User-Agent", c.o.UserAgent)
	req.Header.Set("Accept-Encoding", "identity")
	if trusted && !r.Signed && c.o.Token != nil {
		if token := c.o.Token(origin(at)); token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
			sent = true
		}
	}
	res, err = c.http.RoundTrip(req)
	return res, sent, err
}

// connection says whether to connect again helps.
func connection(err error) error {
	var cert *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var record tls.RecordHeaderError
	var last interface{ Final() bool } // what Options.Around says so of
	switch {
	case errors.As(err, &cert), errors.As(err, &authority):
		return failed(refused, "its certificate is not accepted: %w; SSL_CERT_FILE names further authorities", err)
	case errors.As(err, &last) && last.Final():
		return failed(refused, "%w", err)
	case errors.As(err, &record):
		return failed(refused, "it does not speak TLS: %w", err)
	}
	return broken(err)
}
