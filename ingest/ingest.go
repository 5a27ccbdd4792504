// Package ingest reads checkpoints: it finds every tensor of a file or folder,
// says where its bytes lie, and hashes them, without loading or executing
// anything.
//
// Most users need Open, Checkpoint.Tensors, Checkpoint.Bytes and Checkpoint.Hash.
//
// Rules that bite: the format is sniffed from content, never from the name;
// nothing read from a file is trusted, so sizes are checked before they are used
// and names never become paths except through os.Root; a disagreement between
// index, shards and disk is a Finding, an unreadable file an error.
package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync"

	"wreg/ingest/gguf"
	"wreg/registry/pyjson"
	"wreg/registry/tensor"
)

// Options of Open. The zero value works.
type Options struct {
	// Jobs is the number of files whose headers are read at once; 0 is one a core.
	Jobs int
}

// Checkpoint is an opened checkpoint: headers read, no tensor data loaded. It
// holds its files open until Close. Methods may be called concurrently.
type Checkpoint struct {
	root     string
	single   string // the file that was opened, "" for a folder
	config   []byte
	doc      *pyjson.Object // config.json, nil when there is none or it cannot be read
	files    []tensor.File
	tensors  []tensor.Info // sorted by path
	findings []tensor.Finding

	open  []*file
	where []location // of tensors[i]
	rival []rival
	draft *draft

	settled sync.Mutex // guards findings once Open is done
}

// location says which tensor of which open file a tensor is.
type location struct{ file, index uint32 }

// rival is a second tensor under a path of tensors, which was not chosen.
type rival struct {
	path string
	at   location
}

// Open reads the headers of the checkpoint at path: a file and the config.json
// beside it, or a folder with shards, index and config.json. The path of an index.json opens exactly what that
// index names, and fails where a folder would report a finding. Errors name file,
// tensor, offset and numbers. It ends with the error of ctx soon after that is done.
func Open(ctx context.Context, path string, o Options) (*Checkpoint, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(abs)
	if err != nil {
		return nil, err
	}
	c := &Checkpoint{root: abs}
	switch {
	case info.IsDir():
		err = c.openFolder(ctx, o)
	case strings.HasSuffix(abs, indexSuffix):
		c.root, c.single = filepath.Dir(abs), filepath.Base(abs)
		err = c.openIndex(ctx, o)
	default:
		c.root, c.single = filepath.Dir(abs), filepath.Base(abs)
		err = c.openSingle(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// openSingle reads one file. Whoever names it may name a link to it.
func (c *Checkpoint) openSingle(ctx context.Context) error {
	real, err := filepath.EvalSymlinks(c.Path())
	if err != nil {
		return err
	}
	d, err := OpenFolder(filepath.Dir(real))
	if err != nil {
		return err
	}
	defer d.Close()
	f, err := d.open(filepath.Base(real))
	if err != nil {
		return err
	}
	f.info.Name = c.single
	c.open = []*file{f}
	if err := f.read(ctx); err != nil {
		return err
	}
	if err := new(holdings).add(f); err != nil {
		return err
	}
	beside, err := OpenFolder(c.root) // of the name, not of the file a link leads to
	if err != nil {
		return err
	}
	defer beside.Close()
	if err := c.readConfigBeside(ctx, beside); err != nil {
		return err
	}
	if err := c.adopt(ctx, nil); err != nil {
		return err
	}
	c.notePart(f)
	return c.sealed()
}

// notePart reports that the one file opened is a part of a checkpoint.
func (c *Checkpoint) notePart(f *file) {
	part, of := "", ""
	if m := numbered.FindStringSubmatch(c.single); m != nil {
		part, of = strings.TrimLeft(m[2], "0"), strings.TrimLeft(m[3], "0")
	} else if g, ok := f.reader.(*gguf.File); ok {
		if no, count := g.Split(); count > 1 {
			part, of = strconv.Itoa(no+1), strconv.Itoa(count)
		}
	}
	if of != "" && of != "1" {
		c.note("part-of-set", c.single, "", "%s: is part %s of %s; name its folder to read them all", c.single, part, of)
	}
}

// Close releases the files.
func (c *Checkpoint) Close() (err error) {
	for _, f := range c.open {
		err = errors.Join(err, f.disk.Close())
	}
	return err
}

// Root is the absolute path of the folder (or of the file's folder) that
// Info.File and File.Name are relative to.
func (c *Checkpoint) Root() string { return c.root }

// Path is what to Open again: Root, or the single file.
func (c *Checkpoint) Path() string { return filepath.Join(c.root, c.single) }

// Config is config.json as it is on disk, nil when there is none.
func (c *Checkpoint) Config() []byte { return c.config }

// Files are the files that hold weights, index and config, sorted by name.
func (c *Checkpoint) Files() []tensor.File { return c.files }

// Findings are the disagreements met while opening, in a stable order. After Hash
// they say of a tensor found twice whether its bytes are equal.
func (c *Checkpoint) Findings() []tensor.Finding {
	c.settled.Lock()
	defer c.settled.Unlock()
	return c.findings
}

// Tensors lists every tensor, sorted by path; hashes and statistics are absent.
// The caller must not modify the slice.
func (c *Checkpoint) Tensors() []tensor.Info { return c.tensors }

// Lookup finds a tensor by its path.
func (c *Checkpoint) Lookup(path string) (tensor.Info, bool) {
	if i := c.find(path); i >= 0 {
		return c.tensors[i], true
	}
	return tensor.Info{}, false
}

// Bytes gives a tensor's logical bytes: dense, row-major, little-endian, exactly
// Info.Bytes long, whatever its stride, byte order or compression in the file.
// For a plainly stored tensor this is a section of the file.
func (c *Checkpoint) Bytes(path string) (io.ReaderAt, error) {
	i := c.find(path)
	if i < 0 {
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
	i := c.find(path)
	if i < 0 {
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

// find is the index of path in tensors, -1 when it is absent.
func (c *Checkpoint) find(path string) int {
	i := sort.Search(len(c.tensors), func(i int) bool { return c.tensors[i].Path >= path })
	if i < len(c.tensors) && c.tensors[i].Path == path {
		return i
	}
	return -1
}
