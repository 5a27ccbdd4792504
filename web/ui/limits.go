package ui

import (
	"context"
	"errors"
	"sync"
	"time"
)

// What one page, and all of them, may cost.
const (
	maxAtOnce  = 4                // pages that are made at the same time; the others wait
	maxWaiting = 4096             // that wait; more are told to come again
	maxTime    = 30 * time.Second // for making one page
	maxRows    = 100_000          // rows of an answer that are looked at
	maxShown   = 100              // rows of one page of a table
	maxText    = 16 << 10         // bytes of a query in an address
	maxPage    = 16 << 20         // bytes of a page
)

// What reading values may cost.
const (
	maxReading    = 1        // modules that are read at the same time; the others wait
	maxReaders    = 64       // that wait
	maxRead       = 4 << 30  // bytes of one module, of both models
	maxReadMemory = 64 << 20 // bytes of buffers
)

// maxComparing bounds the comparisons that are made at the same time, and that are kept: of two
// models of 58,450 tensors each takes some 60 MiB. Who asks for another waits without a place
// among the pages.
const maxComparing = 1

// How many answers are kept: rows of the registry's table, which take little and never
// change, and maps and the like, which take up to a few MiB and hold for a registry as it is.
const (
	maxSeen  = 4096
	maxDrawn = 16
)

// What a connection may take.
const (
	readTimeout  = 10 * time.Second
	writeTimeout = 2 * time.Minute // waiting for a turn is in it
	keepAlive    = time.Minute
	maxHeader    = 64 << 10
	grace        = 2 * time.Second
)

// gate lets some in at once, and some wait.
type gate struct{ turns, waiting chan struct{} }

func newGate(atOnce, waiting int) gate {
	return gate{make(chan struct{}, atOnce), make(chan struct{}, atOnce+waiting)}
}

// errBusy says that too many wait already.
var errBusy = errors.New("too many requests wait for an answer; try again")

// enter waits for a turn; leave gives it back.
func (g gate) enter(ctx context.Context) (leave func(), err error) {
	select {
	case g.waiting <- struct{}{}:
	default:
		return nil, errBusy
	}
	select {
	case g.turns <- struct{}{}:
		return func() { <-g.turns; <-g.waiting }, nil
	case <-ctx.Done():
		<-g.waiting
		return nil, ctx.Err()
	}
}

// idle ends a server that nobody asks.
type idle struct {
	after  time.Duration // 0: never
	mu     sync.Mutex
	active int
	timer  *time.Timer
}

// watch gives a context that is done when nobody has asked for a while, too.
func (i *idle) watch(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	if i.after <= 0 {
		return ctx, cancel
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.timer = time.AfterFunc(i.after, func() {
		i.mu.Lock()
		defer i.mu.Unlock()
		if i.active == 0 {
			cancel()
		}
	})
	return ctx, cancel
}

// begin says that a request is answered, until end is called.
func (i *idle) begin() (end func()) {
	i.add(1)
	return func() { i.add(-1) }
}

func (i *idle) add(n int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.active += n; i.timer != nil {
		i.timer.Reset(i.after)
	}
}
