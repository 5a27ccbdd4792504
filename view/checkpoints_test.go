package view

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"wreg/accel"
	"wreg/export"
	"wreg/ingest"
	"wreg/registry"
	"wreg/registry/tensor"
	"wreg/synth"
)

// bench is a registry with checkpoints on disk.
type bench struct {
	*testing.T
	dir      string
	registry *registry.Registry
}

func newBench(t *testing.T) *bench {
	dir := t.TempDir()
	r, err := registry.Open(filepath.Join(dir, "registry.db"), registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return &bench{t, dir, r}
}

// write makes a golden's checkpoint, changed as edit says.
func (b *bench) write(name, golden string, edit func(c *synth.Case)) {
	b.Helper()
	c, err := synth.Golden(goldens + golden + ".json")
	if err != nil {
		b.Fatal(err)
	}
	if edit != nil {
		edit(c)
	}
	if err := c.Write(filepath.Join(b.dir, name), synth.Options{}); err != nil {
		b.Fatal(err)
	}
}

// ingest registers a checkpoint; without hashes when bare says so.
func (b *bench) ingest(name string, bare bool) {
	b.Helper()
	c, err := ingest.Open(b.Context(), filepath.Join(b.dir, name), ingest.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	list := c.Tensors()
	if !bare {
		if list, err = c.Hash(b.Context(), ingest.HashOptions{}); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := b.registry.Put(b.Context(), registry.Revision{Model: name, Root: c.Path(), Config: c.Config(), Files: c.Files(), Hashed: !bare}, list); err != nil {
		b.Fatal(err)
	}
}

// export writes a model as mlx keeps it, and registers that.
func (b *bench) export(from, to string, o export.Options) {
	b.Helper()
	var plan *export.Plan
	if err := b.registry.View(func(s *registry.Snapshot) error {
		v, err := s.Find(from)
		if err != nil {
			return err
		}
		o.Out, o.NoSync = filepath.Join(b.dir, to), true
		plan, err = export.New(b.Context(), s, v, o)
		return err
	}); err != nil {
		b.Fatal(err)
	}
	if _, err := plan.Run(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.ingest(to, false)
}

// file is the only weights of a model.
func (b *bench) file(name string) string { return filepath.Join(b.dir, name, "model.safetensors") }

// edit changes the bytes of a tensor in a file.
func (b *bench) edit(name, path string, change func(p []byte)) {
	b.Helper()
	c, err := ingest.Open(b.Context(), filepath.Join(b.dir, name), ingest.Options{})
	if err != nil {
		b.Fatal(err)
	}
	t, ok := c.Lookup(path)
	c.Close()
	if !ok {
		b.Fatalf("no %s in %s", path, name)
	}
	data, err := os.ReadFile(b.file(name))
	if err != nil {
		b.Fatal(err)
	}
	change(data[t.Offset : t.Offset+t.Bytes])
	if err := os.WriteFile(b.file(name), data, 0o666); err != nil {
		b.Fatal(err)
	}
}

// read gives the numbers of a tensor.
func (b *bench) read(name, path string) (x []float64, d tensor.DType, p []byte) {
	b.Helper()
	c, err := ingest.Open(b.Context(), filepath.Join(b.dir, name), ingest.Options{})
	if err != nil {
		b.Fatal(err)
	}
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
	return wide(b, t.DType, p), t.DType, p
}

func wide(t testing.TB, d tensor.DType, p []byte) []float64 {
	t.Helper()
	elems, size := d.Block()
	x := make([]float64, int64(len(p))/size*elems)
	if err := accel.Widen(x, d, p); err != nil {
		t.Fatal(err)
	}
	return x
}
