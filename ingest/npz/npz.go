// Package npz reads numpy's array files: NPY, and NPZ, which is a zip of them.
//
// Most users need Read, ReadNPY, File.Tensors and File.Bytes.
//
// Rules that bite: bytes come out row-major and little-endian whatever the file
// has (Fortran order, big-endian, deflated); an array of objects is a pickle and is
// refused, as are all types that are no numbers; V2 is taken for bf16, which is how
// mlx and ml_dtypes write it.
package npz

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"path"
	"strings"

	"wreg/ingest/pathsort"
	"wreg/registry/tensor"
)

// Limits of a file. numpy itself reads no header over 10,000 bytes.
const (
	MaxHeader  = 65_535
	MaxName    = 8192
	MaxMembers = 1 << 20

	maxRatio = 1032 // of deflate: 258 bytes in two bits
)

// File is an array file whose headers were read.
type File struct {
	arrays   []array // in the order of tensors
	tensors  []tensor.Info
	findings []tensor.Finding
}

// array says where the elements of one tensor are.
type array struct {
	header
	r    io.ReaderAt // of the member's bytes; nil when it is deflated
	zip  *zip.File
	skip int64 // bytes before the elements
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
func ReadNPY(r io.ReaderAt, size int64, name string) (*File, error) {
	f := &File{}
	a := array{r: r}
	if err := f.add(&a, io.NewSectionReader(r, 0, size), size, strings.TrimSuffix(path.Base(name), ".npy"), name); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	f.tensors[0].Offset = f.offset(&a, 0)
	return f, nil
}

// Read reads a zip of arrays. A tensor is called after its member, without .npy.
func Read(r io.ReaderAt, size int64, name string) (*File, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(z.File) > MaxMembers {
		return nil, fmt.Errorf("%s: %d members exceed %d", name, len(z.File), MaxMembers)
	}
	f := &File{}
	seen := make(map[string]bool, len(z.File))
	for _, m := range z.File {
		if err := f.member(r, size, m, name, seen); err != nil {
			return nil, fmt.Errorf("%s: member %q: %w", name, m.Name, err)
		}
	}
	f.sort()
	if len(f.tensors) == 0 {
		f.note("no-tensors", name, "", "holds no arrays")
	}
	return f, nil
}

func (f *File) member(r io.ReaderAt, size int64, m *zip.File, file string, seen map[string]bool) error {
	at, err := m.DataOffset()
	switch {
	case err != nil:
		return err
	case len(m.Name) > MaxName:
		return fmt.Errorf("name of %d bytes exceeds %d", len(m.Name), MaxName)
	case seen[m.Name]:
		return fmt.Errorf("given twice")
	case m.Flags&1 != 0:
		return fmt.Errorf("it is encrypted")
	case m.CompressedSize64 > uint64(size-at):
		return fmt.Errorf("%d bytes at offset %d end past the file's %d; the file was cut", m.CompressedSize64, at, size)
	case m.Method == zip.Store && m.CompressedSize64 != m.UncompressedSize64:
		return fmt.Errorf("stored, but with %d bytes for %d", m.CompressedSize64, m.UncompressedSize64)
	case m.Method != zip.Store && m.Method != zip.Deflate:
		return fmt.Errorf("compression method %d; wreg reads stored and deflated", m.Method)
	case m.UncompressedSize64/maxRatio > m.CompressedSize64:
		return fmt.Errorf("claims %d bytes out of %d, more than deflate can pack", m.UncompressedSize64, m.CompressedSize64)
	}
	seen[m.Name] = true
	path, isArray := strings.CutSuffix(m.Name, ".npy")
	if !isArray {
		f.note("not-an-array", file, "", "member %q is no array; it was passed over", m.Name)
		return nil
	}
	a := array{zip: m}
	var head io.Reader
	if m.Method == zip.Store {
		a.r = io.NewSectionReader(r, at, int64(m.UncompressedSize64))
		head = io.NewSectionReader(a.r, 0, int64(m.UncompressedSize64))
	} else {
		o, err := m.Open()
		if err != nil {
			return err
		}
		defer o.Close()
		head = o
	}
	if err := f.add(&a, head, int64(m.UncompressedSize64), path, file); err != nil {
		return err
	}
	f.tensors[len(f.tensors)-1].Offset = f.offset(&a, at)
	return nil
}

// add reads the header of an array of size bytes in all.
func (f *File) add(a *array, r io.Reader, size int64, path, file string) (err error) {
	if a.header, a.skip, err = readHeader(r, size); err != nil {
		return err
	}
	n, err := a.shape.Bytes(a.dtype)
	if err != nil {
		return err
	}
	switch rest := size - a.skip - n; {
	case rest < 0:
		return fmt.Errorf("%v %v takes %d bytes and %d follow the header; the file was cut", a.dtype, a.shape, n, size-a.skip)
	case rest > 0:
		f.note("trailing-bytes", file, path, "array %q: %d bytes after its elements belong to none", path, rest)
	}
	if a.tight {
		f.note("npy-tight-shape", file, path, "array %q: no space between the dimensions of %v: mlx 0.32 reads the first alone", path, a.shape)
	}
	f.arrays = append(f.arrays, *a)
	f.tensors = append(f.tensors, tensor.Info{Path: path, DType: a.dtype, Shape: a.shape, File: file, Bytes: n, Format: "npy"})
	return nil
}

// offset is where the elements lie in the file when they lie there plainly, -1
// else.
func (f *File) offset(a *array, at int64) int64 {
	if a.r == nil || a.big || a.turned() {
		return -1
	}
	return at + a.skip
}

// Tensors lists the tensors sorted by path. The caller must not modify the slice.
func (f *File) Tensors() []tensor.Info { return f.tensors }

// Findings are oddities that do not make the file unreadable.
func (f *File) Findings() []tensor.Finding { return f.findings }

// Bytes gives the logical bytes of tensor i of Tensors. A deflated or turned array
// is best read from front to back.
func (f *File) Bytes(i int) (io.ReaderAt, error) {
	a, n := &f.arrays[i], f.tensors[i].Bytes
	r := a.r
	if r == nil {
		r = &inflated{member: a.zip}
	}
	r = io.NewSectionReader(r, a.skip, n)
	_, size := a.dtype.Block()
	if a.big {
		r = &swapped{r, a.word(), n}
	}
	if a.turned() {
		r = newTurned(r, a.shape, size)
	}
	return io.NewSectionReader(r, 0, n), nil
}

func (f *File) note(rule, file, path, format string, args ...any) {
	f.findings = append(f.findings, tensor.Finding{Rule: rule, File: file, Tensor: path, Message: file + ": " + fmt.Sprintf(format, args...)})
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
