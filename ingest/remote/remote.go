// Package remote reads files over HTTP by ranges, and sends them: whatever is in them,
// wherever they lie.
//
// Most users need [New], [Client.Open] for a file, [Client.Upload] to send a piece of one,
// and [Client.JSON] for what an API says.
//
// Invariants: bytes are given out only when the answer said that they are the ones asked
// for; what came before a connection broke is kept and the rest asked for; the token is
// asked for by origin (scheme, host and port) at each hop and is never sent on once a
// redirect has left the origins that have one; https is never left for http; every
// header and body is bounded; every wait is bounded, so that an error comes in time.
package remote

import (
	"context"
	"io"
	"net/http"
	"time"
)

// Options are what a Client is made with; the zero value is good.
type Options struct {
	Slots     int                        // requests at once; 0: DefaultSlots
	UserAgent string                     // "" for wreg
	Token     func(origin string) string // the token for an origin as Origin words it, "" for none; asked at each hop
	Notice    func(Event)                // progress, waits and retries; called from many goroutines
	Patience  Patience                   // how long to wait; zero fields are filled from DefaultPatience
	Transport http.RoundTripper          // nil: one http.Transport of its own, with the proxies and certificates of the environment

	// Around is put around the transport: it logs in where a token alone does not. It sees each hop, those that
	// may have a token with that of Token, and sends on what it is to send.
	Around func(http.RoundTripper) http.RoundTripper

	Sleep func(ctx context.Context, d time.Duration) error // nil: by the clock; tests count instead
	Now   func() time.Time                                 // nil: time.Now
}

// Event is something people may want to see.
type Event struct {
	Name  string        // the file, or the URL without its query
	Bytes int64         // came in since the last event
	Wait  time.Duration // what it will wait before the next try
	Try   int           // which try failed, from 1
	Cause error         // why it waits or tries again
}

// Request is one question; it may be asked again unless Once is set.
type Request struct {
	Name        string // in errors and notices; "" for the URL without its query
	Method, URL string // "" is GET
	Header      http.Header
	Body        []byte
	Most        int64 // bytes of the answer's body at most; 0: MaxAnswer
	Once        bool  // never asked again after it was sent: a commit
	Signed      bool  // the URL says what is allowed: the token is not sent, whatever its origin

	piece *payload // in place of Body
}

// Answer is the last answer of a chain of redirects, its body read to the end.
type Answer struct {
	Status int
	Header http.Header
	First  http.Header // of the first hop: X-Linked-*, X-Repo-Commit
	URL    string      // of the last hop
	Body   []byte
}

// Source is a file as it is declared before it is read.
type Source struct {
	Name   string                        // in errors
	URL    string                        // where it is asked for; a redirect is remembered while it holds
	Size   int64                         // -1: ask
	SHA256 string                        // in hex, "" when none is declared
	Header http.Header                   // sent to the origin of URL only
	Check  func(first http.Header) error // looks at the first hop's header, as X-Linked-Size; an error refuses the file
}

// Facts are what the answers said of a file.
type Facts struct {
	Size     int64
	ETag     string      // "" when none came
	Modified string      // Last-Modified, "" when none came
	First    http.Header // of the first hop
}

var _ io.ReaderAt = (*File)(nil)
