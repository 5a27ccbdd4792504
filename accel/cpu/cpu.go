// Package cpu computes on tensor bytes with the processor: first in plain Go, which
// is the truth, then with short assembly that must give the same bytes.
//
// Most users want accel.CPU, which is New. Reference is the plain Go alone, for
// comparing.
//
// Invariants: buffers are raw little-endian bytes of any alignment; lengths
// must match exactly and dst must not overlap src, else the call is an error and
// nothing is written; the NaN policy is in convert.go.
package cpu

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"unsafe"

	"wreg/registry/tensor"
)

var le = binary.LittleEndian

// Device computes with the processor. It holds no state: all methods are safe for
// concurrent use.
type Device struct {
	k *kernels
}

// New uses the fastest kernels this processor has.
func New() Device { return Device{&fastest} }

// Reference uses plain Go only.
func Reference() Device { return Device{&plain} }

// Name is "cpu".
func (d Device) Name() string { return "cpu" }

// Path says which kernels run: "go", "avx2", "neon".
func (d Device) Path() string { return d.k.path }

// need fails unless p has the bytes of n elements of size bytes each.
func need(what string, p []byte, n, size int) error {
	if hi, want := bits.Mul64(uint64(n), uint64(size)); n < 0 || size < 0 || hi != 0 || want != uint64(len(p)) {
		return fmt.Errorf("%s has %d bytes, want %d elements of %d bytes", what, len(p), n, size)
	}
	return nil
}

// apart fails when two buffers share a byte: a kernel that reads what it has
// written would depend on its vector width.
func apart(aName string, a []byte, bName string, b []byte) error {
	if len(a) == 0 || len(b) == 0 {
		return nil
	}
	a0, b0 := uintptr(unsafe.Pointer(&a[0])), uintptr(unsafe.Pointer(&b[0]))
	if a0 < b0+uintptr(len(b)) && b0 < a0+uintptr(len(a)) {
		return fmt.Errorf("%s and %s overlap: give %s its own buffer", aName, bName, aName)
	}
	return nil
}

// first gives the first error there is.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// size is the bytes of one element of a type whose elements fill whole bytes.
func size(dt tensor.DType) int {
	if elems, bytes := dt.Block(); elems == 1 {
		return int(bytes)
	}
	return 0
}

// computable reports the types arithmetic is done in.
func computable(dt tensor.DType) bool {
	return dt == tensor.F32 || dt == tensor.F16 || dt == tensor.BF16
}
