package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"
)

// Patience is how long and how often a Client tries. It is spent for each request alone:
// a range that comes at last costs the next one nothing.
type Patience struct {
	Tries     int           // of a request that brings nothing; 64 KiB of progress begin the count anew
	First     time.Duration // the wait before the second try; it doubles
	Most      time.Duration // up to this
	Jitter    time.Duration // added to waits at random, so that workers do not come back together
	Connect   time.Duration // to be connected
	Silence   time.Duration // without a byte, or without an answer; doubles with each silent try, twice
	Slow      time.Duration // in which a connection brings SlowBytes, or its share of them
	SlowBytes int64
	Waste     time.Duration // waits, silence and slowness of a request in all
}

// DefaultPatience ends any request that does not get on within half a minute.
var DefaultPatience = Patience{
	Tries: 6, First: 100 * time.Millisecond, Most: 4 * time.Second, Jitter: 200 * time.Millisecond, Connect: 10 * time.Second,
	Silence: 4 * time.Second, Slow: 10 * time.Second, SlowBytes: 64 << 10, Waste: 30 * time.Second,
}

func (p Patience) filled() Patience {
	d := DefaultPatience
	for _, f := range []struct{ to, from *time.Duration }{
		{&p.First, &d.First}, {&p.Most, &d.Most}, {&p.Jitter, &d.Jitter}, {&p.Connect, &d.Connect}, {&p.Silence, &d.Silence}, {&p.Slow, &d.Slow}, {&p.Waste, &d.Waste},
	} {
		if *f.to <= 0 {
			*f.to = *f.from
		}
	}
	if p.Tries <= 0 {
		p.Tries = d.Tries
	}
	if p.SlowBytes <= 0 {
		p.SlowBytes = d.SlowBytes
	}
	return p
}

// kind is what a failed try means for the next one.
type kind int

const (
	refused     kind = iota // the answer will not change
	changed                 // the file is another one now
	cut                     // the connection broke
	silent                  // no byte came
	slow                    // hardly any did
	busy                    // the server asks for time
	unsound                 // the answer is not what was asked for
	login                   // a web page came instead of it
	expired                 // the signed URL holds no more
	rateLimited             // as busy, and it says for how long
)

// rules say how often each kind is tried, and what to do when that was in vain.
var rules = map[kind]struct {
	tries  int // 0: as Patience has it
	advice string
}{
	refused:     {1, ""},
	changed:     {1, "begin again with what it is now"},
	cut:         {0, "check the network, then run it again"},
	silent:      {0, "check the network, then run it again"},
	slow:        {0, "check the network, then run it again"},
	busy:        {0, "the server is overloaded: run it again later"},
	unsound:     {3, "a proxy or mirror in between may alter answers: go round it, or download the files"},
	login:       {3, "open a page in a browser, since networks that ask for a login answer so, and set HTTPS_PROXY where there is a proxy; then run it again"},
	expired:     {3, "the server does not accept its own signed addresses: is a clock wrong?"},
	rateLimited: {0, "run it again later"},
}

// failure is a try that failed.
type failure struct {
	kind kind
	err  error
	wait time.Duration // what the server asked for; 0: nothing
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func failed(k kind, format string, a ...any) *failure {
	return &failure{kind: k, err: fmt.Errorf(format, a...)}
}

// Error is what was given up.
type Error struct {
	Name   string // the file, or the URL without its query
	Off, N int64  // the range; N 0: the whole answer
	Tries  int
	Cause  error
	Advice string
}

func (e *Error) Error() string {
	text := e.Name + ": "
	if e.N > 0 {
		text += fmt.Sprintf("bytes %d to %d: ", e.Off, e.Off+e.N-1)
	}
	if e.Tries > 1 {
		text += fmt.Sprintf("after %d tries: ", e.Tries)
	}
	text += e.Cause.Error()
	if e.Advice != "" {
		text += "; " + e.Advice
	}
	return text
}

func (e *Error) Unwrap() error { return e.Cause }

// ErrChanged is in the chain of every error that means: the file is not the declared one
// any more.
var ErrChanged = errors.New("the file changed")

// progress begins the count of tries anew.
const progress = 64 << 10

// attempts counts the tries of one request.
type attempts struct {
	c          *Client
	name       string
	off, n     int64
	tries, all int
	silences   int
	wasted     time.Duration
}

// brought is called with what a try that failed brought nevertheless.
func (a *attempts) brought(n int) {
	if n >= progress {
		a.tries = 0
	}
}

// again waits before the next try; an error means that there is none.
func (a *attempts) again(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var f *failure
	if !errors.As(err, &f) {
		f = &failure{kind: refused, err: err}
	}
	a.tries++
	a.all++
	p, rule := a.c.patience, rules[f.kind]
	most := rule.tries
	if most == 0 {
		most = p.Tries
	}
	switch f.kind {
	case silent:
		a.wasted += a.silence()
		a.silences++
	case slow:
		a.wasted += p.Slow
	}
	wait := min(p.First<<min(a.tries-1, 20), p.Most)
	if f.kind == unsound || f.kind == expired || f.kind == login {
		wait = p.First
	}
	wait = max(wait, f.wait)
	next := wait // what the next try may waste
	switch f.kind {
	case silent:
		next += a.silence()
	case slow:
		next += p.Slow
	}
	if a.tries >= most || a.wasted+next > p.Waste {
		return &Error{a.name, a.off, a.n, a.all, f.err, rule.advice}
	}
	wait += rand.N(p.Jitter)
	a.wasted += wait
	a.c.notice(Event{Name: a.name, Wait: wait, Try: a.all, Cause: f.err})
	return a.c.sleep(ctx, wait)
}

// silence is how long the next try may bring nothing.
func (a *attempts) silence() time.Duration {
	return a.c.patience.Silence << min(a.silences, 2)
}

func (c *Client) attempts(name string, off, n int64) *attempts {
	return &attempts{c: c, name: name, off: off, n: n}
}

// watch gives up a connection that brings nothing, or hardly anything.
type watch struct {
	c       *Client
	ctx     context.Context
	cancel  context.CancelCauseFunc
	timer   *time.Timer
	silence time.Duration
	since   time.Time // of the window
	bytes   int64     // that came in it
}

func (c *Client) watch(ctx context.Context, silence time.Duration) *watch {
	w := &watch{c: c, silence: silence}
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	w.timer = time.AfterFunc(silence, func() { w.cancel(failed(silent, "no byte for %v", silence)) })
	return w
}

// alive is called when something came.
func (w *watch) alive() { w.timer.Reset(w.silence) }

func (w *watch) stop() {
	w.timer.Stop()
	w.cancel(nil)
}

// cause is why the watch ended what failed with err.
func (w *watch) cause(err error) error {
	if c := context.Cause(w.ctx); c != nil {
		return c
	}
	return err
}

// reader watches a body.
func (w *watch) reader(r io.Reader) io.Reader {
	w.since = time.Now()
	return readerFunc(func(p []byte) (int, error) {
		n, err := r.Read(p)
		w.alive()
		w.bytes += int64(n)
		if now := time.Now(); now.Sub(w.since) >= w.c.patience.Slow {
			if share := w.c.patience.SlowBytes / max(1, w.c.reading.Load()); w.bytes < share && err == nil {
				err = failed(slow, "only %d bytes in %v", w.bytes, now.Sub(w.since).Round(time.Millisecond))
				w.cancel(err)
			}
			w.since, w.bytes = now, 0
		}
		if err != nil && err != io.EOF {
			err = w.cause(err)
		}
		return n, err
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
