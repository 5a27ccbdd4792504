package ingest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"

	"wreg/accel"
	"wreg/registry/tensor"
)

// hasher is what one worker reuses from tensor to tensor.
type hasher struct {
	buf        []byte
	sha, slice hash.Hash
	sum        *Summer
	o          HashOptions

	// Of the tensor at hand:
	t           *tensor.Info
	stats       *tensor.Stats
	done        int64 // bytes
	pending     int64 // bytes not yet told to Progress
	width, left int64 // of a slice, 0 when none are taken; left of the current one
}

func newHasher(o HashOptions) *hasher {
	return &hasher{buf: make([]byte, hashBuffer), sha: sha256.New(), slice: sha256.New(), sum: NewSummer(), o: o}
}

// window hashes n bytes of a file by mapping them; mapped is false when that
// cannot be done. Touching a page that was cut from the file meanwhile is a fault,
// which the worker has asked to get as a panic.
func (h *hasher) window(f *os.File, off, n int64) (mapped bool, err error) {
	data, whole := mapWindow(f, off, n)
	if data == nil {
		return false, nil
	}
	defer func() {
		if fault := recover(); fault != nil {
			if _, ok := fault.(interface{ Addr() uintptr }); !ok {
				panic(fault)
			}
			err = fmt.Errorf("byte %d of %d: the file was cut while it was read, or its disk failed: %w", h.done, h.t.Bytes, io.ErrUnexpectedEOF)
		}
		err = errors.Join(err, unmapWindow(whole))
	}()
	return true, h.write(data)
}

func (h *hasher) start(t *tensor.Info) {
	h.sha.Reset()
	h.slice.Reset()
	h.sum.Reset()
	h.t, h.done, h.width, h.stats = t, 0, 0, nil
	if !h.o.NoSHA && sliced(t) {
		t.Slices = make([]tensor.Hash, 0, t.Shape[0])
		if t.Shape[0] > 1 {
			h.width = t.Bytes / t.Shape[0]
			h.left = h.width
		}
	}
	if !h.o.NoStats && accel.Scannable(t.DType) {
		h.stats = &tensor.Stats{}
	}
}

// write takes all sums of p, a stretch at a time that stays in the nearest cache
// from one sum to the next.
func (h *hasher) write(p []byte) error {
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
func (h *hasher) slices(q []byte) {
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

func (h *hasher) finish() {
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
