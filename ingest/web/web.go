// Package web opens one file of weights at an address of the web, as a place: headers are
// read by ranges, nothing is downloaded.
//
// Most users need [Names], [Check] and [Open].
//
// Invariants: no token is ever sent, nor a password out of an address; what is after a
// question mark, where signatures are, is sent to the server and shown, kept and told to
// nobody else; plain http is spoken with this machine only; the file is the one that its
// pin names, by size and validator, or it is refused.
package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"sync"

	"wreg/ingest/place"
	"wreg/ingest/remote"
	"wreg/ingest/shards"
	"wreg/registry/tensor"
)

// maxAddress bounds the bytes of an address; signed ones have some 2,000.
const maxAddress = 16 << 10

// Names reports whether an address is one of the web, whatever it leads to.
func Names(address string) bool {
	scheme, _, ok := strings.Cut(address, "://")
	return ok && (strings.EqualFold(scheme, "https") || strings.EqualFold(scheme, "http"))
}

// Shown is an address as people and the registry may see it: without what may be secret.
func Shown(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		scheme, _, _ := strings.Cut(address, "://")
		return scheme + "://… (which is no address)"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
}

// Check says what is wrong with an address, without asking anybody.
func Check(address string) error {
	_, err := parse(address)
	return err
}

// ModelName is what a model at an address is called: the file, without what says its format.
func ModelName(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	name := path.Base(u.Path)
	return strings.TrimSuffix(name, path.Ext(name))
}

func parse(address string) (*url.URL, error) {
	refuse := func(format string, a ...any) (*url.URL, error) {
		return nil, fmt.Errorf("%s: %s", Shown(address), fmt.Sprintf(format, a...))
	}
	u, err := url.Parse(address)
	name := ""
	if err == nil {
		name = path.Base(u.Path)
	}
	switch {
	case len(address) > maxAddress:
		return refuse("an address of more than %d bytes", maxAddress)
	case err != nil || u.Hostname() == "" || u.Opaque != "":
		return refuse("not an address of the web: want https://HOST/…/FILE")
	case u.User != nil:
		return refuse("a name and password in an address are not sent; give one that needs none, as a presigned one")
	case strings.EqualFold(u.Scheme, "http") && !loopback(u.Hostname()):
		return refuse("http is read on this machine only, since anybody in between may alter what it brings; give its https address, or download it")
	case shards.IsIndex(name):
		return refuse("an index names further files, and where these lie is not guessed: name them one by one, or download the folder")
	case shards.FamilyOf(name) == nil:
		return refuse("names no file of weights, as model.safetensors or model.gguf; a folder or a page is not guessed: download it")
	}
	return u, nil
}

// loopback reports that a host is this machine.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// file is a place of one file.
type file struct {
	client     *remote.Client
	name       string
	source     remote.Source
	size       int64
	etag, when string // what says that it is unchanged; "" when the server does not

	mu    sync.Mutex
	begun *remote.File // its beginning is known; nil once it was given to who opened it
}

// Open asks for the file's beginning, its size and validator. Where address is a pin, they are
// those of it.
func Open(ctx context.Context, client *remote.Client, address string) (place.Place, error) {
	u, err := parse(address)
	if err != nil {
		return nil, err
	}
	pinned := u.Fragment != "" || u.RawFragment != ""
	want, err := url.ParseQuery(u.EscapedFragment())
	if err != nil || pinned && !want.Has("size") {
		return nil, fmt.Errorf("%s: what follows the # is not what wreg writes there", Shown(address))
	}
	u.Fragment, u.RawFragment = "", ""
	f := &file{client: client, name: path.Base(u.Path), source: remote.Source{Name: Shown(address), URL: u.String(), Size: -1, Check: staysPrivate}}
	f.begun = client.Open(ctx, f.source)
	facts, err := f.begun.Facts()
	if err != nil {
		return nil, errors.Join(f.explain(ctx, err), f.Close())
	}
	f.size, f.etag, f.when = facts.Size, facts.ETag, facts.Modified
	f.source.Size = f.size
	if is := f.validator(); pinned && is.Encode() != want.Encode() {
		err := &place.Error{Text: fmt.Sprintf("%s: it changed since it was ingested: %s, it was %s; ingest it again", f.source.Name, words(is), words(want)), Cause: remote.ErrChanged}
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// staysPrivate refuses what this machine redirects to plain http elsewhere.
func staysPrivate(first http.Header) error {
	to, err := url.Parse(first.Get("Location"))
	if err == nil && strings.EqualFold(to.Scheme, "http") && !loopback(to.Hostname()) {
		return fmt.Errorf("it leads to http at %.100q, which is not this machine", to.Host)
	}
	return nil
}

// validator is what says that the file is unchanged.
func (f *file) validator() url.Values {
	v := url.Values{"size": {strconv.FormatInt(f.size, 10)}}
	switch {
	case f.etag != "":
		v.Set("etag", f.etag)
	case f.when != "":
		v.Set("modified", f.when)
	}
	return v
}

func words(v url.Values) string {
	text := v.Get("size") + " bytes"
	if mark := cmp.Or(v.Get("etag"), v.Get("modified")); mark != "" {
		text += fmt.Sprintf(" (%.100q)", mark)
	}
	return text
}

// explain says what to do about an answer that refuses.
func (f *file) explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return err
	}
	text := err.Error()
	if status, ok := errors.AsType[*remote.StatusError](err); ok {
		switch status.Status {
		case http.StatusUnauthorized, http.StatusForbidden:
			text += "; no token is sent there: give a presigned address that still holds, or download it"
		case http.StatusNotFound, http.StatusGone:
			text += "; there is no such file"
		}
	}
	return &place.Error{Text: text, Cause: err}
}

// List has the one file.
func (f *file) List(context.Context) ([]place.Entry, error) {
	return []place.Entry{{Name: f.name, Size: f.size}}, nil
}

// Open opens it.
func (f *file) Open(ctx context.Context, name string) (place.Blob, error) {
	if name != f.name {
		return nil, fmt.Errorf("%s: %w beside it: at an address of the web there is one file", f.source.Name, fs.ErrNotExist)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	b := &blob{f, ctx, f.begun}
	if f.begun = nil; b.bytes == nil {
		b.bytes = f.client.Open(ctx, f.source)
	}
	return b, nil
}

// Has reports whether a file is the one.
func (f *file) Has(name string) bool { return name == f.name }

// Single is its name.
func (f *file) Single() string { return f.name }

// Pin is its address, and what says that it is unchanged.
func (f *file) Pin() string { return f.source.Name + "#" + f.validator().Encode() }

// Close leaves the file open for who opened it.
func (f *file) Close() (err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.begun != nil {
		err = f.begun.Close()
	}
	return err
}

// blob is the file, opened.
type blob struct {
	*file
	ctx   context.Context
	bytes *remote.File
}

// Stat describes it as the first answer did.
func (b *blob) Stat() (tensor.File, error) { return tensor.File{Name: b.name, Size: b.size}, nil }

// ReadAt reads it.
func (b *blob) ReadAt(p []byte, off int64) (int, error) {
	n, err := b.bytes.ReadAt(p, off)
	if err != nil && err != io.EOF {
		err = b.explain(b.ctx, err)
	}
	return n, err
}

// ReadAhead asks for what will be read next.
func (b *blob) ReadAhead(ctx context.Context, ranges [][2]int64) error {
	if err := b.bytes.ReadAhead(ctx, ranges); err != nil {
		return b.explain(ctx, err)
	}
	return nil
}

// HeaderRead lets go of what was read around the header.
func (b *blob) HeaderRead() { b.bytes.Release() }

// Close ends what is under way.
func (b *blob) Close() error { return b.bytes.Close() }

var (
	_ place.Headed  = (*blob)(nil)
	_ place.Batched = (*blob)(nil)
)
