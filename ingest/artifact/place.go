package artifact

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"wreg/ingest/place"
	"wreg/registry/tensor"
)

// Place is an artifact as a place, or a folder or file of it.
type Place struct {
	files  map[string]File
	list   []place.Entry
	dir    string // the folder that is the place, "" or ending in /
	single string // the one file that was named, "" for a folder
	pin    string
	open   func(ctx context.Context, f File) (place.Blob, error)
}

var _ place.Place = (*Place)(nil)

// NewPlace is the place of files, or of what lies at a path among them; open opens one of them.
func NewPlace(files []File, at, pin string, open func(ctx context.Context, f File) (place.Blob, error)) (*Place, error) {
	p := &Place{files: make(map[string]File, len(files)), pin: pin, open: open}
	entries := make([]place.Entry, len(files))
	names := make([]string, len(files))
	for i, f := range files {
		p.files[f.Name] = f
		entries[i], names[i] = f.Entry(), f.Name
	}
	if at != "" {
		p.pin += "/" + at
		if _, file := p.files[at]; file {
			p.dir, p.single = strings.TrimSuffix(at, path.Base(at)), path.Base(at)
		} else if p.dir = at + "/"; !slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, p.dir) }) {
			slices.Sort(names)
			return nil, fmt.Errorf("%s: %w in it%s", at, fs.ErrNotExist, place.DidYouMean(at, names))
		}
	}
	p.list = place.Inside(entries, p.dir)
	return p, nil
}

// List names what lies in the folder.
func (p *Place) List(context.Context) ([]place.Entry, error) { return p.list, nil }

// Has reports whether there is such a file.
func (p *Place) Has(name string) bool {
	_, ok := p.files[p.dir+name]
	return ok
}

// Single is the one file that was named, "" where it is a folder or all of the artifact.
func (p *Place) Single() string { return p.single }

// Pin is the address of the same artifact, whatever its name leads to by then.
func (p *Place) Pin() string { return p.pin }

// Open opens a file.
func (p *Place) Open(ctx context.Context, name string) (place.Blob, error) {
	f, ok := p.files[p.dir+name]
	if !ok {
		return nil, fmt.Errorf("%s: %w in %s", name, fs.ErrNotExist, p.pin)
	}
	return p.open(ctx, f)
}

// Close has nothing to do: files that were opened stay open.
func (p *Place) Close() error { return nil }

// Stretch is a part of a blob as a blob of its own.
func Stretch(b place.Blob, name string, off, n int64) place.Blob {
	return stretch{io.NewSectionReader(b, off, n), b, name, off, n}
}

type stretch struct {
	*io.SectionReader
	of        place.Blob
	name      string
	off, size int64
}

func (s stretch) Close() error { return s.of.Close() }

// ReadAhead is passed on.
func (s stretch) ReadAhead(ctx context.Context, ranges [][2]int64) error {
	b, ok := s.of.(place.Batched)
	if !ok {
		return nil
	}
	there := make([][2]int64, len(ranges))
	for i, r := range ranges {
		there[i] = [2]int64{s.off + r[0], r[1]}
	}
	return b.ReadAhead(ctx, there)
}

// Stream is that of the blob, as long as the part is.
func (s stretch) Stream(ctx context.Context, off int64, afresh bool) io.ReadCloser {
	b, ok := s.of.(place.Streamer)
	if !ok {
		return io.NopCloser(io.NewSectionReader(s.SectionReader, off, s.size-off))
	}
	r := b.Stream(ctx, s.off+off, afresh)
	return struct {
		io.Reader
		io.Closer
	}{io.LimitReader(r, s.size-off), r}
}

// HeaderRead is passed on.
func (s stretch) HeaderRead() {
	if h, ok := s.of.(place.Headed); ok {
		h.HeaderRead()
	}
}

// Stat is what is known of the blob, and the part's own size. The digest is of all of the blob.
func (s stretch) Stat() (tensor.File, error) {
	info, err := s.of.Stat()
	info.Name, info.Size, info.Digest = s.name, s.size, ""
	return info, err
}
