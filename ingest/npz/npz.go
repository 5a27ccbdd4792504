// Package npz reads numpy's array files: NPY, and NPZ, which is a zip of them.
//
// Most users need [Read], [ReadNPY], [File.Tensors] and [File.Bytes].
//
// Invariants: bytes come out row-major and little-endian whatever the file
// has (Fortran order, big-endian, deflated); an array of objects is a pickle and is
// refused, as are all types that are not numbers; V2 is taken for bf16, which is how
// mlx and ml_dtypes write it.
package npz

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"wreg/ingest/interrupt"
	"wreg/ingest/pathsort"
	"wreg/ingest/place"
	"wreg/ingest/torch/strided"
	"wreg/ingest/zipfile"
	"wreg/registry/tensor"
)

// Limits of a file. numpy itself reads no header over 10,000 bytes.
const (
	MaxHeader = 65_535
	MaxName   = 8192
	// maxMemory bounds what the list of arrays takes: half a million of usual names.
	maxMemory   = 256 << 20
	arrayMemory = 384 // of an array, besides its names and shape
	foundMemory = 128 // of a finding, besides its text
)

// File is an array file whose headers were read.
type File struct {
	arrays   []array // in the order of tensors
	tensors  []tensor.Info
	findings []tensor.Finding
	shared   zipfile.Shared
	memory   int64 // taken
	others   map[typeError]*skipped
}

// array says where the elements of one tensor are.
type array struct {
	header
	r      io.ReaderAt     // of the file
	member *zipfile.Record // nil for a file that is one array
	skip   int64           // bytes before the elements
	loose  bool            // its member is not read from front to back
}

// Sniff reports whether head begins a zip whose first member is an array.
func Sniff(head []byte) bool {
	const fixed = 30 // of a local file header
	if len(head) < fixed || !bytes.HasPrefix(head, []byte("PK\x03\x04")) {
		return false
	}
	n := int(binary.LittleEndian.Uint16(head[26:]))
	return len(head) >= fixed+n && bytes.HasSuffix(head[fixed:fixed+n], []byte(".npy"))
}

// SniffNPY reports whether head begins an array.
func SniffNPY(head []byte) bool { return bytes.HasPrefix(head, []byte(magic)) }

// ReadNPY reads a file that is one array. The tensor is called after the file.
func ReadNPY(ctx context.Context, r io.ReaderAt, size int64, name string) (*File, error) {
	f := &File{}
	if err := f.add(&array{r: r}, interrupt.Reader(ctx, r), size, strings.TrimSuffix(path.Base(name), ".npy"), name); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return f, nil
}

// Read reads a zip of arrays. A tensor is called after its member, without .npy.
func Read(ctx context.Context, r io.ReaderAt, size int64, name string) (*File, error) {
	members, err := zipfile.Read(ctx, r, size, maxMemory)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if far, ok := r.(place.Batched); ok {
		if err := far.ReadAhead(ctx, beginnings(members)); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	f := &File{memory: zipfile.Memory(members)}
	for i := range members {
		if err := f.member(ctx, r, &members[i], name); err != nil {
			return nil, fmt.Errorf("%s: member %q: %w", name, members[i].Name, err)
		}
		if f.memory > maxMemory {
			return nil, fmt.Errorf("%s: member %q: with it, the list of arrays takes more than %d bytes of memory", name, members[i].Name, maxMemory)
		}
	}
	f.sort()
	f.noteOthers(name)
	if len(f.tensors) == 0 {
		f.note("no-tensors", name, "", "holds no arrays")
	}
	return f, nil
}

// What is read of a member for the header of its array: few are longer, and one that is
// deflated is read as much at a time.
const (
	beginStored   = 128
	beginDeflated = 4096
)

// beginnings are where the headers of arrays lie.
func beginnings(members []zipfile.Record) (ranges [][2]int64) {
	for i := range members {
		if m := &members[i]; strings.HasSuffix(m.Name, ".npy") {
			n := int64(beginStored)
			if m.Deflated {
				n = beginDeflated
			}
			ranges = append(ranges, [2]int64{m.Offset, min(n, m.Stored)})
		}
	}
	return ranges
}

func (f *File) member(ctx context.Context, r io.ReaderAt, m *zipfile.Record, file string) error {
	if len(m.Name) > MaxName {
		return fmt.Errorf("name of %d bytes exceeds %d", len(m.Name), MaxName)
	}
	path, isArray := strings.CutSuffix(m.Name, ".npy")
	if !isArray {
		f.note("not-an-array", file, "", "member %q is not an array; it was skipped", m.Name)
		return nil
	}
	err := f.add(&array{r: r, member: m}, m.Open(interrupt.Reader(ctx, r)), m.Size, path, file)
	var other *typeError
	if !errors.As(err, &other) {
		return err
	}
	if f.others == nil {
		f.others = map[typeError]*skipped{}
	}
	s := f.others[*other]
	if s == nil {
		s = &skipped{first: m.Name}
		f.others[*other] = s
		f.memory += foundMemory + int64(len(m.Name)+len(other.descr))
	}
	s.n++
	return nil
}

// skipped are the members of one type that are not tensors.
type skipped struct {
	first string
	n     int
}

// noteOthers reports the members that are not tensors, once for each type.
func (f *File) noteOthers(file string) {
	for _, e := range slices.SortedFunc(maps.Keys(f.others), func(a, b typeError) int { return strings.Compare(f.others[a].first, f.others[b].first) }) {
		s := f.others[e]
		members := fmt.Sprintf("member %q was", s.first)
		if s.n > 1 {
			members = fmt.Sprintf("%d members (%q, …) were", s.n, s.first)
		}
		f.note(e.rule(), file, "", "%s not read, the others were: %v", members, &e)
	}
}

// add reads the header of an array of size bytes in all.
func (f *File) add(a *array, r io.ReaderAt, size int64, path, file string) (err error) {
	if a.header, a.skip, err = readHeader(r, size); err != nil {
		return err
	}
	n, err := a.shape.Bytes(a.dtype)
	if err != nil {
		return err
	}
	switch rest := size - a.skip - n; {
	case rest < 0:
		return fmt.Errorf("%v %v takes %d bytes and %d follow the header; the file is truncated", a.dtype, a.shape, n, size-a.skip)
	case rest > 0:
		what := ""
		if begin := make([]byte, len(magic)); tensor.ReadFull(r, begin, a.skip+n) == nil && SniffNPY(begin) {
			what = "; another array begins there, as when cat joins two files; only the first is read"
		}
		f.note("trailing-bytes", file, path, "array %q: %d bytes after its elements are not part of it%s", path, rest, what)
	}
	if a.member != nil && (a.turned() || size > a.skip+n) {
		a.loose = true
		if err := f.shared.Hold(a.member); err != nil {
			return err
		}
	}
	if a.turned() {
		if err := f.shared.Budget.Gather(a.view(path).Pieces()); err != nil {
			return err
		}
	}
	if a.tight {
		f.note("npy-tight-shape", file, path, "array %q: no space between the dimensions of %v: mlx 0.32 reads only the first", path, a.shape)
	}
	f.memory += arrayMemory + 2*int64(len(path)) + 8*int64(len(a.shape))
	f.arrays = append(f.arrays, *a)
	f.tensors = append(f.tensors, tensor.Info{Path: path, DType: a.dtype, Shape: a.shape, File: file, Offset: a.offset(), Bytes: n, Format: "npy"})
	return nil
}

// offset is where the elements lie in the file when they lie there plainly, -1
// else.
func (a *array) offset() int64 {
	switch {
	case a.big || a.turned() || a.member != nil && a.member.Deflated:
		return -1
	case a.member != nil:
		return a.member.Offset + a.skip
	}
	return a.skip
}

// Tensors lists the tensors sorted by path. The caller must not modify the slice.
func (f *File) Tensors() []tensor.Info { return f.tensors }

// Findings are oddities that do not make the file unreadable.
func (f *File) Findings() []tensor.Finding { return f.findings }

// Bytes gives the logical bytes of tensor i of Tensors. Reading them all from front
// to back checks the CRC of its member; Prove does where that is not all of it.
func (f *File) Bytes(i int) (io.ReaderAt, error) {
	a, n := &f.arrays[i], f.tensors[i].Bytes
	r := a.r
	switch {
	case a.loose:
		r = f.shared.Open(a.member, a.r)
	case a.member != nil:
		r = a.member.Open(a.r)
		if err := tensor.ReadFull(r, make([]byte, a.skip), 0); err != nil { // the CRC begins there
			return nil, err
		}
	}
	elements := io.NewSectionReader(r, a.skip, n)
	if !a.big && !a.turned() {
		return elements, nil
	}
	r = elements
	if a.big {
		r = &swapped{r, a.word(), n}
	}
	if a.turned() {
		r = strided.Gather(a.view(f.tensors[i].Path), r, 0, &f.shared.Again)
	}
	return r, nil
}

// Prove fails when the member of tensor i is damaged in a place that reading the
// tensor does not come past in order. What nobody has read of it is read.
func (f *File) Prove(ctx context.Context, i int) error {
	if a := &f.arrays[i]; a.loose {
		return f.shared.Prove(ctx, a.member, a.r)
	}
	return nil
}

// Budget is what reading the tensors takes for as long as the file is open.
func (f *File) Budget() zipfile.Budget { return f.shared.Budget }

// Within makes a budget of several files of what this one reads more than once.
func (f *File) Within(all *zipfile.Again) { f.shared.Again.Within(all) }

func (f *File) note(rule, file, path, format string, args ...any) {
	message := file + ": " + fmt.Sprintf(format, args...)
	f.memory += foundMemory + int64(len(message))
	f.findings = append(f.findings, tensor.Finding{Rule: rule, File: file, Tensor: path, Message: message})
}

func (f *File) sort() {
	order := pathsort.Order(len(f.tensors), func(i int) string { return f.tensors[i].Path })
	if order == nil {
		return
	}
	tensors, arrays := make([]tensor.Info, len(order)), make([]array, len(order))
	for i, from := range order {
		tensors[i], arrays[i] = f.tensors[from], f.arrays[from]
	}
	f.tensors, f.arrays = tensors, arrays
}
