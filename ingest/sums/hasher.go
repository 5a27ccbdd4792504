package sums

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"

	"wreg/accel"
	"wreg/registry/tensor"
)

// Options of a Hasher. The zero value takes everything.
type Options struct {
	NoSHA    bool              // XXH3 only
	NoStats  bool              // no min, max, NaN counts
	Progress func(bytes int64) // called with bytes done since the last call
}

// All are multiples of every block size that has statistics, so that those see whole
// elements. A worker holds one buffer and one window, whatever the tensors.
const (
	hashBuffer  = 768 << 10
	stretch     = 24 << 10
	windowBytes = 12 << 20
	minWindow   = 256 << 10 // less is faster read than mapped

	// maxSlices bounds the slice hashes of one tensor: a stack of experts has
	// hundreds, a hostile shape [1000000000, 1, 1] would take 32 GB of hashes.
	maxSlices = 65_536
)

// Sliced reports whether a tensor gets slice hashes.
func Sliced(t *tensor.Info) bool {
	return len(t.Shape) >= 3 && t.Shape[0] <= maxSlices
}

// Hasher is what one worker reuses from tensor to tensor.
type Hasher struct {
	buf        []byte
	sha, slice hash.Hash
	sum        *Summer
	o          Options

	// Of the tensor at hand:
	t           *tensor.Info
	stats       *tensor.Stats
	done        int64 // bytes
	pending     int64 // bytes not yet reported to Progress
	width, left int64 // of a slice, 0 when none are taken; left of the current one
	rows        rows
}

// NewHasher makes the buffers of one worker.
func NewHasher(o Options) *Hasher {
	return &Hasher{buf: make([]byte, hashBuffer), sha: sha256.New(), slice: sha256.New(), sum: NewSummer(), o: o}
}

// window hashes n bytes of a file by mapping them; mapped is false when that
// cannot be done. Touching a page that was cut from the file meanwhile is a fault,
// which the worker has asked to get as a panic.
func (h *Hasher) window(f *os.File, off, n int64) (mapped bool, err error) {
	data, whole := mapWindow(f, off, n)
	if data == nil {
		return false, nil
	}
	defer func() {
		if fault := recover(); fault != nil {
			if _, ok := fault.(interface{ Addr() uintptr }); !ok {
				panic(fault)
			}
			err = fmt.Errorf("byte %d of %d: the file is truncated while it was read, or its disk failed: %w", h.done, h.t.Bytes, io.ErrUnexpectedEOF)
		}
		err = errors.Join(err, unmapWindow(whole))
	}()
	return true, h.write(data)
}

// Hash reads the bytes of a tensor and fills in what was asked for. A mapped file that
// is cut meanwhile is an error where the goroutine has asked for panics on faults.
func (h *Hasher) Hash(ctx context.Context, t *tensor.Info, r io.ReaderAt) error {
	h.start(t)
	if err := h.feed(ctx, r); err != nil {
		return err
	}
	h.finish()
	return nil
}

// feed gives the Hasher all bytes of the tensor at hand: mapped where they are a section of
// the file as it is and many, else read into the buffer.
func (h *Hasher) feed(ctx context.Context, r io.ReaderAt) error {
	n := h.t.Bytes
	if s, ok := r.(*io.SectionReader); ok && n >= minWindow {
		outer, off, _ := s.Outer()
		f, mapped := outer.(*os.File)
		for mapped && h.done < n {
			if err := ctx.Err(); err != nil {
				return err
			}
			var err error
			if mapped, err = h.window(f, off+h.done, min(windowBytes, n-h.done)); err != nil {
				return err
			}
		}
	}
	for h.done < n {
		if err := ctx.Err(); err != nil {
			return err
		}
		p := h.buf[:min(int64(len(h.buf)), n-h.done)]
		if err := tensor.ReadFull(r, p, h.done); err != nil {
			return fmt.Errorf("bytes %d:%d of %d: %w", h.done, h.done+int64(len(p)), n, err)
		}
		if err := h.write(p); err != nil {
			return err
		}
	}
	return nil
}

// ConstantRows counts the rows of the tensor that was last hashed which hold one value
// over and over, and gives the first of them; 0 where no statistics are taken.
func (h *Hasher) ConstantRows() (n, first int64) { return h.rows.constant, h.rows.first }

func (h *Hasher) start(t *tensor.Info) {
	h.sha.Reset()
	h.slice.Reset()
	h.sum.Reset()
	h.t, h.done, h.width, h.stats = t, 0, 0, nil
	if !h.o.NoSHA && Sliced(t) {
		t.Slices = make([]tensor.Hash, 0, t.Shape[0])
		if t.Shape[0] > 1 {
			h.width = t.Bytes / t.Shape[0]
			h.left = h.width
		}
	}
	if !h.o.NoStats && accel.Scannable(t.DType) {
		h.stats = &tensor.Stats{}
	}
	h.rows.start(t, h.stats != nil)
}

// write takes all sums of p, a stretch at a time that stays in the nearest cache
// from one sum to the next.
func (h *Hasher) write(p []byte) error {
	for len(p) > 0 {
		q := p[:min(len(p), stretch)]
		p = p[len(q):]
		if !h.o.NoSHA {
			h.sha.Write(q)
		}
		h.sum.Write(q)
		if h.stats != nil {
			if err := accel.Stats(h.stats, h.t.DType, q, h.done == 0); err != nil {
				return err
			}
		}
		if h.width > 0 {
			h.slices(q)
		}
		if h.rows.width > 0 {
			h.rows.write(q)
		}
		h.done += int64(len(q))
		if h.pending += int64(len(q)); h.pending >= hashBuffer || h.done == h.t.Bytes {
			if h.o.Progress != nil {
				h.o.Progress(h.pending)
			}
			h.pending = 0
		}
	}
	return nil
}

// slices adds q to the hashes of the slices it lies in.
func (h *Hasher) slices(q []byte) {
	for len(q) > 0 {
		n := min(h.left, int64(len(q)))
		h.slice.Write(q[:n])
		if q, h.left = q[n:], h.left-n; h.left == 0 {
			h.t.Slices = append(h.t.Slices, tensor.Hash(h.slice.Sum(nil)))
			h.slice.Reset()
			h.left = h.width
		}
	}
}

func (h *Hasher) finish() {
	t := h.t
	t.Sum, t.Stats = h.sum.Sum(), h.stats
	if h.o.NoSHA {
		return
	}
	t.Hash = tensor.Hash(h.sha.Sum(nil))
	if t.Slices != nil { // one slice is the whole; empty slices are all alike
		for int64(len(t.Slices)) < t.Shape[0] {
			t.Slices = append(t.Slices, t.Hash)
		}
	}
}
