package ingest

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"path"
	"strings"

	"wreg/ingest/folder"
	"wreg/ingest/gguf"
	"wreg/ingest/npz"
	"wreg/ingest/safetensors"
	"wreg/ingest/torch"
	"wreg/registry/tensor"
)

// headBytes is how much of a file its format is known from.
const headBytes = 512

// opening reads a file's header.
type opening func(ctx context.Context, r io.ReaderAt, size int64, name string) (reader, []tensor.Finding, error)

// formats are tried in order; the first whose sniff says yes reads the file.
var formats = []struct {
	name  string
	sniff func(head []byte) bool
	read  opening
	named bool // when no sniff says yes, its error helps most with a file of that extension
}{
	{"gguf", func(head []byte) bool { return bytes.HasPrefix(head, []byte("GGUF")) }, with(gguf.Read), true},
	{"npy", npz.SniffNPY, with(npz.ReadNPY), true},
	{"npz", npz.Sniff, with(npz.Read), false},
	{"torch", torch.Sniff, with(torch.Open), false},
	{"safetensors", sniffSafetensors, with(safetensors.Read), true},
}

// with makes an opening of a format's own function.
func with[F interface {
	reader
	Findings() []tensor.Finding
}](open func(ctx context.Context, r io.ReaderAt, size int64, name string) (F, error)) opening {
	return func(ctx context.Context, r io.ReaderAt, size int64, name string) (reader, []tensor.Finding, error) {
		f, err := open(ctx, r, size, name)
		if err != nil {
			return nil, nil, err
		}
		return f, f.Findings(), nil
	}
}

// sniffSafetensors knows a header by its brace: the format has no magic number.
func sniffSafetensors(head []byte) bool {
	return len(head) > 8 && binary.LittleEndian.Uint64(head) <= safetensors.MaxHeader &&
		bytes.HasPrefix(bytes.TrimLeft(head[8:], " \t\r\n"), []byte("{"))
}

// read finds out the format of an open file and reads its header.
func (f *file) read(ctx context.Context) error {
	head := make([]byte, min(headBytes, f.info.Size))
	if err := tensor.ReadFull(f.disk, head, 0); err != nil {
		return folder.Named(f.info.Name, err)
	}
	if size, ok := lfsPointer(head, f.info.Size); ok {
		return fmt.Errorf("%s: a Git LFS pointer of %d bytes in place of the weights (%s bytes); run git lfs pull", f.info.Name, f.info.Size, size)
	}
	for _, format := range formats {
		if format.sniff(head) {
			return f.readAs(ctx, format.name, format.read)
		}
	}
	// No format has claimed the file. What it is called decides nothing but which
	// error helps most.
	for _, format := range formats {
		if format.named && path.Ext(f.info.Name) == "."+format.name {
			return f.readAs(ctx, format.name, format.read)
		}
	}
	if f.info.Size == 0 {
		return fmt.Errorf("%s: the file is empty", f.info.Name)
	}
	return fmt.Errorf("%s: no format wreg knows: it starts with % x; wreg reads safetensors, torch, gguf, npy and npz", f.info.Name, head[:min(8, len(head))])
}

func (f *file) readAs(ctx context.Context, format string, read opening) (err error) {
	f.info.Format = format
	f.reader, f.findings, err = read(ctx, f.disk, f.info.Size, f.info.Name)
	return err
}

// lfsPointer recognises the text that git leaves in place of a large file, and
// finds the size of what should be there.
func lfsPointer(head []byte, size int64) (weights string, ok bool) {
	if size > headBytes || !bytes.HasPrefix(head, []byte("version https://git-lfs.github.com/spec/")) {
		return "", false
	}
	weights = "?"
	for line := range strings.Lines(string(head)) {
		if n, ok := strings.CutPrefix(strings.TrimSpace(line), "size "); ok {
			weights = fmt.Sprintf("%.20s", n)
		}
	}
	return weights, true
}
