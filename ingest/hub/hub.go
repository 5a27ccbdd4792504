// Package hub opens repositories of huggingface.co and of what speaks its protocol, as
// places where a checkpoint's files lie: nothing is downloaded but what is read.
//
// Most users need [Names], [Parse], [ReadLogin] and [Open].
//
// Invariants: every file is of one commit, whatever moves meanwhile; a name that the hub
// lists is never a path; what an answer says of a file is held against the listing, and a
// small file's bytes against its digest; the token goes to the hub alone, and where the
// environment says offline nothing is asked.
package hub

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"

	"wreg/ingest/files"
	"wreg/ingest/headers"
	"wreg/ingest/place"
	"wreg/ingest/remote"
	"wreg/ingest/shards"
)

// Repo is a repository at a commit, or a folder or file of it.
type Repo struct {
	client *remote.Client
	login  *Login
	name   Name
	list   *listing
	dir    string // the folder that is the place, "" or ending in /
	single string // the one file that was named, "" for a folder
	kept   *headers.Store

	ctx   context.Context // of Open: what is asked for early ends with it
	begun sync.Once

	mu    sync.Mutex // guards what follows, and list.files
	early map[string]*blob
}

var _ place.Place = (*Repo)(nil)

// Open asks for the commit and the files of what address names. The files and beginnings of files that a
// reader will want are asked for with the first use: who only needs the commit makes one request.
func Open(ctx context.Context, client *remote.Client, address string) (place.Place, error) {
	name, err := Parse(address)
	if err != nil {
		return nil, err
	}
	login, err := ReadLogin()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if login.Offline != "" {
		return nil, fmt.Errorf("%s: %s is set, so nothing is asked; wreg ingest %s reads what hf download left in the hub's cache", name, login.Offline, strings.TrimPrefix(Name{ID: name.ID, Revision: name.Revision}.String(), Scheme))
	}
	r := &Repo{client: client, login: login, name: name, early: map[string]*blob{}, kept: headers.Cached(originOf(login.Endpoint))}
	if r.list, err = r.ask(ctx); err != nil {
		return nil, err
	}
	if err := r.settle(ctx); err != nil {
		return nil, err
	}
	r.ctx = ctx
	return r, nil
}

// settle finds out whether a path is a file or a folder.
func (r *Repo) settle(ctx context.Context) error {
	at := r.name.Path
	if at == "" {
		return r.checkTwins()
	}
	if _, file := r.list.files[at]; file {
		r.dir, r.single = strings.TrimSuffix(at, path.Base(at)), path.Base(at)
		return r.checkTwins()
	}
	if len(r.list.under(at)) > 0 {
		r.dir = at + "/"
		return r.checkTwins()
	}
	e, err := r.find(ctx, at)
	if err != nil {
		return fmt.Errorf("%w%s", err, didYouMean(at, r.names()))
	}
	if err := r.list.add(at, e); err != nil {
		return fmt.Errorf("%s: %w", r.name, err)
	}
	r.dir, r.single = strings.TrimSuffix(at, path.Base(at)), path.Base(at)
	return r.checkTwins()
}

func (r *Repo) checkTwins() error {
	var here []string
	for _, e := range r.entries() {
		here = append(here, e.Name)
	}
	if err := files.Twins(here); err != nil {
		return fmt.Errorf("%s: %w", r.name, err)
	}
	return nil
}

// address is what names a file in errors.
func (r *Repo) address(name string) string {
	return Name{ID: r.name.ID, Revision: r.revision(), Path: name}.String()
}

func (r *Repo) names() []string {
	names := make([]string, 0, len(r.list.files))
	for name := range r.list.files {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// List names what lies in the folder; folders of it are not descended into.
func (r *Repo) List(context.Context) ([]place.Entry, error) {
	r.begun.Do(r.prefetch)
	return r.entries(), nil
}

func (r *Repo) entries() (list []place.Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	folders := map[string]bool{}
	for name, e := range r.list.files {
		inside, ok := strings.CutPrefix(name, r.dir)
		if !ok {
			continue
		}
		if first, _, deeper := strings.Cut(inside, "/"); deeper {
			if !folders[first] {
				folders[first] = true
				list = append(list, place.Entry{Name: first, Dir: true})
			}
			continue
		}
		list = append(list, place.Entry{Name: inside, Size: e.size, Digest: e.digest()})
	}
	slices.SortFunc(list, func(a, b place.Entry) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

func (e entry) digest() string {
	if e.sha256 == "" {
		return ""
	}
	return "sha256:" + e.sha256
}

// Has reports whether the listing has a file.
func (r *Repo) Has(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.list.files[r.dir+name]
	return ok
}

// Single is the one file that was named, "" where it is a folder or all of the repository.
func (r *Repo) Single() string { return r.single }

// Pin is the address of the same at its commit.
func (r *Repo) Pin() string {
	n := r.name
	n.Revision = r.list.commit
	return n.String()
}

// Open opens a file; what is not there is fs.ErrNotExist.
func (r *Repo) Open(ctx context.Context, name string) (place.Blob, error) {
	full := r.dir + name
	r.begun.Do(r.prefetch)
	r.mu.Lock()
	if b := r.early[full]; b != nil {
		delete(r.early, full)
		r.mu.Unlock()
		return b, nil
	}
	e, ok := r.list.files[full]
	r.mu.Unlock()
	if !ok {
		var err error
		if e, err = r.find(ctx, full); err != nil {
			return nil, err
		}
	}
	return r.open(ctx, full, e), nil
}

// Close gives up what was asked for and nobody opened; files that were opened stay open.
func (r *Repo) Close() (err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range r.early {
		err = cmp.Or(err, b.Close())
	}
	clear(r.early)
	return err
}

// maxEarly bounds the files whose beginnings are asked for before anybody opens them.
const maxEarly = 512

// prefetch asks for what a reader will want: config.json, the index, and how the files
// begin that are most likely the weights. It need not wait for the index to know their names.
func (r *Repo) prefetch() {
	names := []string{"config.json", "adapter_config.json"}
	if r.single != "" {
		names = append(names, r.single)
	} else {
		k := shards.Sort(files.Entries(r.entries()))
		names = append(names, k.Indexes...)
		for i := range shards.Families {
			if weights := k.Weights[shards.Families[i].Name]; len(weights) > 0 {
				names = append(names, weights...)
				break
			}
		}
	}
	for _, name := range names[:min(len(names), maxEarly)] {
		full := r.dir + name
		e, there := r.list.files[full]
		if !there {
			continue
		}
		b := r.open(r.ctx, full, e)
		r.mu.Lock()
		r.early[full] = b
		r.mu.Unlock()
		b.prefetch()
	}
}
