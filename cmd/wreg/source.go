package main

import (
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"wreg/ingest/places"
	"wreg/ingest/remote"
	"wreg/registry/tensor"
)

// sourceMeter shows what is read of a place elsewhere: headers, bytes, rate and time left, or
// what it waits for.
type sourceMeter struct {
	*meter
	kind     string                  // whose limits there are: "the hub"
	headers  [2]atomic.Int64         // that were read, of how many so far
	bytes    atomic.Int64            // that came
	awaiting atomic.Pointer[waiting] // the last wait
}

// waiting is until when nothing is asked, and why.
type waiting struct {
	until time.Time
	why   string
}

// sourceMeter starts showing what is read at an address; stop must be called.
func (a *app) sourceMeter(address string) *sourceMeter {
	s := &sourceMeter{meter: newMeter(escape(places.Shown(address))), kind: places.Kind(address)}
	s.line = func(elapsed time.Duration, width int) string { return s.text(elapsed, time.Now(), width) }
	a.show(s.meter)
	return s
}

// header counts headers; safe from any goroutine.
func (s *sourceMeter) header(read, of int) {
	s.headers[0].Store(int64(read))
	s.headers[1].Store(int64(of))
}

// notice takes what a client says of its requests; safe from any goroutine.
func (s *sourceMeter) notice(e remote.Event) {
	s.bytes.Add(e.Bytes)
	if e.Wait > 0 {
		s.awaiting.Store(&waiting{time.Now().Add(e.Wait), s.why(e)})
	}
}

// why is what a wait is for.
func (s *sourceMeter) why(e remote.Event) string {
	answer, ok := errors.AsType[*remote.StatusError](e.Cause)
	switch {
	case e.Cause == nil:
		return s.kind + "'s limit is nearly reached"
	case ok && answer.Status == http.StatusTooManyRequests:
		return s.kind + "'s limit resets"
	case ok:
		return fmt.Sprintf("%s answers %d, try %d", s.kind, answer.Status, e.Try)
	}
	return fmt.Sprintf("the connection failed, try %d", e.Try)
}

// A wait that is shorter is not worth a word.
const leastWait = time.Second

// text is the line after a time.
func (s *sourceMeter) text(elapsed time.Duration, now time.Time, width int) string {
	read, of := s.headers[0].Load(), s.headers[1].Load()
	parts := []string{fmt.Sprintf("%d of %s", read, tensor.Count(int(of), "header"))}
	if w := s.awaiting.Load(); w != nil && w.until.Sub(now) >= leastWait {
		return meterText(s.name, append(parts, fmt.Sprintf("waiting %.0f s: %s", w.until.Sub(now).Seconds(), w.why)), width)
	}
	bytes := s.bytes.Load()
	parts = append(parts, size(bytes))
	if elapsed >= time.Second && bytes > 0 {
		parts = append(parts, size(int64(float64(bytes)/elapsed.Seconds()))+"/s")
		if read > 0 {
			parts = append(parts, left(elapsed.Seconds()/float64(read)*float64(of-read))+" left")
		}
	}
	return meterText(s.name, parts, width)
}
