package export

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"wreg/export/receipt"
	"wreg/ingest"
	"wreg/ingest/files"
	"wreg/ingest/folder"
	"wreg/ingest/place"
	"wreg/ingest/places"
	"wreg/ingest/spool"
	"wreg/registry"
	"wreg/registry/tensor"
)

// source is the model that is exported: what the registry knows of it, kept after
// the snapshot is gone.
type source struct {
	ref     string
	root    string // absolute path of the folder or file
	files   []tensor.File
	hashed  bool
	place   place.Place   // nil for a folder on disk
	spool   *spool.Spool  // of place, once it is open
	naming  tensor.Naming // of the names in the files
	tensors tensor.List   // sorted by path
}

func readSource(ctx context.Context, s *registry.Snapshot, v *registry.Revision) (*source, error) {
	tensors, err := Recorded(ctx, s, v)
	if err != nil {
		return nil, err
	}
	if !places.Names(v.Root) { // where the bytes are found by opening it
		for i := range tensors {
			tensors[i].File = ""
		}
	}
	return &source{ref: v.Ref(), root: v.Root, files: slices.Clone(v.Files), hashed: v.Hashed, naming: v.Naming, tensors: tensors}, nil
}

// Recorded is what the registry has of the tensors of a revision, sorted by path, to
// be kept after the snapshot is gone.
func Recorded(ctx context.Context, s *registry.Snapshot, v *registry.Revision) (tensors []tensor.Info, err error) {
	names := map[string]string{} // of few files
	for t, err := range s.Tensors(ctx, v) {
		if err != nil {
			return nil, err
		}
		if _, ok := names[t.File]; !ok {
			file := strings.Clone(t.File)
			names[file] = file
		}
		t.Path, t.File, t.Format = strings.Clone(t.Path), names[t.File], ""
		t.Shape, t.Slices = slices.Clone(t.Shape), slices.Clone(t.Slices)
		if t.Stats != nil {
			stats := *t.Stats
			t.Stats = &stats
		}
		tensors = append(tensors, t)
	}
	tensor.List(tensors).Sort()
	return tensors, nil
}

// Reopen opens the checkpoint of a revision whose tensors are recorded so. Files that are
// not as they were when it was ingested are errors, also when unchanged looks again.
func Reopen(ctx context.Context, v *registry.Revision, recorded []tensor.Info) (c *ingest.Checkpoint, unchanged func() error, err error) {
	s := &source{ref: v.Ref(), root: v.Root, files: v.Files, naming: v.Naming, tensors: recorded}
	if s.far() {
		return nil, nil, fmt.Errorf("%s lies at %s, and values are not read over the network; download it, and ingest the copy", s.ref, s.root)
	}
	if s.addressed() {
		here := func(ctx context.Context, address string) (place.Place, error) {
			return places.Open(ctx, address, places.Options{})
		}
		if err := s.find(ctx, here); err != nil {
			return nil, nil, err
		}
	}
	c, err = s.open(ctx)
	return c, s.unchanged, err
}

// Lookup and All make it an arch.Source.
func (s *source) Lookup(path string) (tensor.Info, bool) { return s.tensors.Lookup(path) }
func (s *source) All(yield func(tensor.Info) bool)       { s.tensors.All(yield) }

// addressed reports that the source is not a plain folder or file.
func (s *source) addressed() bool { return places.Names(s.root) }

// far reports that it does not lie on this disk.
func (s *source) far() bool { return s.addressed() && !places.Local(s.root) }

// find looks whether the source is where it was ingested; elsewhere it is opened.
func (s *source) find(ctx context.Context, open func(ctx context.Context, address string) (place.Place, error)) (err error) {
	if !s.addressed() {
		if _, err := os.Stat(s.root); err != nil {
			return s.absent(err)
		}
		return nil
	}
	if s.place, err = open(ctx, s.root); err == nil && s.place.Pin() != s.root {
		return fmt.Errorf("%s: opened again it is %s; ingest it again", s.root, s.place.Pin())
	}
	return err
}

// beside is where the files beside the weights lie.
func (s *source) beside() (files.Files, error) {
	if s.place != nil {
		return files.Far{Place: s.place}, nil
	}
	d, err := folder.Open(s.folder())
	return files.Local{Folder: d}, err
}

// folder is where the source's files lie.
func (s *source) folder() string { return folder.Of(s.root) }

// absent says that files are not where they were ingested.
func (s *source) absent(err error) error {
	return fmt.Errorf("a file of %s is not where it was ingested (%w); put it back, or ingest the checkpoint where it is now", s.ref, err)
}

// unchanged compares every file of the source with what it was when ingested. What lies
// elsewhere is of a revision, which does not change.
func (s *source) unchanged() error {
	if s.far() {
		return nil
	}
	for _, f := range s.files {
		path, now, err := s.stat(f.Name)
		if err != nil {
			return s.absent(err)
		}
		if now.Size != f.Size || !f.ModifiedAs(now.ModTime) {
			return fmt.Errorf("%s changed since %s was ingested (%d bytes of %s, now %d bytes of %s); ingest it again",
				path, s.ref, f.Size, f.ModTime.Format("2006-01-02 15:04:05.000"), now.Size, now.ModTime.Format("2006-01-02 15:04:05.000"))
		}
	}
	return nil
}

// stat says where a file of the source lies on this disk, and how it is now.
func (s *source) stat(name string) (path string, now tensor.File, err error) {
	if !s.addressed() {
		path = filepath.Join(s.folder(), filepath.FromSlash(name))
		info, err := os.Stat(path)
		if err != nil {
			return path, now, err
		}
		return path, tensor.File{Size: info.Size(), ModTime: info.ModTime()}, nil
	}
	path = s.root + "/" + name
	b, err := s.place.Open(context.Background(), name) // a file of this disk: nothing is waited for
	if err != nil {
		return path, now, err
	}
	now, err = b.Stat()
	return path, now, errors.Join(err, b.Close())
}

// open opens the source and checks that it still lists the tensors the plan was
// made from.
func (s *source) open(ctx context.Context) (*ingest.Checkpoint, error) {
	if err := s.unchanged(); err != nil {
		return nil, err
	}
	o := ingest.Options{Naming: s.naming}
	c, err := (*ingest.Checkpoint)(nil), error(nil)
	switch {
	case s.far():
		s.spool = spool.Over(s.place)
		c, err = ingest.OpenPlace(ctx, s.spool, o)
	case s.addressed():
		c, err = ingest.OpenPlace(ctx, s.place, o)
	default:
		c, err = ingest.Open(ctx, s.root, o)
	}
	if err != nil {
		return nil, err
	}
	for _, t := range s.tensors {
		now, ok := c.Lookup(t.Path)
		if !ok || now.DType != t.DType || !now.Shape.Equal(t.Shape) || now.Bytes != t.Bytes {
			c.Close()
			return nil, fmt.Errorf("%s: tensor %q is not what %s has (%v %v); ingest it again", s.root, t.Path, s.ref, t.DType, t.Shape)
		}
	}
	return c, nil
}

// plain are the formats of which a tensor is a stretch of its file. Of others a file is
// kept whole until all that is made of it is.
var plain = []string{"safetensors", "gguf"}

// stretch is where a tensor's bytes lie.
func (s *source) stretch(path string) (spool.Range, error) {
	t, _ := s.Lookup(path)
	i := slices.IndexFunc(s.files, func(f tensor.File) bool { return f.Name == t.File })
	if i < 0 {
		return spool.Range{}, fmt.Errorf("tensor %q: %s has no file %q", path, s.ref, t.File)
	}
	if slices.Contains(plain, s.files[i].Format) {
		return spool.Range{File: t.File, Off: t.Offset, N: t.Bytes}, nil
	}
	return spool.Range{File: t.File, N: s.files[i].Size}, nil
}

// input is what is known of a file of the source.
func (s *source) input(f tensor.File) receipt.File {
	out := receipt.File{Name: f.Name, Bytes: f.Size}
	if s.spool == nil {
		return out
	}
	for _, proof := range s.spool.Proofs() {
		if proof.Name != f.Name {
			continue
		}
		out.SHA256, out.Declared, out.Trust = proof.SHA256, proof.Declared, tensor.TrustVerified.String()
		if proof.Declared == "" {
			out.Trust = tensor.TrustHashed.String()
		}
	}
	return out
}

// listed is what a place says of a file.
func listed(size int64, digest string) string {
	text := fmt.Sprintf("%d bytes", size)
	if digest != "" {
		text += ", " + digest
	}
	return text
}
