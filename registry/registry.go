// Package registry stores models, every tensor of every revision, in one bbolt
// file.
//
// Most users need Open, Registry.Put, Registry.View and, inside a view,
// Snapshot.Find, Snapshot.Blocks and Snapshot.Lookup.
//
// Rules that bite: a revision never changes once visible; readers share the file
// but a writer is alone, so a Registry opened for writing should be closed soon;
// what a Snapshot returns must not be used after its View returns.
package registry

import (
	"context"
	"iter"
	"time"

	"wreg/registry/tensor"
)

// Options of Open. The zero value opens for reading and writing.
type Options struct {
	ReadOnly bool          // share the file with other readers; it must exist
	Timeout  time.Duration // how long to wait for the lock; 0 is 5 s
}

// Registry is an open registry file.
type Registry struct{}

// Open opens the registry at path, creating it (temp file, then rename) when it
// does not exist and o.ReadOnly is false. The parent folder is created too.
func Open(path string, o Options) (*Registry, error) { panic("contract") }

// Close releases the file and its lock.
func (r *Registry) Close() error { panic("contract") }

// Revision describes one ingested checkpoint.
type Revision struct {
	Model    string // "hunyuan"
	Number   int    // 1, 2, …; Put assigns it
	Root     string // absolute path ingest.Open was given (folder or file)
	Config   []byte // config.json as found, nil when there was none
	Files    []tensor.File
	Findings []tensor.Finding
	Created  time.Time
	Tool     string // "wreg 0.1.0"
	Hashed   bool   // tensors carry Hash and Sum
	Tensors  int    // counted by Put
	Bytes    int64  // summed by Put
	Source   string // "hunyuan@1" when exported from it, else ""
	Layout   string // "hf", "mlx", … when known
	Receipt  []byte // wreg-receipt.json of an export, nil otherwise
}

// Ref is "hunyuan@2".
func (v *Revision) Ref() string { panic("contract") }

// Put stores tensors as the next revision of v.Model in bounded transactions; the
// revision becomes visible in the last one. On error nothing of it is visible,
// and the remains are removed by the next Put or by GC. Tensors may come in any
// order; two with one path are an error.
func (r *Registry) Put(ctx context.Context, v Revision, tensors []tensor.Info) (*Revision, error) {
	panic("contract")
}

// Remove deletes a revision ("name@2") or, for a bare name, every revision.
func (r *Registry) Remove(ref string) error { panic("contract") }

// View runs fn on a consistent snapshot.
func (r *Registry) View(fn func(s *Snapshot) error) error { panic("contract") }

// Fault is something wrong in the file, as Check finds it.
type Fault struct{ Where, Message string }

// Check walks everything: bbolt's pages, keys, blocks, dangling references, the
// content index both ways. It reports every fault, not the first.
func (r *Registry) Check(ctx context.Context) ([]Fault, error) { panic("contract") }

// Snapshot is a read transaction.
type Snapshot struct{}

// Models lists the latest revision of every model, sorted by name.
func (s *Snapshot) Models() ([]*Revision, error) { panic("contract") }

// Revisions lists every revision of one model, oldest first.
func (s *Snapshot) Revisions(model string) ([]*Revision, error) { panic("contract") }

// Find resolves "name" (latest) or "name@2". An unknown name is a *NotFoundError
// that suggests the nearest.
func (s *Snapshot) Find(ref string) (*Revision, error) { panic("contract") }

// Match resolves a glob over names ("*", "hunyuan*", "a@1") to revisions, latest
// each, sorted. None is a *NotFoundError.
func (s *Snapshot) Match(glob string) ([]*Revision, error) { panic("contract") }

// NotFoundError says which model is not there and what is near.
type NotFoundError struct {
	Ref     string
	Nearest []string
}

func (e *NotFoundError) Error() string { panic("contract") }

// Blocks yields a revision's blocks in template order: one block per template.
// Columns are decoded when asked for, so a query costs what it touches.
func (s *Snapshot) Blocks(v *Revision) iter.Seq2[*Block, error] { panic("contract") }

// Lookup finds one tensor by its path.
func (s *Snapshot) Lookup(v *Revision, path string) (tensor.Info, bool, error) { panic("contract") }

// Tensors yields every tensor of a revision, block by block, then in index order.
func (s *Snapshot) Tensors(v *Revision) iter.Seq2[tensor.Info, error] { panic("contract") }

// Where is one place of some content.
type Where struct {
	Model string // revision ref
	Path  string
	Slice int // -1: the whole tensor; else the slice along axis 0
}

// ByHash lists where content with this hash lies, over all revisions, slices of
// stacked tensors included.
func (s *Snapshot) ByHash(h tensor.Hash) ([]Where, error) { panic("contract") }

// Block holds the tensors of one template, in columns: each column is one
// constant or one packed array over the rows. Rows are sorted by index.
type Block struct{}

// Template is the block's template: model.layers.{layer}.mlp.gate.weight.
func (b *Block) Template() string { panic("contract") }

// Len is the number of rows.
func (b *Block) Len() int { panic("contract") }

// Index gives the numbers of placeholder k for every row; ok false when k is
// beyond the template's placeholders. A grid that is a full product of ranges is
// stored as those ranges.
func (b *Block) Index(k int) ([]int64, bool) { panic("contract") }

// Path is row i's path.
func (b *Block) Path(i int) string { panic("contract") }

// Info decodes row i whole.
func (b *Block) Info(i int) tensor.Info { panic("contract") }
