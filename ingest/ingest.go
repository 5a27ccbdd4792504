// Package ingest reads checkpoints: it finds every tensor of a file or folder,
// says where its bytes lie, and hashes them, without loading or executing
// anything.
//
// Most users need [Open], [Checkpoint.Tensors], [Checkpoint.Bytes] and [Checkpoint.Hash].
//
// Invariants: the format is sniffed from content, never from the name;
// nothing read from a file is trusted, so sizes are checked before they are used
// and names never become paths except through os.Root; a disagreement between
// index, shards and disk is a Finding, an unreadable file an error.
package ingest

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"wreg/ingest/files"
	"wreg/ingest/folder"
	"wreg/ingest/place"
	"wreg/ingest/shards"
	"wreg/registry/tensor"
)

// Options of Open. The zero value works.
type Options struct {
	// Jobs is the number of files whose headers are read at once; 0 is one per core.
	Jobs int
	// whole reads JSON beside the weights to its end, of which Open else sees large
	// files' beginning and end.
	whole bool
	// Progress is told how many headers were read, of how many so far, from any goroutine.
	Progress func(read, of int)
	// Naming says how the names in the files become those of tensors.
	Naming tensor.Naming
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
	c := &Checkpoint{root: abs, naming: o.Naming.Whole()}
	switch {
	case info.IsDir():
		err = c.openFolder(ctx, o)
	case shards.IsIndex(abs):
		c.root, c.single = filepath.Dir(abs), filepath.Base(abs)
		err = c.openIndex(ctx, o)
	default:
		c.root, c.single = filepath.Dir(abs), filepath.Base(abs)
		err = c.openSingle(ctx, o)
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// OpenPlace is Open for what lies elsewhere. It is closed with the checkpoint.
func OpenPlace(ctx context.Context, p place.Place, o Options) (*Checkpoint, error) {
	c := &Checkpoint{place: p, naming: o.Naming.Whole()}
	if one, ok := p.(interface{ Single() string }); ok {
		c.single = one.Single()
	}
	var err error
	switch {
	case c.single == "":
		err = c.openFolder(ctx, o)
	case shards.IsIndex(c.single):
		err = c.openIndex(ctx, o)
	default:
		err = c.openSingle(ctx, o)
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// openPlace opens what the checkpoint lies in.
func (c *Checkpoint) openPlace() (files.Files, error) {
	if c.place != nil {
		return files.Far{Place: c.place}, nil
	}
	d, err := folder.Open(c.root)
	return files.Local{Folder: d}, err
}

// openFile opens the one file that was named. On disk it may be a link to it.
func (c *Checkpoint) openFile(ctx context.Context) (*file, error) {
	if c.place != nil {
		return openIn(ctx, files.Far{Place: c.place}, c.single)
	}
	real, err := filepath.EvalSymlinks(c.Path())
	if err != nil {
		return nil, err
	}
	d, err := folder.Open(filepath.Dir(real))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return openIn(ctx, files.Local{Folder: d}, filepath.Base(real))
}

// openSingle reads one file. Whoever names it may name a link to it.
func (c *Checkpoint) openSingle(ctx context.Context, o Options) error {
	if o.Progress != nil {
		o.Progress(0, 1)
		defer o.Progress(1, 1)
	}
	f, err := c.openFile(ctx)
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
	beside, err := c.openPlace() // of the name, not of the file a link leads to
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
	c.noteParts()
	return c.sealed()
}
