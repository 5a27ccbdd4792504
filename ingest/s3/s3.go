// Package s3 opens what lies below a prefix of a bucket, or one file of it, as a place where
// a checkpoint's files lie: nothing is downloaded but what is read.
//
// Most users need [Open]; wreg/ingest/s3/bucket says how addresses are written.
//
// Invariants: each file is the one that was listed, by ETag and size, or nothing is read of
// it; a pin names a file's version where the bucket keeps versions, and is else a digest of
// the listing, so that what is opened by it is the same or refused; a name that a bucket
// lists is never a path.
package s3

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"

	"wreg/ingest/files"
	"wreg/ingest/place"
	"wreg/ingest/remote"
	"wreg/ingest/s3/bucket"
	"wreg/ingest/shards"
	"wreg/registry/tensor"
)

// Folder is what lies directly below a prefix, or one file of that.
type Folder struct {
	b      *bucket.Bucket
	name   bucket.Name // without version and pin
	dir    string      // the prefix, "" or ending in /
	single string      // the one file that was named, "" for a folder
	pin    string
	ctx    context.Context // of Open, for what is asked beside the one file

	mu      sync.Mutex
	files   map[string]bucket.Object
	folders []string
	listed  bool
}

var _ place.Place = (*Folder)(nil)

// Open asks for the listing of what address names: one request, or one more where only asking tells
// whether it is a file.
func Open(ctx context.Context, address string, o remote.Options) (place.Place, error) {
	n, err := bucket.Parse(address)
	if err != nil {
		return nil, err
	}
	b, err := bucket.Open(ctx, n.Bucket, o)
	if err != nil {
		return nil, err
	}
	d := &Folder{b: b, name: bucket.Name{Bucket: n.Bucket, Key: n.Key}, ctx: ctx, files: map[string]bucket.Object{}}
	if err := d.settle(ctx, n); err != nil {
		b.Client.Close()
		return nil, err
	}
	if n.Pin != "" && d.pin != n.Pin {
		b.Client.Close()
		return nil, fmt.Errorf("%s: %w since it was listed: its files are others%s; ingest %s again", n, remote.ErrChanged, d.newest(), d.name)
	}
	return d, nil
}

// settle finds out whether a key is a file or a folder, and what it holds.
func (d *Folder) settle(ctx context.Context, n bucket.Name) error {
	at := strings.TrimSuffix(n.Key, "/")
	likely := at == n.Key && at != "" && (n.Version != "" || shards.FamilyOf(at) != nil || shards.IsIndex(at))
	if likely {
		err := d.one(ctx, at, n.Version)
		if err == nil || n.Version != "" || !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if at != "" {
		d.dir = at + "/"
	}
	if err := d.list(ctx); err != nil {
		return err
	}
	if len(d.files)+len(d.folders) == 0 && at != "" {
		err := fmt.Errorf("%s: %w: the bucket has neither such a file nor anything below it", d.name, fs.ErrNotExist)
		if !likely && at == n.Key {
			if one := d.one(ctx, at, ""); one == nil || !errors.Is(one, fs.ErrNotExist) {
				return one
			}
		}
		return err
	}
	d.pin = d.fingerprint()
	return nil
}

// one takes a file for the place.
func (d *Folder) one(ctx context.Context, key, version string) error {
	o, err := d.b.Head(ctx, key, version)
	if err != nil {
		return err
	}
	d.single = path.Base(key)
	d.dir = strings.TrimSuffix(key, d.single)
	if err := d.add(d.single, o); err != nil {
		return err
	}
	d.pin = d.fingerprint()
	return nil
}

// list asks for what lies below the prefix.
func (d *Folder) list(ctx context.Context) error {
	list, folders, err := d.b.List(ctx, d.dir)
	if err != nil {
		return err
	}
	var names []string
	for _, o := range list {
		names = append(names, o.Key)
		if o.Key == d.single {
			continue // it was asked for by name
		}
		if err := d.add(o.Key, o); err != nil {
			return err
		}
	}
	if err := files.Twins(names); err != nil {
		return fmt.Errorf("%s: %w", d.name, err)
	}
	for _, name := range folders {
		if err := place.CheckName(name); err != nil {
			return fmt.Errorf("%s: its listing: %w", d.name, err)
		}
	}
	d.folders, d.listed = folders, true
	return nil
}

func (d *Folder) add(name string, o bucket.Object) error {
	if err := place.CheckName(name); err != nil {
		return fmt.Errorf("%s: its listing: %w", d.name, err)
	}
	if _, twice := d.files[name]; twice {
		return fmt.Errorf("%s: lists %q twice", d.name, name)
	}
	d.files[name] = o
	return nil
}

// fingerprint is a digest of the files that a model may consist of: names, sizes, ETags.
func (d *Folder) fingerprint() string {
	h := sha256.New()
	for _, name := range d.sorted() {
		if o := d.files[name]; files.Counts(name) || name == d.single {
			fmt.Fprintf(h, "%q %d %q\n", name, o.Size, o.Validator())
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

func (d *Folder) sorted() []string {
	names := make([]string, 0, len(d.files))
	for name := range d.files {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// newest says which file was written last.
func (d *Folder) newest() string {
	last := ""
	for _, name := range d.sorted() {
		if o := d.files[name]; files.Counts(name) && (last == "" || o.Modified.After(d.files[last].Modified)) {
			last = name
		}
	}
	if last == "" {
		return ""
	}
	return fmt.Sprintf(" (%q was written last, %s)", last, d.files[last].Modified.Format("2006-01-02 15:04:05"))
}

// List names what lies in the folder; folders of it are not descended into.
func (d *Folder) List(ctx context.Context) ([]place.Entry, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.listed {
		if err := d.list(ctx); err != nil {
			return nil, failed(err)
		}
	}
	var list []place.Entry
	for _, name := range d.folders {
		list = append(list, place.Entry{Name: name, Dir: true})
	}
	for name, o := range d.files {
		list = append(list, place.Entry{Name: name, Size: o.Size, Digest: digest(o)})
	}
	slices.SortFunc(list, func(a, b place.Entry) int { return cmp.Compare(a.Name, b.Name) })
	return list, nil
}

func digest(o bucket.Object) string {
	if o.SHA256 == "" {
		return ""
	}
	return "sha256:" + o.SHA256
}

// Has reports whether there is a file. Beside one that was named by itself it asks, and what may not be seen
// counts as missing: who may read one file need not be allowed to list.
func (d *Folder) Has(name string) bool {
	_, err := d.find(d.ctx, name)
	return err == nil
}

func (d *Folder) find(ctx context.Context, name string) (bucket.Object, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	o, ok := d.files[name]
	if ok {
		return o, nil
	}
	if d.listed || place.CheckName(name) != nil {
		return o, fmt.Errorf("%s%s: %w", d.under(), name, fs.ErrNotExist)
	}
	o, err := d.b.Head(ctx, d.dir+name, "")
	if err == nil {
		d.files[name] = o
	}
	return o, failed(err)
}

// failed marks why something could not be asked for: that it is missing is an answer.
func failed(err error) error {
	if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, context.Canceled) {
		return err
	}
	return &place.Error{Text: err.Error(), Cause: err}
}

// under is the address of the folder, with a slash at its end.
func (d *Folder) under() string {
	return bucket.Scheme + d.name.Bucket + "/" + d.dir
}

// Shows reports that a file was listed as this one.
func (d *Folder) Shows(name string, o bucket.Object) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	was, ok := d.files[name]
	return ok && was.Size == o.Size && was.ETag == o.ETag
}

// Single is the one file that was named, "" for a folder.
func (d *Folder) Single() string { return d.single }

// Pin is the address of the same as it is now.
func (d *Folder) Pin() string {
	n := d.name
	if n.Version = d.files[d.single].Version; d.single == "" || n.Version == "" {
		n.Version, n.Pin = "", d.pin
	}
	return n.String()
}

// Open opens a file; what is not there is fs.ErrNotExist.
func (d *Folder) Open(ctx context.Context, name string) (place.Blob, error) {
	o, err := d.find(ctx, name)
	if err != nil {
		return nil, err
	}
	f := &blob{d: d, name: name, object: o}
	f.ctx, f.stop = context.WithCancel(ctx)
	query, header := url.Values{}, http.Header{}
	if o.Version != "" {
		query.Set("versionId", o.Version)
	}
	if strings.HasPrefix(o.ETag, `"`) {
		header.Set("If-Match", o.ETag)
	}
	f.ranges = d.b.Client.Open(f.ctx, remote.Source{Name: d.under() + name, URL: d.b.URL(d.dir+name, query), Size: o.Size, SHA256: o.SHA256, Header: header, Check: f.check})
	return f, nil
}

// Close leaves files that were opened open.
func (d *Folder) Close() error { return nil }

// blob is a file of the bucket.
type blob struct {
	d      *Folder
	ctx    context.Context
	stop   context.CancelFunc
	name   string
	object bucket.Object
	ranges *remote.File

	once sync.Once // of asking for the digest
	sum  string
}

// check holds what an answer says of the file against the listing.
func (f *blob) check(first http.Header) error {
	if etag := first.Get("ETag"); etag != "" && f.object.ETag != "" && etag != f.object.ETag {
		return fmt.Errorf("%w since it was listed: its ETag is %.100s now and was %s; ingest it again", remote.ErrChanged, etag, f.object.ETag)
	}
	if sum := bucket.Declared(first); sum != "" && f.object.SHA256 != "" && sum != f.object.SHA256 {
		return fmt.Errorf("%w since it was listed: its sha256 is %s now and was %s; ingest it again", remote.ErrChanged, sum, f.object.SHA256)
	}
	return nil
}

// Stat describes the file as it was listed. What stands for the inode is from its ETag.
func (f *blob) Stat() (tensor.File, error) {
	sum := sha256.Sum256([]byte(f.object.Validator()))
	f.once.Do(func() { f.sum = f.declared() })
	o := f.object
	o.SHA256 = f.sum
	return tensor.File{Name: f.name, Size: o.Size, ModTime: o.Modified, Inode: binary.BigEndian.Uint64(sum[:]) >> 1, Digest: digest(o)}, nil
}

// declared is the SHA-256 that the store declares of the file, "" for none. A listing has none: it comes with the file's
// beginning, which is read anyway, or is asked for where the listing says that there is one. Why it could not be had is told by
// whoever reads.
func (f *blob) declared() string {
	if f.object.SHA256 != "" {
		return f.object.SHA256
	}
	if facts, err := f.ranges.Facts(); err == nil {
		if sum := bucket.Declared(facts.First); sum != "" {
			return sum
		}
	}
	if f.object.Summed {
		if o, err := f.d.b.Head(f.ctx, f.d.dir+f.name, f.object.Version); err == nil && o.ETag == f.object.ETag {
			return o.SHA256
		}
	}
	return ""
}

// ReadAt reads the file.
func (f *blob) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.ranges.ReadAt(p, off)
	return n, f.explain(err)
}

// ReadAhead asks for what will be read next.
func (f *blob) ReadAhead(ctx context.Context, ranges [][2]int64) error {
	return f.explain(f.ranges.ReadAhead(ctx, ranges))
}

// HeaderRead lets go of what was kept to read the header.
func (f *blob) HeaderRead() { f.ranges.Release() }

// Stream reads the file from off to its end.
func (f *blob) Stream(ctx context.Context, off int64, afresh bool) io.ReadCloser {
	return f.ranges.Rest(ctx, off, afresh, f.explain)
}

func (f *blob) explain(err error) error {
	if err == nil || err == io.EOF || f.ctx.Err() != nil {
		return err
	}
	if status, ok := errors.AsType[*remote.StatusError](err); ok && status.Status == http.StatusNotFound {
		err = fmt.Errorf("%s%s: %w since it was listed: it is gone; ingest it again", f.d.under(), f.name, remote.ErrChanged)
	}
	return failed(f.d.b.Explain(f.ctx, f.d.dir+f.name, err))
}

// Close gives up what is under way.
func (f *blob) Close() error {
	f.stop()
	return f.ranges.Close()
}

var (
	_ place.Streamer = (*blob)(nil)
	_ place.Batched  = (*blob)(nil)
	_ place.Headed   = (*blob)(nil)
)
