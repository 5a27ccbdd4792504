package torch

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"wreg/ingest/interrupt"
	"wreg/ingest/torch/globals"
	"wreg/ingest/torch/pickle"
	"wreg/ingest/torch/strided"
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
	views    []*strided.View
	tensors  []tensor.Info
	findings []tensor.Finding
	inert    globals.Seen
	limit    int64 // what a file of this size may take
	memory   int64 // left of it
	shared   zipfile.Shared
	arrays   int64       // bytes of numpy's arrays, which stay in memory
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

func newFile(ctx context.Context, r io.ReaderAt, size int64, name string) *File {
	f := &File{name: name, r: r, size: size, inert: globals.Seen{}, records: map[string]*zipfile.Record{},
		steps: interrupt.Steps{Context: ctx}}
	f.limit = memoryOf(size)
	f.memory = f.limit
	return f
}

// foundMemory is what a finding takes, besides its text.
const foundMemory = 128

// Tensors lists every tensor in the order of its pickle.
func (f *File) Tensors() []tensor.Info { return f.tensors }

// Findings are what a reader should know about the file, besides [File.Inert].
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
	result, err := pickle.Load(data, pickle.Options{Context: f.steps.Context, Budget: f.memory, Class: f.inert.ClassOf, Persistent: persistent})
	if err != nil {
		return nil, err
	}
	return result, f.spend(result.Bytes)
}

// Bytes gives tensor i's logical bytes: dense, row-major, little-endian.
func (f *File) Bytes(i int) (io.ReaderAt, error) {
	v := f.views[i]
	if v.Empty() {
		return bytes.NewReader(nil), nil
	}
	rec := f.records[v.Storage.Record]
	var r io.ReaderAt
	switch {
	case v.Storage.Data != nil:
		if r = bytes.NewReader(v.Storage.Data); !v.Dense() {
			r = strided.Gather(v, r, 0, &f.shared.Again)
		}
	case v.Shows(rec):
		r = rec.Open(f.r) // as it is: it checks the CRC at its end
	case v.Dense():
		r = io.NewSectionReader(f.shared.Open(rec, f.r), v.Storage.Base+v.Offset*v.Item(), v.Size())
	case rec.Deflated:
		r = strided.Gather(v, f.shared.Open(rec, f.r), v.Storage.Base, &f.shared.Again)
	default: // back and forth: Prove reads it in order
		r = strided.Gather(v, io.NewSectionReader(f.r, rec.Offset, rec.Stored), v.Storage.Base, &f.shared.Again)
	}
	swap := f.swapped(v)
	if swap || v.Conj || v.Neg {
		r = strided.Turn(r, v, swap)
	}
	return r, nil
}

// Prove fails when the record of tensor i is damaged in a place that reading the
// tensor from front to back does not come past in order: it may show a part of the
// record, or show it turned. What nobody has read of the record is read.
func (f *File) Prove(ctx context.Context, i int) error {
	v := f.views[i]
	if v.Empty() || v.Storage.Data != nil || v.Shows(f.records[v.Storage.Record]) {
		return nil
	}
	return f.shared.Prove(ctx, f.records[v.Storage.Record], f.r)
}

// Inert counts the objects of each class that is not known.
func (f *File) Inert() map[string]int {
	counts := make(map[string]int, len(f.inert))
	for class, n := range f.inert {
		counts[class] = *n
	}
	return counts
}

// Twin is the first tensor that has the same bytes as tensor i by being the same view.
func (f *File) Twin(i int) int {
	if first, ok := f.twins[i]; ok {
		return first
	}
	return i
}

// Budget is what reading the tensors takes for as long as the file is open.
func (f *File) Budget() zipfile.Budget { return f.shared.Budget }

// HeaderBytes is what stays in memory of the file: paths, and numpy's arrays.
func (f *File) HeaderBytes() int64 {
	n := f.arrays
	for i := range f.tensors {
		n += int64(len(f.tensors[i].Path))
	}
	return n
}

// Within makes a budget of several files of what this one reads more than once.
func (f *File) Within(all *zipfile.Again) { f.shared.Again.Within(all) }

// swapped says that v's numbers are stored in the other byte order. torch swaps
// typed storages only; numpy's arrays say it themselves.
func (f *File) swapped(v *strided.View) bool {
	big := f.big
	if v.Storage.Data != nil {
		big = v.Storage.Big
	}
	return big && v.Storage.DType != tensor.Invalid && strided.Component(v.DType) > 1
}
