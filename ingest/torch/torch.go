// Package torch reads PyTorch checkpoints without Python and without running
// anything: zip archives (torch 1.6 and later), the stream of pickles before
// them, the tar of torch 0.1, and the folders of torch.distributed.checkpoint.
//
// Most users need Open, File.Tensors and File.Bytes; OpenDistributed for a folder.
//
// Rules that bite: classes are inert, and a pickle that names one of Python's
// standard library beyond plain containers is refused; every storage, offset and
// stride is checked against its record; Offset is -1 for a tensor whose bytes do
// not lie plainly in the file; what a pickle makes is bounded.
//
// A tensor's path is its keys joined by dots: {"state_dict": {"conv.weight": t}}
// gives state_dict.conv.weight. Keys that are no text are written as Python's str
// writes them, a surrogate as \udXXX. Where two tensors would have one path, or a
// path would begin with a bracket, it is written with brackets instead,
// ["a.b"]["c"] and ["a"]["b.c"], and a finding says so: nothing is lost, and which
// is which can be read back.
package torch

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"

	"wreg/ingest/interrupt"
	"wreg/ingest/torch/pickle"
	"wreg/ingest/zipfile"
	"wreg/registry/tensor"
)

// File is an opened checkpoint: directory and pickles read, no tensor data.
type File struct {
	name     string
	r        io.ReaderAt
	size     int64
	big      bool // byte order of typed storages
	records  map[string]*zipfile.Record
	views    []*view
	tensors  []tensor.Info
	findings []tensor.Finding
	inert    map[string]bool
	limit    int64 // what a file of this size may take
	memory   int64 // left of it
	shared   zipfile.Shared
	pieces   zipfile.Pieces
	twins    map[int]int // the first tensor that is the same view as another

	steps interrupt.Steps // of opening it
}

// What a file may take, in bytes: a zip's directory, pickles, the values they make,
// the list of tensors. A state dict of 200,000 tensors needs five times its own size,
// 190 MiB. How large a file is says little: it may be one hole.
const (
	memoryFree  = 48 << 20
	memoryTimes = 6
	maxMemory   = 320 << 20
)

func memoryOf(size int64) int64 { return min(memoryFree+memoryTimes*min(size, maxMemory), maxMemory) }

// Sniff reports whether head begins something for Open: a zip file, a pickle, or
// a tar.
func Sniff(head []byte) bool {
	return bytes.HasPrefix(head, []byte("PK\x03\x04")) || sniffPickle(head) || sniffTar(head)
}

// Open reads a checkpoint's directory and pickles. Errors name file, record or
// tensor, and offset.
func Open(ctx context.Context, r io.ReaderAt, size int64, name string) (*File, error) {
	return openWithin(ctx, r, size, name, memoryOf(size))
}

// openWithin is Open, which takes no more memory than that.
func openWithin(ctx context.Context, r io.ReaderAt, size int64, name string, memory int64) (*File, error) {
	f := newFile(ctx, interrupt.Reader(ctx, r), size, name)
	f.limit, f.memory = memory, memory
	head := make([]byte, min(size, tarHeader))
	if err := tensor.ReadFull(f.r, head, 0); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	open := f.openZip
	switch {
	case sniffTar(head):
		open = f.openTar
	case len(head) > 0 && !bytes.HasPrefix(head, []byte("PK")):
		open = f.openStream
	}
	if err := open(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	for _, class := range slices.Sorted(maps.Keys(f.inert)) {
		f.find("inert-object", "", fmt.Sprintf("holds %s: it stays inert; tensors inside are listed by their attributes", class))
	}
	if err := f.settle(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	f.r, f.steps = r, interrupt.Steps{} // what is read from here on has a context of its own
	return f, nil
}

func newFile(ctx context.Context, r io.ReaderAt, size int64, name string) *File {
	f := &File{name: name, r: r, size: size, inert: map[string]bool{}, records: map[string]*zipfile.Record{},
		steps: interrupt.Steps{Context: ctx}}
	f.limit = memoryOf(size)
	f.memory = f.limit
	return f
}

// foundMemory is what a finding takes, besides its text.
const foundMemory = 128

// Tensors lists every tensor in the order of its pickle.
func (f *File) Tensors() []tensor.Info { return f.tensors }

// Findings are what a reader should know about the file.
func (f *File) Findings() []tensor.Finding { return f.findings }

func (f *File) find(rule, path, message string) {
	f.memory -= int64(foundMemory + len(path) + len(message)) // the next spend sees it
	f.findings = append(f.findings, tensor.Finding{Rule: rule, File: f.name, Tensor: path, Message: f.name + ": " + message})
}

// spend counts memory before it is taken.
func (f *File) spend(n int64) error {
	if f.memory -= n; f.memory < 0 {
		return fmt.Errorf("it needs more memory than the %d bytes that a file of %d bytes may take", f.limit, f.size)
	}
	return nil
}

// load reads the pickle at the start of data.
func (f *File) load(data []byte, persistent func(any) (any, error)) (*pickle.Result, error) {
	result, err := pickle.Load(data, pickle.Options{Context: f.steps.Context, Budget: f.memory, Class: f.class, Persistent: persistent})
	if err != nil {
		return nil, err
	}
	return result, f.spend(result.Bytes)
}

// Bytes gives tensor i's logical bytes: dense, row-major, little-endian.
func (f *File) Bytes(i int) (io.ReaderAt, error) {
	v := f.views[i]
	if v.empty() {
		return bytes.NewReader(nil), nil
	}
	rec := f.records[v.st.record]
	var r io.ReaderAt
	switch {
	case v.shows(rec):
		r = rec.Open(f.r) // as it is: it checks the CRC at its end
	case v.dense():
		r = io.NewSectionReader(f.shared.Open(rec, f.r), v.st.base+v.offset*v.item(), v.size())
	case rec.Deflated:
		r = &gatherer{v: v, r: f.shared.Open(rec, f.r), first: v.st.base}
	default: // back and forth: Prove reads it in order
		r = &gatherer{v: v, r: io.NewSectionReader(f.r, rec.Offset, rec.Stored), first: v.st.base}
	}
	swap := f.swapped(v)
	if swap || v.conj || v.neg {
		r = &logical{r: r, v: v, swap: swap}
	}
	return r, nil
}

// Prove fails when the record of tensor i is damaged in a place that reading the
// tensor from front to back does not come past in order: it may show a part of the
// record, or show it turned. What nobody has read of the record is read.
func (f *File) Prove(ctx context.Context, i int) error {
	v := f.views[i]
	if v.empty() || v.shows(f.records[v.st.record]) {
		return nil
	}
	return f.shared.Prove(ctx, f.records[v.st.record], f.r)
}

// Twin is the first tensor that has the same bytes as tensor i by being the same view.
func (f *File) Twin(i int) int {
	if first, ok := f.twins[i]; ok {
		return first
	}
	return i
}

// Held is how much memory the tensors' bytes take for as long as the file is open.
func (f *File) Held() int64 { return f.shared.Held() }

// Pieces is how many reads take the tensors that do not lie in order.
func (f *File) Pieces() int64 { return int64(f.pieces) }

// swapped says that v's numbers are stored in the other byte order. torch swaps
// typed storages only.
func (f *File) swapped(v *view) bool {
	return f.big && v.st.dtype != tensor.Invalid && component(v.dtype) > 1
}
