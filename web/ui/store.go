package ui

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"wreg/registry"
)

// store opens the registry for those who read at the same time, and closes it as soon as
// nobody does: a writer needs the file to itself. Who reads without end would keep a
// writer out, so after maxHeld newcomers wait until all others are gone and a writer has
// had time to look.
type store struct {
	path     string
	patience time.Duration

	mu   sync.Mutex
	now  *shared
	free chan struct{} // closed when newcomers may open the file again

	refused time.Time // when the file could not be opened last
	why     error

	opening func() // tells tests that the file is opened; nil
}

// shared is the registry as it is open for some.
type shared struct {
	r     *registry.Registry
	users int
	since time.Time
	state string
}

const (
	maxHeld  = 500 * time.Millisecond
	pause    = 120 * time.Millisecond // a writer looks every 50 ms
	patience = 3 * time.Second        // for a writer to end
)

// view runs fn on one snapshot; state names the registry as it is.
func (s *store) view(ctx context.Context, fn func(snap *registry.Snapshot, state string) error) error {
	held, err := s.borrow(ctx)
	if err != nil {
		return err
	}
	return errors.Join(held.r.View(func(snap *registry.Snapshot) error { return fn(snap, held.state) }), s.giveBack(held))
}

func (s *store) borrow(ctx context.Context) (*shared, error) {
	began := time.Now()
	for {
		s.mu.Lock()
		free := s.free
		if free == nil {
			break
		}
		s.mu.Unlock()
		select {
		case <-free:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	defer s.mu.Unlock()
	if s.now == nil {
		if s.refused.After(began) { // who waited for the same writer as another
			return nil, s.why
		}
		if s.opening != nil {
			s.opening()
		}
		held, err := s.open()
		if err != nil {
			s.refused, s.why = time.Now(), err
			return nil, err
		}
		s.now = held
	}
	s.now.users++
	if time.Since(s.now.since) > maxHeld {
		s.free = make(chan struct{})
	}
	return s.now, nil
}

// open opens the registry. It cannot change while it is open, so that its size and the
// time when it was written say which one it is.
func (s *store) open() (*shared, error) {
	r, err := registry.Open(s.path, registry.Options{ReadOnly: true, Timeout: s.patience})
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(s.path)
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return &shared{r: r, since: time.Now(), state: fmt.Sprint(info.Size(), info.ModTime().UnixNano())}, nil
}

func (s *store) giveBack(held *shared) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if held.users--; held.users > 0 {
		return nil
	}
	s.now = nil
	if free := s.free; free != nil {
		time.AfterFunc(pause, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.free = nil
			close(free)
		})
	}
	return held.r.Close()
}
