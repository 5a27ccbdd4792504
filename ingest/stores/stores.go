// Package stores finds models by name where ollama, Docker Model Runner and LM Studio keep
// them on this disk. Nothing is asked of these programs, and nothing downloaded.
//
// Most users need [Ollama], [DockerModel] and [LMStudio].
//
// Invariants: a name becomes a path only after each part of it was found to be one, and
// what is in a manifest never does, but a digest in its one spelling; a blob is as large
// as its manifest says before it is opened; what is opened is a file on disk, as fast to
// read as one that was named by its path.
package stores

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"wreg/ingest/artifact"
	"wreg/ingest/folder"
	"wreg/ingest/place"
	"wreg/ingest/regular"
	"wreg/registry/tensor"
)

// Store is a program that keeps models.
type Store struct {
	Scheme string // of its addresses
	Name   string // of the program
	form   string // of its names
	parse  func(text string) (name, error)
	folder func() (string, error)
	open   func(s *Store, dir string, n name) (place.Place, error)
	pull   string // the command that fetches a model
}

// name is what follows the scheme.
type name struct {
	parts  []string // checked: each is the name of a folder or file
	tag    string
	digest string // of the manifest, "sha256:…", "" where any will do
	path   string // in the artifact
}

// Check says what is wrong with an address.
func (s *Store) Check(address string) error {
	_, err := s.read(address)
	return err
}

const maxAddress = 4096

func (s *Store) read(address string) (name, error) {
	text := strings.TrimSuffix(address[len(s.Scheme):], "/")
	if len(address) > maxAddress {
		return name{}, fmt.Errorf("%.100s…: longer than %d bytes", address, maxAddress)
	}
	n, err := s.parse(text)
	if err != nil {
		return n, fmt.Errorf("%s: %w; want %s%s", strings.ToValidUTF8(address, "?"), err, s.Scheme, s.form)
	}
	return n, nil
}

// Model is what a model is called when nobody says: its name, and its tag where that is not the usual one.
func (s *Store) Model(address string) string {
	n, err := s.read(address)
	if err != nil || n.path != "" {
		return ""
	}
	last := n.parts[len(n.parts)-1]
	if n.tag != "" && n.tag != latest {
		last += "-" + n.tag
	}
	return last
}

// latest is the tag where none is given.
const latest = "latest"

// Open finds a model. No bytes of it are read but its manifest.
func (s *Store) Open(address string) (place.Place, error) {
	n, err := s.read(address)
	if err != nil {
		return nil, err
	}
	dir, err := s.folder()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", address, err)
	}
	p, err := s.open(s, dir, n)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", address, err)
	}
	return p, nil
}

// absent says that a model is not in the store, and which are.
func (s *Store) absent(dir, name string, others []string) error {
	if len(others) == 0 {
		return fmt.Errorf("%s has no models in %s; to fetch it type: %s %s", s.Name, dir, s.pull, name)
	}
	return fmt.Errorf("%s has no such model in %s%s To fetch it type: %s %s", s.Name, dir, ended(place.DidYouMean(name, others)), s.pull, name)
}

// ended ends a sentence.
func ended(text string) string {
	if strings.HasSuffix(text, "?") {
		return text
	}
	return text + "."
}

// part is the name of a folder or file of a store.
var part = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,349}$`)

// hostPort is a host with a port, before a namespace and a name: shorter names have no host.
var hostPort = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*:[0-9]{1,5}/[^/]+/`)

// host may have a port. It is the name of a folder, too.
var host = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*(:[0-9]{1,5})?$`)

// split takes what stands behind the last part off: :TAG, @sha256:DIGEST and, where there is one of these, /PATH.
func split(text string) (parts []string, n name, err error) {
	if before, after, ok := strings.Cut(text, "@"); ok {
		digest, path, _ := strings.Cut(after, "/")
		if !artifact.IsDigest(digest) {
			return nil, n, fmt.Errorf("%.100q is no digest of a manifest", digest)
		}
		text, n.digest, n.path = before, digest, path
	}
	port := 0 // a colon before it is a host's
	if m := hostPort.FindString(text); m != "" {
		port = len(m)
	}
	if i := strings.Index(text[port:], ":"); i >= 0 {
		tag, path, deeper := strings.Cut(text[port+i+1:], "/")
		if deeper && n.digest != "" {
			return nil, n, errors.New("a path stands behind the digest")
		} else if deeper {
			n.path = path
		}
		if !part.MatchString(tag) {
			return nil, n, fmt.Errorf("%.100q is no tag", tag)
		}
		text, n.tag = text[:port+i], tag
	}
	if n.path != "" {
		if err := place.CheckName(n.path); err != nil {
			return nil, n, err
		}
	}
	parts = strings.Split(text, "/")
	for i, p := range parts {
		if ok := part.MatchString(p) || i == 0 && len(parts) > 1 && host.MatchString(p); !ok {
			return nil, n, fmt.Errorf("%.100q is no part of a name", p)
		}
	}
	return parts, n, nil
}

// home is the folder that was set for a store, else where it lies below the user's own.
func home(set string, below ...string) (string, error) {
	if set != "" {
		return filepath.Abs(set)
	}
	home, err := os.UserHomeDir()
	return filepath.Join(append([]string{home}, below...)...), err
}

// blobs opens the files of an artifact in a store.
type blobs struct {
	s    *Store
	name string // for its program
	path func(hex string) string
}

// layer opens a blob, which must be as large as its manifest says.
func (b *blobs) layer(l artifact.Layer, name string) (*local, error) {
	at := b.path(strings.TrimPrefix(l.Digest, "sha256:"))
	f, err := regular.Open(at)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("its blob %s is missing (%w): the download is not complete; type: %s %s", l.Digest, folder.Cause(err), b.s.pull, b.name)
	} else if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.Size() != l.Size {
		err = fmt.Errorf("its blob %s has %d bytes, and its manifest says %d: the download is not complete, or the file was changed; type: %s %s", l.Digest, info.Size(), l.Size, b.s.pull, b.name)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &local{f, name, l.Digest}, nil
}

func (b *blobs) open(_ context.Context, f artifact.File) (place.Blob, error) {
	l, err := b.layer(f.Layer, f.Name)
	switch {
	case err != nil: // it says nothing of what is in the file
		return nil, &place.Error{Text: f.Name + ": " + err.Error(), Cause: err}
	case f.Whole():
		return onDisk{l}, nil
	}
	return artifact.Stretch(l, f.Name, f.Offset, f.Size), nil
}

// artifact is the place of what a manifest says.
func (b *blobs) artifact(text []byte, n name, pin string) (place.Place, error) {
	m, err := artifact.Parse(text)
	if err != nil {
		return nil, err
	}
	files, err := m.Files(func(l artifact.Layer) (place.Blob, error) { return b.layer(l, "") })
	if err != nil {
		return nil, err
	}
	return artifact.NewPlace(files, n.path, pin, b.open)
}

// local is a file of a store.
type local struct {
	*os.File
	name, digest string
}

// Stat describes the file as it is on disk.
func (l *local) Stat() (tensor.File, error) {
	info, err := l.File.Stat()
	if err != nil {
		return tensor.File{}, err
	}
	return tensor.File{Name: l.name, Size: info.Size(), ModTime: info.ModTime(), Inode: folder.Inode(info), Digest: l.digest}, nil
}

// onDisk is a file of a store that is one of the model, from end to end.
type onDisk struct{ *local }

// Disk is the file itself.
func (o onDisk) Disk() *os.File { return o.File }
