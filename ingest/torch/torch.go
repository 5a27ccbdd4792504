// Package torch reads PyTorch checkpoints without Python and without running
// anything: zip archives (torch 1.6 and later), the stream of pickles before
// them, the tar of torch 0.1, and the folders of torch.distributed.checkpoint.
//
// Most users need [Open], [File.Tensors] and [File.Bytes]; [OpenDistributed] for a folder.
//
// Invariants: classes and functions are inert, and a pickle that names one that acts
// is refused; every storage, offset and stride is checked against its record; Offset is -1 for a tensor whose bytes do
// not lie plainly in the file; what a pickle makes is bounded.
//
// A tensor's path is its keys joined by dots: {"state_dict": {"conv.weight": t}}
// gives state_dict.conv.weight. Keys that are not text are written as Python's str
// writes them, a surrogate as \udXXX. Where two tensors would have one path, or a
// path would begin with a bracket, it is written with brackets instead,
// ["a.b"]["c"] and ["a"]["b.c"], and a finding says so; two that still meet are
// numbered: nothing is lost, and which is which can be read back.
package torch

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"wreg/ingest/interrupt"
	"wreg/registry/tensor"
)

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
	if err := f.settle(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	f.r, f.steps = r, interrupt.Steps{} // what is read from here on has a context of its own
	return f, nil
}

// Inert is the finding of a class, or function, that a file, and more files, name, and of
// which they hold n objects.
func Inert(file string, more int, class string, n int) tensor.Finding {
	where := file
	if more > 0 {
		where = fmt.Sprintf("%s and %s", file, tensor.Count(more, "more file"))
	}
	what := fmt.Sprintf("names %s: it stays inert, no tensor needs it", class)
	switch {
	case n == 1:
		what = fmt.Sprintf("holds an object of %s: it stays inert; tensors inside are listed by their attributes", class)
	case n > 1:
		what = fmt.Sprintf("holds %d objects of %s: they stay inert; tensors inside are listed by their attributes", n, class)
	}
	return tensor.Finding{Rule: "inert-object", File: file, Message: where + ": " + what}
}
