// Package safetensors reads and writes the headers of safetensors files.
//
// A file is eight bytes of little-endian header length, a JSON header, then the
// bytes of all tensors without a gap. Most users need Read, File.Tensors and
// File.Bytes; a writer needs AppendHeader.
//
// Invariants: the reader is stricter than the reference library. A name or a
// field given twice, a header that does not start with '{', a byte that belongs to
// no tensor or to two: each is refused with an error of its own (see Err…). No
// tensor data is read. Memory is a small multiple of the header, which is at most
// MaxHeader bytes.
package safetensors

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"wreg/ingest/interrupt"
	"wreg/registry/tensor"
)

// Limits of a file. MaxHeader is the reference library's own.
const (
	MaxHeader   = 100_000_000 // bytes of JSON
	MaxName     = 8192        // bytes of a tensor's name, unescaped
	MaxMetadata = 1 << 16     // entries of __metadata__
	MaxTensors  = tensor.MaxTensors

	prefixBytes = 8 // the header length before the header
)

// File is a header that was read and found to hold.
type File struct {
	r        io.ReaderAt
	tensors  []tensor.Info
	metadata map[string]string
	findings []tensor.Finding
	held     int64
}

// Read reads and checks the header of the size bytes of r. name is what errors
// and Info.File call the file. Errors are *FormatError, one of the Err… each, but for
// those of r and ctx.
func Read(ctx context.Context, r io.ReaderAt, size int64, name string) (*File, error) {
	in := interrupt.Reader(ctx, r)
	var prefix [prefixBytes]byte
	if size < prefixBytes {
		return nil, fault(ErrHeaderLength, name, 0, "file of %d bytes has no room for a header length", size)
	}
	if err := tensor.ReadFull(in, prefix[:], 0); err != nil {
		return nil, fmt.Errorf("%s: header length: %w", name, err)
	}
	n := binary.LittleEndian.Uint64(prefix[:])
	switch {
	case n == 0:
		return nil, fault(ErrHeaderLength, name, 0, "header of 0 bytes")
	case n > MaxHeader:
		return nil, fault(ErrHeaderTooLarge, name, 0, "header of %d bytes exceeds %d", n, MaxHeader)
	case int64(n) > size-prefixBytes:
		return nil, fault(ErrHeaderLength, name, 0, "header of %d bytes ends past the file's %d; the file is truncated, or is not safetensors", n, size)
	}
	text, err := readText(in, prefixBytes, int64(n))
	if err != nil {
		return nil, fmt.Errorf("%s: header: %w", name, err)
	}
	h, err := parse(ctx, text, name)
	if err != nil {
		return nil, err
	}
	if err := validate(ctx, h, size-prefixBytes-int64(n)); err != nil {
		return nil, joined(err, in)
	}
	for i := range h.tensors {
		h.tensors[i].Offset += prefixBytes + int64(n)
	}
	return &File{r, h.tensors, h.metadata, h.findings(), int64(n)}, nil
}

// Sniff reports whether head begins a file. The format has no magic number: a header
// is known by its brace.
func Sniff(head []byte) bool {
	return len(head) > prefixBytes && binary.LittleEndian.Uint64(head) <= MaxHeader &&
		bytes.HasPrefix(bytes.TrimLeft(head[prefixBytes:], " \t\r\n"), []byte("{"))
}

// joined says of a file that goes on after its last tensor when what follows is another
// one: cat makes no file of two.
func joined(err error, r io.ReaderAt) error {
	var f *FormatError
	head := make([]byte, 2*prefixBytes)
	if errors.As(err, &f) && f.Rule == ErrTrailingData && tensor.ReadFull(r, head, f.Offset) == nil && Sniff(head) {
		f.Message += fmt.Sprintf("; another safetensors file begins there, as when cat joins two: the first %d bytes are one file, the rest another", f.Offset)
	}
	return err
}

// Tensors lists the tensors sorted by path, with offsets counted from the start
// of the file. The caller must not modify the slice.
func (f *File) Tensors() []tensor.Info { return f.tensors }

// Bytes gives the bytes of tensor i of Tensors: a section of the file.
func (f *File) Bytes(i int) (io.ReaderAt, error) {
	t := &f.tensors[i]
	return io.NewSectionReader(f.r, t.Offset, t.Bytes), nil
}

// HeaderBytes is how much memory the header keeps: names are parts of its text.
func (f *File) HeaderBytes() int64 { return f.held }

// Metadata is the header's __metadata__, nil when there is none.
func (f *File) Metadata() map[string]string { return maps.Clone(f.metadata) }

// Findings are oddities that do not make the file unreadable.
func (f *File) Findings() []tensor.Finding { return slices.Clip(f.findings) }

// readText reads n bytes at off into one string, without holding them twice.
func readText(r io.ReaderAt, off, n int64) (string, error) {
	var b strings.Builder
	b.Grow(int(n))
	if _, err := io.CopyBuffer(struct{ io.Writer }{&b}, struct{ io.Reader }{io.NewSectionReader(r, off, n)}, make([]byte, min(n, 1<<17))); err != nil {
		return "", err
	}
	if int64(b.Len()) != n {
		return "", io.ErrUnexpectedEOF
	}
	return b.String(), nil
}
