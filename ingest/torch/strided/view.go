// Package strided gives the logical bytes of a tensor that is a shape and strides over a
// storage, whatever part of it they reach and in whatever order.
//
// Most users need a [View], [View.Check], [Gather] and [Turn].
//
// Invariants: no view leaves its storage, and all arithmetic that shows it is checked;
// a small file cannot claim terabytes: what views show is bounded by [MaxExpanded] and
// [ViewedTimes], and how many reads they take is counted before any.
package strided

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
	MaxExpanded = 1 << 30
	ViewedTimes = 8
)

// Storage is a run of elements that tensors look at.
type Storage struct {
	Key    string
	Record string       // that holds it
	DType  tensor.DType // Invalid: untyped, counted in bytes
	Bytes  int64        // as its persistent id claims
	Numel  int64
	Base   int64  // bytes into the record, for a view of another storage
	Data   []byte // what a pickle holds itself, in no record
	Big    bool   // Data is in big-endian order
}

// Part is n elements of a storage from first on.
func (st *Storage) Part(first, n int64) (*Storage, error) {
	if first < 0 || n < 0 || first > st.Numel || n > st.Numel-first {
		return nil, fmt.Errorf("storage %q: a view of elements %d:+%d leaves its %d", st.Key, first, n, st.Numel)
	}
	item := int64(1)
	if st.DType != tensor.Invalid {
		_, item = st.DType.Block()
	}
	view := *st
	view.Base, view.Numel, view.Bytes = st.Base+first*item, n, n*item
	return &view, nil
}

// View is one tensor: a storage seen through a shape and strides, in elements.
type View struct {
	Storage   *Storage
	DType     tensor.DType
	Offset    int64
	Shape     tensor.Shape
	Stride    []int64
	Conj, Neg bool
	Meta      bool // a shape without bytes
}

// Strides are those of elements in row-major order, or, turned, with the first index
// the fastest; the shape's number of elements was checked.
func Strides(shape tensor.Shape, turned bool) []int64 {
	stride, next := make([]int64, len(shape)), int64(1)
	for i := range shape {
		if !turned {
			i = len(shape) - 1 - i
		}
		stride[i] = next
		next *= shape[i]
	}
	return stride
}

// Check refuses a view that leaves its storage. All arithmetic is checked.
func (v *View) Check() error {
	n, err := v.Shape.Numel()
	if err != nil {
		return err
	}
	if len(v.Stride) != len(v.Shape) {
		return fmt.Errorf("shape %v has rank %d, its strides %d", v.Shape, len(v.Shape), len(v.Stride))
	}
	if v.Meta {
		return nil
	}
	bytes, err := v.DType.Size(n)
	if err != nil {
		return err
	}
	have := v.Storage.Bytes / v.Item()
	if v.Offset < 0 || v.Offset > have {
		return fmt.Errorf("storage %q: offset %d is outside its %d elements", v.Storage.Key, v.Offset, have)
	}
	last := v.Offset
	for i, d := range v.Shape {
		if v.Stride[i] < 0 {
			return fmt.Errorf("stride %d is negative", v.Stride[i])
		}
		if n == 0 || d < 2 || v.Stride[i] == 0 {
			continue
		}
		if v.Stride[i] > (math.MaxInt64-last)/(d-1) {
			return fmt.Errorf("storage %q: shape %v with strides %v overflows 64 bits", v.Storage.Key, v.Shape, v.Stride)
		}
		last += (d - 1) * v.Stride[i]
	}
	if n > 0 && last >= have {
		return fmt.Errorf("storage %q: offset %d, shape %v, strides %v reach element %d of %d", v.Storage.Key, v.Offset, v.Shape, v.Stride, last, have)
	}
	if n > have && bytes > MaxExpanded {
		return fmt.Errorf("storage %q: %d elements are repeated to %v, %d bytes; more than %d are not expanded", v.Storage.Key, have, v.Shape, bytes, MaxExpanded)
	}
	return nil
}

// Dense says that the elements lie in row-major order without a gap.
func (v *View) Dense() bool {
	next := int64(1)
	for i := len(v.Shape) - 1; i >= 0; i-- {
		if v.Shape[i] != 1 && v.Stride[i] != next {
			return false
		}
		next *= v.Shape[i]
	}
	return true
}

// Shows says that the tensor is a record as it lies there, all of it.
func (v *View) Shows(rec *zipfile.Record) bool {
	return v.Storage.Base == 0 && v.Offset == 0 && v.Size() == rec.Size && v.Dense()
}

// Compare orders views of one record; 0 says that they show the same bytes.
func (v *View) Compare(w *View) int {
	flags := func(v *View) (n int) {
		for i, on := range []bool{v.Conj, v.Neg, v.Storage.DType == tensor.Invalid} {
			if on {
				n |= 1 << i
			}
		}
		return n
	}
	if c := cmp.Or(cmp.Compare(v.Storage.Base+v.Offset*v.Item(), w.Storage.Base+w.Offset*w.Item()), cmp.Compare(v.DType, w.DType),
		slices.Compare(v.Shape, w.Shape), cmp.Compare(flags(v), flags(w))); c != 0 {
		return c
	}
	for i, d := range v.Shape {
		if c := cmp.Compare(v.Stride[i], w.Stride[i]); c != 0 && d > 1 {
			return c
		}
	}
	return 0
}

// Extent is the bytes of the storage from the first element to the last.
func (v *View) Extent() (from, to int64) {
	last := v.Offset
	for i, d := range v.Shape {
		last += (d - 1) * v.Stride[i]
	}
	return v.Offset * v.Item(), (last + 1) * v.Item()
}

// Item is the size of an element.
func (v *View) Item() int64 {
	_, n := v.DType.Block()
	return n
}

func (v *View) Empty() bool {
	return slices.Contains(v.Shape, 0)
}

func (v *View) Size() int64 {
	n, err := v.Shape.Bytes(v.DType)
	if err != nil {
		return 0 // check has seen it
	}
	return n
}
