package receipt

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"wreg/export/disk"
	"wreg/ingest"
	"wreg/ingest/folder"
	"wreg/ingest/interrupt"
	"wreg/ingest/places"
	"wreg/ingest/sums"
	"wreg/registry/tensor"
)

// MaxBytes bounds a receipt, written and read: some 550 bytes for a tensor that is
// copied, 270 for an expert of a stack. Whatever is in one of this size is read in
// less than 512 MiB of memory.
const MaxBytes = 104 << 20

// Options of Verify. The zero value checks a folder against its own receipt.
type Options struct {
	Receipt  []byte // what to check against; nil: wreg-receipt.json in the folder
	Jobs     int    // workers; 0 is one per core
	Progress func(done, total int64)
}

// Verification is what Verify found.
type Verification struct {
	Tensors    int
	Bytes      int64
	Faults     []tensor.Finding
	NotChecked []string // what could not be told from the bytes that are there
}

// Verify reads every byte of an exported folder and compares it with the receipt:
// tensors with their checksums and hashes, stacks expert by expert, other files
// with their hashes, and the sources when they are still there. What is wrong is
// in Faults; an error means that nothing could be checked.
func Verify(ctx context.Context, dir string, o Options) (*Verification, error) {
	data := o.Receipt
	if data == nil {
		var err error
		if data, err = Read(dir); err != nil {
			return nil, err
		}
	}
	v := &verifier{o: o}
	if o.Receipt != nil {
		if there, err := Read(dir); err != nil || !bytes.Equal(there, o.Receipt) {
			v.fault(Name, "", -1, "is not the receipt that was registered")
		}
	}
	r, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, Name), err)
	}
	if !Sealed(data) {
		v.fault(Name, "", -1, "was changed after it was written: its last line is not the sha256 of the rest")
	}
	if r.Format != Format {
		return nil, fmt.Errorf("%s: version %d is not known to this wreg (it knows %d)", filepath.Join(dir, Name), r.Format, Format)
	}
	all, err := fromReceipt(&r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, Name), err)
	}
	if err := v.files(ctx, dir, &r); err != nil {
		return nil, err
	}
	v.accounts(&r)
	c, err := v.open(ctx, dir, tensor.Naming{})
	if c == nil {
		return v.sorted(), err
	}
	defer c.Close()
	for _, f := range c.Findings() {
		v.fault(f.File, f.Tensor, -1, "%s", f.Message)
	}
	if err := v.tensors(ctx, c, all); err != nil {
		return nil, err
	}
	if err := v.sources(ctx, &r); err != nil {
		return nil, err
	}
	return v.sorted(), nil
}

func Read(dir string) ([]byte, error) {
	root, err := folder.Open(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	data, err := root.ReadFile(Name, MaxBytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; only a folder that wreg exported can be verified without a registry", dir, err)
	}
	return data, nil
}

// verifier gathers faults from its workers.
type verifier struct {
	o    Options
	mu   sync.Mutex
	out  Verification
	done int64
}

// fault adds one; expert is -1 when it is about none of a stack's.
func (v *verifier) fault(file, path string, expert int, format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.out.Faults = append(v.out.Faults, tensor.Finding{File: file, Tensor: path, Expert: expert + 1, Message: fmt.Sprintf(format, args...)})
}

func (v *verifier) skip(format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.out.NotChecked = append(v.out.NotChecked, fmt.Sprintf(format, args...))
}

func (v *verifier) advance(n int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.done += n; v.o.Progress != nil {
		v.o.Progress(v.done, v.out.Bytes)
	}
}

// open opens the checkpoint to verify. One that cannot be opened is a fault, and nil,
// unless it could not be asked.
func (v *verifier) open(ctx context.Context, path string, n tensor.Naming) (*ingest.Checkpoint, error) {
	c, err := places.Checkpoint(ctx, path, ingest.Options{Jobs: v.o.Jobs, Naming: n})
	if err == nil {
		return c, nil
	}
	if _, gone := os.Stat(path); gone != nil || ctx.Err() != nil || errors.Is(err, fs.ErrPermission) {
		return nil, err
	}
	v.fault(path, "", -1, "%v", err)
	return nil, nil
}

// tensors compares all tensors of an opened checkpoint: their headers, then every byte.
func (v *verifier) tensors(ctx context.Context, c *ingest.Checkpoint, all []expected) error {
	v.out.Tensors = len(all)
	for _, e := range all {
		v.out.Bytes += e.bytes
	}
	there := v.headers(c, all)
	return interrupt.Each(ctx, v.o.Jobs, there, func() func(context.Context, expected) error {
		buf := make([]byte, disk.LargeWrite)
		return func(ctx context.Context, e expected) error { return v.bytes(ctx, c, e, buf) }
	})
}

func (v *verifier) sorted() *Verification {
	slices.SortStableFunc(v.out.Faults, func(a, b tensor.Finding) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Tensor, b.Tensor), cmp.Compare(a.Expert, b.Expert))
	})
	return &v.out
}

// headers compares names, dtypes and shapes; it returns the tensors whose bytes
// can be compared, in all's memory: there may be half a million.
func (v *verifier) headers(c *ingest.Checkpoint, all []expected) []expected {
	there := all[:0]
	named := make(map[string]bool, len(all))
	for _, e := range all {
		named[e.path] = true
		got, ok := c.Lookup(e.path)
		switch {
		case !ok:
			v.fault(e.file, e.path, -1, "is missing")
		case got.File != e.file:
			v.fault(got.File, e.path, -1, "lies in another file than %s", e.file)
		case got.DType != e.dtype || !got.Shape.Equal(e.shape) || got.Bytes != e.bytes:
			v.fault(got.File, e.path, -1, "is %v %v, should be %v %v", got.DType, got.Shape, e.dtype, e.shape)
		default:
			there = append(there, e)
		}
	}
	for _, t := range c.Tensors() {
		if !named[t.Path] {
			v.fault(t.File, t.Path, -1, "should not be there")
		}
	}
	slices.SortStableFunc(there, func(a, b expected) int { return cmp.Compare(b.bytes, a.bytes) })
	return there
}

// bytes reads one tensor and compares it, part by part when its parts are known.
func (v *verifier) bytes(ctx context.Context, c *ingest.Checkpoint, e expected, buf []byte) error {
	src, err := c.Bytes(e.path)
	if err != nil {
		return err
	}
	parts := e.parts
	if parts == nil {
		parts = []expectedPart{{"", e.bytes, e.whole}}
	}
	whole := sums.NewDigester(!e.whole.Hash.IsZero() && len(parts) > 1)
	wrong, at := 0, int64(0)
	for k, p := range parts {
		part := sums.NewDigester(!p.Hash.IsZero())
		for end := at + p.bytes; at < end; {
			if err := ctx.Err(); err != nil {
				return err
			}
			b := buf[:min(int64(len(buf)), end-at)]
			if err := disk.ReadFull(src, b, at); err != nil {
				v.fault(e.file, e.path, -1, "%v", err)
				return nil
			}
			part.Write(b)
			if len(parts) > 1 {
				whole.Write(b)
			}
			at += int64(len(b))
			v.advance(int64(len(b)))
		}
		if got := part.Digest(); !got.Same(p.Digest) {
			wrong++
			expert, from := -1, ""
			if e.stack && len(parts) > 1 {
				expert = k
			}
			if p.from != "" {
				from = fmt.Sprintf(" (made from %s)", p.from)
			}
			v.fault(e.file, e.path, expert, "bytes %d:%d are not what was written%s: %v", at-p.bytes, at, from, mismatch(got, p.Digest))
		}
	}
	if err := c.Prove(ctx, e.path); err != nil && ctx.Err() == nil {
		v.fault(e.file, e.path, -1, "%v", err)
	}
	if got := whole.Digest(); len(parts) > 1 && wrong == 0 && !got.Same(e.whole) {
		v.fault(e.file, e.path, -1, "its parts are right, but the whole is not: %v", mismatch(got, e.whole))
	}
	return nil
}

// mismatch says which of two digests differs.
func mismatch(got, want sums.Digest) string {
	if got.Sum != want.Sum && want.Sum != (tensor.Sum{}) {
		return fmt.Sprintf("%v, should be %v", got.Sum, want.Sum)
	}
	return fmt.Sprintf("%v, should be %v", got.Hash, want.Hash)
}
