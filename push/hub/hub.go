// Package hub publishes to repositories of huggingface.co and of what speaks its protocol:
// weights by Git LFS, in parts where the hub says so, small files with the commit.
//
// Most users need [Check] and [Open].
//
// Invariants: the token goes to the hub alone, never to where the hub has bytes put; a
// branch that moved since it was looked at is not committed to; nothing is created before
// the first Put; after a commit the hub's own listing of it is held against what was sent.
package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"sync"
	"time"

	"wreg/ingest/hub"
	"wreg/ingest/remote"
	"wreg/push"
)

// Target is a branch of a repository, or a folder of it.
type Target struct {
	client, slow *remote.Client // slow is for what the hub thinks about for long
	login        *hub.Login
	name         hub.Name
	o            push.Options
	journals     string // the folder of what was sent of files; "" where there is no home

	begun sync.Mutex // held while the repository is looked at or made
	state *state

	mu    sync.Mutex
	files map[string]file   // by name, of Held and of Put
	puts  map[string]action // by digest, where a file is to be put
	small map[string][]byte // by name, what goes with the commit
	proof string
}

// state is what there is to begin with.
type state struct {
	repo, branch bool
	commit       string // of the branch
}

// file is what the hub says of a file before it is sent.
type file struct {
	push.File
	lfs  bool
	held bool
	was  string // what git calls it now, or its SHA-256 where it is in LFS; "" when it is not there
}

// Patience while sending is longer than while reading: what was written may lie in buffers for seconds.
var (
	patience     = remote.Patience{Silence: 20 * time.Second, Waste: 90 * time.Second}
	slowPatience = remote.Patience{Silence: 2 * time.Minute, Waste: 5 * time.Minute}
)

var commitForm = regexp.MustCompile(`^[0-9a-f]{40}$`)

// Check says what is wrong with an address, without asking anybody.
func Check(address string) error {
	n, err := hub.Parse(address)
	if err == nil && commitForm.MatchString(n.Revision) {
		err = fmt.Errorf("%s: a commit does not change; name the branch to publish to, or leave it out for main", n)
	}
	return err
}

// Open makes a Target of an address. Nothing is asked yet.
func Open(_ context.Context, address string, o push.Options) (push.Target, error) {
	if err := Check(address); err != nil {
		return nil, err
	}
	name, err := hub.Parse(address)
	if err != nil {
		return nil, err
	}
	login, err := hub.ReadLogin()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	switch {
	case login.Offline != "":
		return nil, fmt.Errorf("%s: %s is set, so nothing is sent", name, login.Offline)
	case login.From == "":
		return nil, fmt.Errorf("%s: it takes a token with the right to write: set HF_TOKEN, or type: hf auth login", name)
	}
	t := &Target{login: login, name: name, o: o, journals: journalDir(), files: map[string]file{}, puts: map[string]action{}, small: map[string][]byte{}}
	t.client = remote.New(remote.Options{UserAgent: o.UserAgent, Token: login.Token, Notice: o.Notice, Patience: patience})
	t.slow = remote.New(remote.Options{UserAgent: o.UserAgent, Token: login.Token, Notice: o.Notice, Patience: slowPatience})
	return t, nil
}

// Close lets go of connections.
func (t *Target) Close() error {
	t.client.Close()
	t.slow.Close()
	return nil
}

// Proof says what the hub's listing of the commit was held against.
func (t *Target) Proof() string { return t.proof }

func (t *Target) branch() string {
	if t.name.Revision == "" {
		return "main"
	}
	return t.name.Revision
}

// path is a file's in the repository.
func (t *Target) path(name string) string {
	if t.name.Path == "" {
		return name
	}
	return t.name.Path + "/" + name
}

func (t *Target) api(parts ...string) string {
	text := t.login.Endpoint + "/api/models/" + t.name.ID
	for _, p := range parts {
		text += "/" + url.PathEscape(p)
	}
	return text
}

// look finds out what there is, once.
func (t *Target) look(ctx context.Context) (*state, error) {
	t.begun.Lock()
	defer t.begun.Unlock()
	return t.looked(ctx)
}

func (t *Target) looked(ctx context.Context) (*state, error) {
	if t.state != nil {
		return t.state, nil
	}
	var info struct {
		SHA     string `json:"sha"`
		Private *bool  `json:"private"`
	}
	s := &state{repo: true, branch: true}
	_, err := t.client.JSON(ctx, remote.Request{URL: t.api("revision", t.branch())}, &info)
	status, _ := errors.AsType[*remote.StatusError](err)
	if status != nil && status.Code == "RevisionNotFound" {
		s.branch = false
		_, err = t.client.JSON(ctx, remote.Request{URL: t.api("revision", "main")}, &info)
		status, _ = errors.AsType[*remote.StatusError](err)
	}
	switch {
	case status != nil && status.Code == "RepoNotFound":
		t.state = &state{}
		return t.state, nil
	case err != nil:
		return nil, t.explain(err)
	case !commitForm.MatchString(info.SHA):
		return nil, fmt.Errorf("%s: %s says of its commit %.60q, which is no commit: is it a hub?", t.name, t.login.Endpoint, info.SHA)
	case t.o.Private && (info.Private == nil || !*info.Private):
		return nil, fmt.Errorf("%s: it is there, and not private: nothing was sent; leave --private out, or make it private at %s/%s/settings", t.name, t.login.Endpoint, t.name.ID)
	}
	s.commit = info.SHA
	t.state = s
	return s, nil
}

// ready makes what is missing of repository and branch.
func (t *Target) ready(ctx context.Context) (*state, error) {
	t.begun.Lock()
	defer t.begun.Unlock()
	s, err := t.looked(ctx)
	if err != nil || s.repo && s.branch {
		return s, err
	}
	if !s.repo {
		if err := t.create(ctx); err != nil {
			return nil, err
		}
	}
	if t.branch() != "main" {
		if _, err := t.client.Do(ctx, remote.Request{Method: http.MethodPost, URL: t.api("branch", t.branch()), Header: asJSON, Body: []byte("{}")}); !already(err) {
			return nil, t.explain(fmt.Errorf("make the branch: %w", err))
		}
	}
	t.state = nil
	if s, err = t.looked(ctx); err == nil && !(s.repo && s.branch) {
		err = fmt.Errorf("%s: %s says that it made it, and that it is not there", t.name, t.login.Endpoint)
	}
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	var files []push.File
	for _, f := range t.files {
		files = append(files, f.File)
	}
	t.mu.Unlock()
	return s, t.survey(ctx, files, t.branch())
}

// already takes what is there for made: a try before this one may have made it.
func already(err error) bool {
	status, ok := errors.AsType[*remote.StatusError](err)
	return err == nil || ok && status.Status == http.StatusConflict
}

var asJSON = http.Header{"Content-Type": {"application/json"}}

func (t *Target) create(ctx context.Context) error {
	visibility := map[bool]string{true: "private", false: "public"}[t.o.Private]
	org, name, _ := cutID(t.name.ID)
	body := encode(map[string]any{"type": "model", "organization": org, "name": name, "visibility": visibility})
	_, err := t.client.Do(ctx, remote.Request{Method: http.MethodPost, URL: t.login.Endpoint + "/api/repos/create", Header: asJSON, Body: body})
	if !already(err) {
		return t.explain(fmt.Errorf("make the repository: %w", err))
	}
	return nil
}

// Held asks which files the hub has in LFS.
func (t *Target) Held(ctx context.Context, files []push.File) ([]bool, error) {
	held := make([]bool, len(files))
	t.mu.Lock()
	for _, f := range files {
		t.files[f.Name] = file{File: f}
	}
	t.mu.Unlock()
	s, err := t.look(ctx)
	if err != nil || !s.repo {
		return held, err
	}
	at := t.branch()
	if !s.branch {
		at = "main"
	}
	if err := t.survey(ctx, files, at); err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, f := range files {
		held[i] = t.files[f.Name].held
	}
	return held, nil
}

// maxSmall bounds a file that goes with the commit, and maxCommit all of them: they are held in memory.
const (
	maxSmall  = 16 << 20
	maxCommit = 64 << 20
)

// Put sends a file of LFS; any other is kept for the commit.
func (t *Target) Put(ctx context.Context, f push.File, from io.ReaderAt, moved func(int64)) error {
	if moved == nil {
		moved = func(int64) {}
	}
	if _, err := t.ready(ctx); err != nil {
		return err
	}
	t.mu.Lock()
	known, ok := t.files[f.Name]
	t.mu.Unlock()
	if !ok || known.SHA256 != f.SHA256 {
		if err := t.survey(ctx, []push.File{f}, t.branch()); err != nil {
			return err
		}
		t.mu.Lock()
		known = t.files[f.Name]
		t.mu.Unlock()
	}
	if known.held {
		moved(f.Size)
		return nil
	}
	if known.lfs {
		return t.explain(t.send(ctx, f, from, moved))
	}
	return t.keep(f, from, moved)
}
