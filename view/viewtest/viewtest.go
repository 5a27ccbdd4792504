// Package viewtest is for tests of what people look at: a registry of checkpoints that lie
// on the disk, small ones, made, changed, ingested and exported as users do.
//
// Most users need [New].
//
// Invariants: everything lies in the test's own folder; what fails, fails the test.
package viewtest

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"wreg/export"
	"wreg/ingest"
	"wreg/registry"
	"wreg/registry/tensor"
	"wreg/synth"
)

// Bench is a registry with checkpoints on disk.
type Bench struct {
	testing.TB
	Dir      string
	Registry *registry.Registry

	goldens string
}

// New opens an empty registry. Goldens are in the folder named.
func New(t testing.TB, goldens string) *Bench {
	t.Helper()
	b := &Bench{TB: t, Dir: t.TempDir(), goldens: goldens}
	r, err := registry.Open(b.Path(), registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	b.Registry = r
	return b
}

// Path is the registry's file, for who opens it again once the Registry was closed.
func (b *Bench) Path() string { return filepath.Join(b.Dir, "registry.db") }

// Write makes a golden's checkpoint, changed as edit says.
func (b *Bench) Write(name, golden string, edit func(c *synth.Case)) {
	b.Helper()
	c, err := synth.Golden(filepath.Join(b.goldens, golden+".json"))
	if err != nil {
		b.Fatal(err)
	}
	if edit != nil {
		edit(c)
	}
	if err := c.Write(filepath.Join(b.Dir, name), synth.Options{}); err != nil {
		b.Fatal(err)
	}
}

// Ingest registers a checkpoint; without hashes when bare says so.
func (b *Bench) Ingest(name string, bare bool) {
	b.Helper()
	c := b.Open(name)
	defer c.Close()
	list := c.Tensors()
	if !bare {
		var err error
		if list, err = c.Hash(b.Context(), ingest.HashOptions{}); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := b.Registry.Put(b.Context(), registry.Revision{Model: name, Root: c.Path(), Config: c.Config(), Files: c.Files(), Hashed: !bare}, list); err != nil {
		b.Fatal(err)
	}
}

// Export writes a model as mlx keeps it, and registers that.
func (b *Bench) Export(from, to string, o export.Options) {
	b.Helper()
	var plan *export.Plan
	if err := b.Registry.View(func(s *registry.Snapshot) error {
		v, err := s.Find(from)
		if err != nil {
			return err
		}
		o.Out, o.NoSync = filepath.Join(b.Dir, to), true
		plan, err = export.New(b.Context(), s, v, o)
		return err
	}); err != nil {
		b.Fatal(err)
	}
	if _, err := plan.Run(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.Ingest(to, false)
}

// Quantize is Export in 4 bits.
func (b *Bench) Quantize(from, to string) {
	b.Helper()
	b.Export(from, to, export.Options{Quantize: &export.Quantize{Group: 32}})
}

// Open opens a checkpoint.
func (b *Bench) Open(name string) *ingest.Checkpoint {
	b.Helper()
	c, err := ingest.Open(b.Context(), filepath.Join(b.Dir, name), ingest.Options{})
	if err != nil {
		b.Fatal(err)
	}
	return c
}

// File is the only weights of a model.
func (b *Bench) File(name string) string { return filepath.Join(b.Dir, name, "model.safetensors") }

// Edit changes the bytes of a tensor in a file.
func (b *Bench) Edit(name, path string, change func(p []byte)) {
	b.Helper()
	c := b.Open(name)
	t, ok := c.Lookup(path)
	c.Close()
	if !ok {
		b.Fatalf("no %s in %s", path, name)
	}
	data, err := os.ReadFile(b.File(name))
	if err != nil {
		b.Fatal(err)
	}
	change(data[t.Offset : t.Offset+t.Bytes])
	if err := os.WriteFile(b.File(name), data, 0o666); err != nil {
		b.Fatal(err)
	}
}

// Bytes gives the bytes of a tensor.
func (b *Bench) Bytes(name, path string) (t tensor.Info, p []byte) {
	b.Helper()
	c := b.Open(name)
	defer c.Close()
	t, ok := c.Lookup(path)
	if !ok {
		b.Fatalf("no %s in %s", path, name)
	}
	r, err := c.Bytes(path)
	if err != nil {
		b.Fatal(err)
	}
	p = make([]byte, t.Bytes)
	if _, err := r.ReadAt(p, 0); err != nil && err != io.EOF {
		b.Fatal(err)
	}
	return t, p
}
