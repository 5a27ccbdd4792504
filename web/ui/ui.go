// Package ui serves one registry to a browser on this machine, read only: its
// models and what was made from what, one model at a glance, its map, statistics,
// tensors, files and receipt, two models compared, and a box for queries. Every page
// shows the command that gives the same answer.
//
// Most users need [Listen] and [Server.Run].
//
// Invariants: only 127.0.0.1 is bound, and only who has the token is answered
// (guard.go); nothing is ever written, so only GET and HEAD are known; a page is made
// of one snapshot, and the registry is let go before a byte of it is sent, so that
// nobody who reads slowly keeps a writer waiting (store.go), nor do files that are read for a comparison (measured.go); what a page may cost is
// bounded by the constants of limits.go; names are text, never markup.
package ui

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"wreg/registry/tensor"
)

// Options of Listen.
type Options struct {
	Registry string        // the registry's file
	Flags    []string      // what a command needs to ask the same registry: --registry FILE
	Version  string        // shown at the foot of every page
	Port     int           // 0: any that is free
	Idle     time.Duration // without a request for so long the server ends; 0: never
	Say      func(string)  // talk for who started the server; may be nil
}

// Server is a listening server.
type Server struct {
	Options
	listener net.Listener
	port     string
	token    string // of the address that is printed
	once     ticket
	session  string // of the cookie that either is exchanged for
	store    store
	gate     gate
	reading  gate // of files, which takes long
	compares gate // of models, which takes memory
	idle     idle
	seen     memo // rows of the registry's table, by revision
	drawn    memo // what pages show, by the registry as it was
	compared memo // so, how two models differ
	pages    *template.Template
	handler  http.Handler
}

// Listen takes a port of 127.0.0.1. Nothing is answered before Run.
func Listen(o Options) (*Server, error) {
	l, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(o.Port)))
	if err != nil {
		if o.Port != 0 {
			err = fmt.Errorf("%w; give another --port, or none for one that is free", err)
		}
		return nil, err
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	if o.Say == nil {
		o.Say = func(string) {}
	}
	s := &Server{Options: o, listener: l, port: port, token: secret(), once: ticket{value: secret()}, session: secret(),
		store: store{path: o.Registry, patience: patience}, idle: idle{after: o.Idle},
		gate: newGate(maxAtOnce, maxWaiting), reading: newGate(maxReading, maxReaders), compares: newGate(maxComparing, maxReaders),
		seen: memo{most: maxSeen}, drawn: memo{most: maxDrawn}, compared: memo{most: maxComparing}}
	s.pages = parsePages(s)
	s.handler = s.guarded(s.routes())
	return s, nil
}

// secret is 256 random bits as text.
func secret() string {
	b := make([]byte, 32)
	rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// Close gives the port back, of a server that is not run.
func (s *Server) Close() error { return s.listener.Close() }

// URL is the address to open, with the token: of the registry, or of a model.
func (s *Server) URL(model string) string { return s.url(model, s.token) }

// OnceURL is URL, but for one opening alone: for the arguments of a program.
func (s *Server) OnceURL(model string) string { return s.url(model, s.once.value) }

func (s *Server) url(model, token string) string {
	u := url.URL{Scheme: "http", Host: "127.0.0.1:" + s.port, Path: "/"}
	if model != "" {
		u = *u.JoinPath("model", url.PathEscape(model))
	}
	u.RawQuery = url.Values{"token": {token}}.Encode()
	return u.String()
}

// Run answers until ctx is done or nobody has asked for Options.Idle. Requests that
// are being answered may end within grace.
func (s *Server) Run(ctx context.Context) error {
	h := &http.Server{
		Handler:                      s.handler,
		ReadHeaderTimeout:            readTimeout,
		ReadTimeout:                  readTimeout,
		WriteTimeout:                 writeTimeout,
		IdleTimeout:                  keepAlive,
		MaxHeaderBytes:               maxHeader,
		ErrorLog:                     s.log(),
		DisableGeneralOptionsHandler: true, // OPTIONS * is a method like others
		BaseContext:                  func(net.Listener) context.Context { return ctx },
	}
	ctx, quiet := s.idle.watch(ctx)
	defer quiet()
	var end sync.WaitGroup
	end.Go(func() {
		<-ctx.Done()
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer cancel()
		if h.Shutdown(last) != nil {
			h.Close()
		}
	})
	err := h.Serve(s.listener)
	quiet()
	end.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return err
}

// IdleText is how long the server waits for a request, in words.
func IdleText(d time.Duration) string {
	switch {
	case d <= 0:
		return "never"
	case d%time.Minute == 0:
		return tensor.Count(int(d/time.Minute), "minute")
	}
	return d.String()
}
