package safetensors

import (
	"cmp"
	"context"
	"slices"

	"wreg/ingest/interrupt"
	"wreg/ingest/pathsort"
	"wreg/registry/tensor"
)

// validate holds a header against the data bytes that follow it, and sorts its
// tensors by path. These are all the rules of the format beyond its syntax:
//
//	ErrDType          every dtype is one of the format's
//	ErrShape          the elements and their bytes fit 64 bits, whole bytes only
//	ErrOffsets        begin <= end
//	ErrSize           end - begin is what shape and dtype take
//	ErrTruncated      no tensor ends past the data
//	ErrHole           the first tensor begins at 0, each other where one ends
//	ErrOverlap        none begins before the one before it ends
//	ErrTrailingData   the last one ends where the data ends
//	ErrDuplicateName  no two tensors have one name
func validate(ctx context.Context, h *header, data int64) error {
	var bad faults
	steps := interrupt.Steps{Context: ctx}
	at := func(off int64) int64 { return prefixBytes + h.bytes + off }
	for i := range h.tensors {
		if err := steps.Next(); err != nil {
			return err
		}
		t := &h.tensors[i]
		end := t.Offset + t.Bytes
		if t.DType == tensor.Invalid {
			bad.add(fault(ErrDType, h.file, at(t.Offset), "tensor %q: unknown dtype %q", shorten(t.Path), shorten(h.dtypes[i])))
			continue
		}
		want, err := t.Shape.Bytes(t.DType)
		switch {
		case err != nil:
			bad.add(fault(ErrShape, h.file, at(t.Offset), "tensor %q: %v", shorten(t.Path), err))
		case t.Bytes < 0:
			bad.add(fault(ErrOffsets, h.file, at(t.Offset), "tensor %q: bytes %d:%d are reversed", shorten(t.Path), t.Offset, end))
		case t.Bytes != want:
			bad.add(fault(ErrSize, h.file, at(t.Offset), "tensor %q: bytes %d:%d hold %d bytes, but %v %v takes %d", shorten(t.Path), t.Offset, end, t.Bytes, t.DType, t.Shape, want))
		case end > data:
			bad.add(fault(ErrTruncated, h.file, at(t.Offset), "tensor %q: bytes %d:%d end past the file's %d bytes of data; the file is truncated", shorten(t.Path), t.Offset, end, data))
		}
	}
	if err := bad.err(h.file); err != nil {
		return err
	}
	cover(h, data, &bad)
	pathsort.Sort(h.tensors, func(t *tensor.Info) string { return t.Path })
	for i := 1; i < len(h.tensors); i++ {
		if t := &h.tensors[i]; t.Path == h.tensors[i-1].Path {
			bad.add(fault(ErrDuplicateName, h.file, at(t.Offset), "tensor %q: given twice, at bytes %d and %d of the data", shorten(t.Path), h.tensors[i-1].Offset, t.Offset))
		}
	}
	return bad.err(h.file)
}

// cover checks that tensors lie end to end from the first byte to the last.
func cover(h *header, data int64, bad *faults) {
	order := byOffset(h.tensors)
	var next int64
	var prev *tensor.Info
	for k := range h.tensors {
		i := k
		if order != nil {
			i = int(order[k])
		}
		t := &h.tensors[i]
		off := prefixBytes + h.bytes + t.Offset
		switch {
		case t.Offset > next:
			bad.add(fault(ErrHole, h.file, off, "tensor %q begins at byte %d of the data, but nothing covers %d:%d", shorten(t.Path), t.Offset, next, t.Offset))
		case t.Offset < next:
			bad.add(fault(ErrOverlap, h.file, off, "tensor %q begins at byte %d of the data, inside %q which ends at %d", shorten(t.Path), t.Offset, shorten(prev.Path), next))
		}
		next, prev = max(next, t.Offset+t.Bytes), t
	}
	if next < data {
		bad.add(fault(ErrTrailingData, h.file, prefixBytes+h.bytes+next, "%d bytes after the last tensor belong to no tensor", data-next))
	}
}

// byOffset is the order of the data; nil when the entries are in it already, as
// most writers leave them.
func byOffset(ts []tensor.Info) []uint32 {
	compare := func(a, b *tensor.Info) int {
		return cmp.Or(cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.Bytes, b.Bytes))
	}
	i := 1
	for i < len(ts) && compare(&ts[i-1], &ts[i]) <= 0 {
		i++
	}
	if i >= len(ts) {
		return nil
	}
	order := make([]uint32, len(ts))
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortFunc(order, func(a, b uint32) int { return compare(&ts[a], &ts[b]) })
	return order
}
