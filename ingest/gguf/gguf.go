// Package gguf reads the headers of GGUF files, versions 2 and 3: the metadata and
// where every tensor lies, whatever its quantization.
//
// Most users need [Read], [File.Tensors] and [File.Bytes].
//
// Invariants: shapes are given row-major, outermost first, the reverse of the
// file's order; a block-quantized tensor keeps its logical shape and its bytes are
// opaque; two tensors on the same bytes are refused. Nothing is allocated from a
// count before the file is known to be long enough to hold it.
package gguf

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"

	"wreg/ingest/interrupt"
	"wreg/ingest/pathsort"
	"wreg/registry/tensor"
)

// Limits of a file. The rank is ggml's; the alignment is far above any in use.
const (
	MaxRank      = 4
	MaxName      = 8192    // bytes of a tensor's name
	MaxKey       = 65_535  // bytes of a metadata key, as the format has it
	MaxAlignment = 1 << 20 // bytes

	MaxHeader  = 128 << 20 // bytes before the data: a vocabulary takes twenty million
	MaxPairs   = 1 << 16   // of metadata
	MaxTensors = tensor.MaxTensors

	defaultAlignment = 32
)

// File is a header that was read and found to hold.
type File struct {
	r         io.ReaderAt
	version   uint32
	alignment int64
	metadata  map[string]any
	tensors   []tensor.Info
	findings  []tensor.Finding
	held      int64
}

// Read reads and checks the header of the size bytes of r. name is what errors
// and Info.File call the file.
func Read(ctx context.Context, r io.ReaderAt, size int64, name string) (*File, error) {
	f := &File{r: r, alignment: defaultAlignment, metadata: map[string]any{}}
	c := &cursor{r: interrupt.Reader(ctx, r), size: size, end: min(size, MaxHeader), steps: interrupt.Steps{Context: ctx}}
	if err := f.read(c, name); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return f, nil
}

// Version is the file's version, 2 or 3.
func (f *File) Version() int { return int(f.version) }

// Metadata holds the pairs of the file: uint64, int64, float64, bool, string, or
// Array, of which the elements are not kept.
func (f *File) Metadata() map[string]any { return f.metadata }

// Tensors lists the tensors sorted by path. The caller must not modify the slice.
func (f *File) Tensors() []tensor.Info { return f.tensors }

// HeaderBytes is how much memory the header's texts keep.
func (f *File) HeaderBytes() int64 { return f.held }

// Bytes gives the bytes of tensor i of Tensors: a section of the file.
func (f *File) Bytes(i int) (io.ReaderAt, error) {
	t := &f.tensors[i]
	return io.NewSectionReader(f.r, t.Offset, t.Bytes), nil
}

// Findings are oddities that do not make the file unreadable.
func (f *File) Findings() []tensor.Finding { return f.findings }

// Split says which part of a split checkpoint the file is: part no (from 0) of
// count; count is 0 when it is not a part.
func (f *File) Split() (no, count int) {
	n, _ := f.metadata["split.no"].(uint64)
	of, _ := f.metadata["split.count"].(uint64)
	if of > 1<<16 || n >= of {
		return 0, 0
	}
	return int(n), int(of)
}

// Beside names what a file is that goes with a model and is none: the projector of a model
// that sees (mmproj, which older ones call clip), an adapter, an importance matrix.
func (f *File) Beside() string {
	kind, _ := f.metadata["general.type"].(string)
	switch a := f.metadata["general.architecture"]; {
	case kind == "mmproj", a == "clip":
		return "a projector of images or sound (mmproj)"
	case kind == "adapter":
		return "an adapter"
	case kind == "imatrix":
		return "an importance matrix"
	}
	return ""
}

// SplitTensors is how many tensors all parts of a split checkpoint hold, 0 when the file
// does not say.
func (f *File) SplitTensors() int64 {
	switch n := f.metadata["split.tensors.count"].(type) {
	case int64:
		return n
	case uint64:
		return int64(min(n, MaxTensors))
	}
	return 0
}

func (f *File) note(rule, file, path, format string, args ...any) {
	f.findings = append(f.findings, tensor.Finding{Rule: rule, File: file, Tensor: path, Message: file + ": " + fmt.Sprintf(format, args...)})
}

// minFile, minPair and minTensor are the bytes of the shortest file, metadata pair and
// tensor entry: they bound what the counts of a file can be.
const (
	minFile   = 4 + 4 + 8 + 8
	minPair   = 8 + 4 + 1
	minTensor = 8 + 4 + 4 + 8
)

func (f *File) read(c *cursor, name string) error {
	magic, err := c.bytes(4)
	if err != nil && c.size >= 4 {
		return err
	}
	if string(magic) != "GGUF" {
		return fmt.Errorf("offset 0: starts with %q, not GGUF", magic)
	}
	if f.version, err = c.u32(); err != nil {
		return err
	}
	switch v := f.version; {
	case v == 2 || v == 3:
	case v&0xffff == 0 && v != 0:
		return fmt.Errorf("offset 4: a big-endian file (version %#08x); convert it to little-endian first", v)
	default:
		return fmt.Errorf("offset 4: version %d; wreg reads 2 and 3", v)
	}
	tensors, err := c.count("tensors", minTensor, MaxTensors)
	if err != nil {
		return err
	}
	pairs, err := c.count("metadata pairs", minPair, MaxPairs)
	if err != nil {
		return err
	}
	for range pairs {
		if err := f.pair(c); err != nil {
			return err
		}
	}
	if err := f.align(); err != nil {
		return err
	}
	f.tensors = make([]tensor.Info, 0, tensors)
	for range tensors {
		if err := f.tensor(c, name); err != nil {
			return err
		}
	}
	f.held += c.kept
	return f.place(c, name)
}

// align takes the alignment from the metadata.
func (f *File) align() error {
	v, given := f.metadata[alignmentKey]
	if !given {
		return nil
	}
	n, ok := v.(uint64)
	if !ok || n == 0 || n&(n-1) != 0 || n > MaxAlignment {
		return fmt.Errorf("%s is %v; want a power of two up to %d, as uint32", alignmentKey, v, MaxAlignment)
	}
	f.alignment = int64(n)
	return nil
}

const alignmentKey = "general.alignment"

// tensor reads one entry; Offset counts from the start of the data until place.
func (f *File) tensor(c *cursor, file string) error {
	at := c.pos
	name, err := c.str("tensor name", MaxName)
	if err != nil {
		return err
	}
	fail := func(format string, args ...any) error {
		return fmt.Errorf("offset %d: tensor %q: %w", at, name, fmt.Errorf(format, args...))
	}
	rank, err := c.u32()
	if err != nil {
		return fail("%w", err)
	}
	if rank > MaxRank {
		return fail("%d dimensions; ggml has at most %d", rank, MaxRank)
	}
	shape := make(tensor.Shape, rank)
	for i := range shape {
		d, err := c.u64()
		if err != nil {
			return fail("%w", err)
		}
		if shape[len(shape)-1-i] = int64(d); shape[len(shape)-1-i] < 0 {
			return fail("dimension %d overflows 64 bits", d)
		}
	}
	kind, err := c.u32()
	if err != nil {
		return fail("%w", err)
	}
	dtype, ok := Type(kind)
	if !ok {
		return fail("unknown type %d", kind)
	}
	off, err := c.u64()
	if err != nil {
		return fail("%w", err)
	}
	n, err := shape.Bytes(dtype)
	if err != nil {
		return fail("%w", err)
	}
	if block, _ := dtype.Block(); block > 1 && (rank == 0 || shape[rank-1]%block != 0) {
		return fail("rows of %v do not fill blocks of %d %v", shape, block, dtype)
	}
	if off%uint64(f.alignment) != 0 {
		return fail("offset %d is not a multiple of the alignment %d", off, f.alignment)
	}
	if off > uint64(c.size) {
		return fail("offset %d lies past the file's %d bytes", off, c.size)
	}
	f.held += int64(len(name))
	f.tensors = append(f.tensors, tensor.Info{Path: name, DType: dtype, Shape: shape, File: file, Offset: int64(off), Bytes: n, Format: "gguf"})
	return nil
}

// another is where another file begins after the last tensor, 0 when none does.
func (f *File) another(c *cursor, end int64) int64 {
	for _, at := range []int64{end, (end + f.alignment - 1) / f.alignment * f.alignment} {
		magic := make([]byte, 4)
		if at <= c.size-minFile && tensor.ReadFull(c.r, magic, at) == nil && string(magic) == "GGUF" {
			return at
		}
	}
	return 0
}

// place finds where the data begin and holds the tensors against the file: none
// may end past it, share bytes with another or have its name.
func (f *File) place(c *cursor, file string) error {
	start := (c.pos + f.alignment - 1) / f.alignment * f.alignment
	order := make([]*tensor.Info, len(f.tensors))
	for i := range f.tensors {
		if err := c.steps.Next(); err != nil {
			return err
		}
		t := &f.tensors[i]
		if t.Offset > c.size-start || t.Bytes > c.size-start-t.Offset {
			return fmt.Errorf("tensor %q: %d bytes at offset %d of the data, which starts at %d, end past the file's %d; the file is truncated", t.Path, t.Bytes, t.Offset, start, c.size)
		}
		t.Offset += start
		order[i] = t
	}
	slices.SortFunc(order, func(a, b *tensor.Info) int {
		return cmp.Or(cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.Bytes, b.Bytes))
	})
	end, gaps := min(start, c.size), int64(0)
	for i, t := range order {
		if t.Offset < end && t.Bytes > 0 {
			return fmt.Errorf("tensor %q begins at offset %d, inside %q which ends at %d", t.Path, t.Offset, order[i-1].Path, end)
		}
		if t.Offset-end >= f.alignment {
			gaps += t.Offset - end
		}
		end = max(end, t.Offset+t.Bytes)
	}
	switch next := f.another(c, end); {
	case next > 0:
		f.note("another-file", file, "", "another GGUF begins at offset %d, where this one ends: joined with cat; only the first is read; gguf-split --merge of llama.cpp joins the parts of one, and the first %d bytes are one file, the rest another", next, next)
	case c.size-end >= f.alignment:
		gaps += c.size - end
	}
	if gaps > 0 {
		f.note("unused-bytes", file, "", "%d bytes belong to no tensor", gaps)
	}
	pathsort.Sort(f.tensors, func(t *tensor.Info) string { return t.Path })
	for i := 1; i < len(f.tensors); i++ {
		if p := f.tensors[i].Path; p == f.tensors[i-1].Path {
			return fmt.Errorf("tensor %q: given twice, at offsets %d and %d", p, f.tensors[i-1].Offset, f.tensors[i].Offset)
		}
	}
	if len(f.tensors) == 0 {
		f.note("no-tensors", file, "", "holds no tensors")
	}
	return nil
}
