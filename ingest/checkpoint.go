package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"

	"wreg/ingest/place"
	"wreg/ingest/shards"
	"wreg/ingest/zipfile"
	"wreg/registry/pyjson"
	"wreg/registry/tensor"
)

// Checkpoint is an opened checkpoint: headers read, no tensor data loaded. It
// holds its files open until Close. Methods may be called concurrently.
type Checkpoint struct {
	root     string
	place    place.Place // nil for a folder on disk
	single   string      // the file that was opened, "" for a folder
	config   []byte
	adapter  []byte         // adapter_config.json
	doc      *pyjson.Object // config.json, nil when there is none or it cannot be read
	files    []tensor.File
	tensors  tensor.List
	findings []tensor.Finding

	open   []*file
	where  []location // of tensors[i]
	naming tensor.Naming
	left   tensor.List // what the naming leaves out
	rival  []rival
	draft  *shards.Draft

	again   zipfile.Again
	settled sync.Mutex // guards findings once Open is done
}

// location says which tensor of which open file a tensor is.
type location struct{ file, index uint32 }

// rival is a second tensor under a path of tensors, which was not chosen.
type rival struct {
	path string
	at   location
}

// Close releases the files.
func (c *Checkpoint) Close() (err error) {
	for _, f := range c.open {
		err = errors.Join(err, f.disk.Close())
	}
	if c.place != nil {
		err = errors.Join(err, c.place.Close())
	}
	return err
}

// Path is what to Open again, absolute: the folder that Info.File and File.Name are
// relative to, or the single file in it.
func (c *Checkpoint) Path() string {
	if c.place != nil {
		return c.place.Pin()
	}
	return filepath.Join(c.root, c.single)
}

// shown is where the checkpoint lies, for people: a folder, or a place elsewhere.
func (c *Checkpoint) shown() string {
	if c.place != nil {
		return c.place.Pin()
	}
	return c.root
}

// Config is config.json as it is on disk, nil when there is none.
func (c *Checkpoint) Config() []byte { return c.config }

// Adapter is adapter_config.json as it is on disk where the tensors are those of an
// adapter, {} where there is none beside them, and nil for a model.
func (c *Checkpoint) Adapter() []byte { return c.adapter }

// Files are the files that hold weights, index and config, sorted by name.
func (c *Checkpoint) Files() []tensor.File { return c.files }

// Findings are the disagreements met while opening, in a stable order. After Hash
// they say of a tensor found twice whether its bytes are equal.
func (c *Checkpoint) Findings() []tensor.Finding {
	c.settled.Lock()
	defer c.settled.Unlock()
	return c.findings
}

// Left are the tensors that Options.Naming leaves out.
func (c *Checkpoint) Left() []tensor.Info { return c.left }

// Stored is a tensor's name in its file, which Options.Naming may have changed.
func (c *Checkpoint) Stored(path string) string {
	if i, ok := c.tensors.Find(path); ok {
		return c.info(c.where[i]).Path
	}
	return path
}

// Tensors lists every tensor, sorted by path; hashes and statistics are absent.
// The caller must not modify the slice.
func (c *Checkpoint) Tensors() []tensor.Info { return c.tensors }

// Lookup finds a tensor by its path.
func (c *Checkpoint) Lookup(path string) (tensor.Info, bool) {
	return c.tensors.Lookup(path)
}

// Bytes gives a tensor's logical bytes: dense, row-major, little-endian, exactly
// Info.Bytes long, whatever its stride, byte order or compression in the file.
// For a plainly stored tensor this is a section of the file.
func (c *Checkpoint) Bytes(path string) (io.ReaderAt, error) {
	i, ok := c.tensors.Find(path)
	if !ok {
		return nil, fmt.Errorf("%s: no tensor %q", c.Path(), path)
	}
	return c.at(c.where[i])
}

// prover is a reader whose tensors may show a part of what a checksum is of, or show
// it turned: then reading a tensor from front to back is no proof that it is sound.
type prover interface {
	Prove(ctx context.Context, i int) error
}

// Prove fails when the bytes of a tensor are damaged in a way that reading them from
// front to back does not show: it reads what nobody has read of what their checksum is
// of. Hash does so itself.
func (c *Checkpoint) Prove(ctx context.Context, path string) error {
	i, ok := c.tensors.Find(path)
	if !ok {
		return fmt.Errorf("%s: no tensor %q", c.Path(), path)
	}
	return c.prove(ctx, c.where[i], &c.tensors[i])
}

func (c *Checkpoint) prove(ctx context.Context, l location, t *tensor.Info) error {
	p, ok := c.open[l.file].reader.(prover)
	if !ok {
		return nil
	}
	if err := p.Prove(ctx, int(l.index)); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("%s: tensor %q: %w", t.File, t.Path, err)
	}
	return nil
}

func (c *Checkpoint) at(l location) (io.ReaderAt, error) {
	return c.open[l.file].reader.Bytes(int(l.index))
}

// note adds a finding.
func (c *Checkpoint) note(rule, file, path, format string, args ...any) {
	c.findings = append(c.findings, finding(rule, file, path, format, args...))
}

func finding(rule, file, path, format string, args ...any) tensor.Finding {
	return tensor.Finding{Rule: rule, File: file, Tensor: path, Message: fmt.Sprintf(format, args...)}
}
