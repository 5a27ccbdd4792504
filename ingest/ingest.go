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
	"io"

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
	single   bool
	config   []byte
	files    []tensor.File
	tensors  []tensor.Info // sorted by path
	findings []tensor.Finding
}

// Open reads the headers of the checkpoint at path: a file, or a folder with
// shards, index and config.json. Errors name file, tensor, offset and numbers.
func Open(path string, o Options) (*Checkpoint, error) { panic("contract") }

// Close releases the files.
func (c *Checkpoint) Close() error { panic("contract") }

// Root is the absolute path of the folder (or of the file's folder) that
// Info.File and File.Name are relative to.
func (c *Checkpoint) Root() string { return c.root }

// Path is what to Open again: Root, or the single file.
func (c *Checkpoint) Path() string { panic("contract") }

// Config is config.json as it is on disk, nil when there is none.
func (c *Checkpoint) Config() []byte { return c.config }

// Files are the files that hold weights, index and config, sorted by name.
func (c *Checkpoint) Files() []tensor.File { return c.files }

// Findings are the disagreements met while opening, in a stable order.
func (c *Checkpoint) Findings() []tensor.Finding { return c.findings }

// Tensors lists every tensor, sorted by path; hashes and statistics are absent.
// The caller must not modify the slice.
func (c *Checkpoint) Tensors() []tensor.Info { return c.tensors }

// Lookup finds a tensor by its path.
func (c *Checkpoint) Lookup(path string) (tensor.Info, bool) { panic("contract") }

// Bytes gives a tensor's logical bytes: dense, row-major, little-endian, exactly
// Info.Bytes long, whatever its stride, byte order or compression in the file.
// For a plainly stored tensor this is a section of the file.
func (c *Checkpoint) Bytes(path string) (io.ReaderAt, error) { panic("contract") }

// HashOptions of Hash. The zero value takes hashes and statistics on every core.
type HashOptions struct {
	Jobs     int               // workers; 0 is one a core
	NoSHA    bool              // XXH3 only: memory speed, for re-checks
	NoStats  bool              // no min, max, NaN counts
	Progress func(bytes int64) // called with bytes done since the last call, from any worker
}

// Hash reads every byte once, in fixed buffers, and returns the tensors of
// Tensors with Hash, Sum, Slices and Stats filled in. Unequal tensors of one
// large file are hashed in parallel. It fails when a file changed since Open.
func (c *Checkpoint) Hash(ctx context.Context, o HashOptions) ([]tensor.Info, error) {
	panic("contract")
}
