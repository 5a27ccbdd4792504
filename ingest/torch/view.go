package torch

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"wreg/ingest/zipfile"
	"wreg/registry/tensor"
)

// Tensors may have more elements than their storage, and many may look at the same
// one: a small file can claim terabytes. maxExpanded bounds the bytes of a tensor that
// is larger than its storage. All different views together, which are what hashing
// has to read, may have that and viewedTimes the bytes of the records they look at.
const (
	maxExpanded = 1 << 30
	viewedTimes = 8
)

// storage is a run of elements that tensors look at.
type storage struct {
	key    string
	record string       // that holds it
	dtype  tensor.DType // Invalid: untyped, counted in bytes
	bytes  int64        // as its persistent id claims
	numel  int64
	base   int64 // bytes into the record, for a view of another storage
}

// view is one tensor: a storage seen through a shape and strides, in elements.
type view struct {
	st        *storage
	dtype     tensor.DType
	offset    int64
	shape     tensor.Shape
	stride    []int64
	conj, neg bool
	meta      bool // a shape without bytes
}

// check refuses a view that leaves its storage. All arithmetic is checked.
func (v *view) check() error {
	n, err := v.shape.Numel()
	if err != nil {
		return err
	}
	if len(v.stride) != len(v.shape) {
		return fmt.Errorf("shape %v has rank %d, its strides %d", v.shape, len(v.shape), len(v.stride))
	}
	if v.meta {
		return nil
	}
	bytes, err := v.dtype.Size(n)
	if err != nil {
		return err
	}
	have := v.st.bytes / v.item()
	if v.offset < 0 || v.offset > have {
		return fmt.Errorf("storage %q: offset %d is outside its %d elements", v.st.key, v.offset, have)
	}
	last := v.offset
	for i, d := range v.shape {
		if v.stride[i] < 0 {
			return fmt.Errorf("stride %d is negative", v.stride[i])
		}
		if n == 0 || d < 2 || v.stride[i] == 0 {
			continue
		}
		if v.stride[i] > (math.MaxInt64-last)/(d-1) {
			return fmt.Errorf("storage %q: shape %v with strides %v overflows 64 bits", v.st.key, v.shape, v.stride)
		}
		last += (d - 1) * v.stride[i]
	}
	if n > 0 && last >= have {
		return fmt.Errorf("storage %q: offset %d, shape %v, strides %v reach element %d of %d", v.st.key, v.offset, v.shape, v.stride, last, have)
	}
	if n > have && bytes > maxExpanded {
		return fmt.Errorf("storage %q: %d elements are repeated to %v, %d bytes; more than %d are not expanded", v.st.key, have, v.shape, bytes, maxExpanded)
	}
	return nil
}

// dense says that the elements lie in row-major order without a gap.
func (v *view) dense() bool {
	next := int64(1)
	for i := len(v.shape) - 1; i >= 0; i-- {
		if v.shape[i] != 1 && v.stride[i] != next {
			return false
		}
		next *= v.shape[i]
	}
	return true
}

// shows says that the tensor is a record as it lies there, all of it.
func (v *view) shows(rec *zipfile.Record) bool {
	return v.st.base == 0 && v.offset == 0 && v.size() == rec.Size && v.dense()
}

// compare orders views of one record; 0 says that they show the same bytes.
func (v *view) compare(w *view) int {
	flags := func(v *view) (n int) {
		for i, on := range []bool{v.conj, v.neg, v.st.dtype == tensor.Invalid} {
			if on {
				n |= 1 << i
			}
		}
		return n
	}
	if c := cmp.Or(cmp.Compare(v.st.base+v.offset*v.item(), w.st.base+w.offset*w.item()), cmp.Compare(v.dtype, w.dtype),
		slices.Compare(v.shape, w.shape), cmp.Compare(flags(v), flags(w))); c != 0 {
		return c
	}
	for i, d := range v.shape {
		if c := cmp.Compare(v.stride[i], w.stride[i]); c != 0 && d > 1 {
			return c
		}
	}
	return 0
}

// extent is the bytes of the storage from the first element to the last.
func (v *view) extent() (from, to int64) {
	last := v.offset
	for i, d := range v.shape {
		last += (d - 1) * v.stride[i]
	}
	return v.offset * v.item(), (last + 1) * v.item()
}

// item is the size of an element.
func (v *view) item() int64 {
	_, n := v.dtype.Block()
	return n
}

func (v *view) empty() bool {
	for _, d := range v.shape {
		if d == 0 {
			return true
		}
	}
	return false
}

func (v *view) size() int64 {
	n, err := v.shape.Bytes(v.dtype)
	if err != nil {
		return 0 // check has seen it
	}
	return n
}
