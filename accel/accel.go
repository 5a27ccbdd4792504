// Package accel computes on tensor bytes: casts, scaling, dequantization,
// quantization, permutation, statistics. Everything else in wreg moves bytes.
//
// Most users need CPU (the device that is always there) and the methods of
// Device.
//
// Rules that bite: buffers are raw little-endian bytes; dst and src must not
// overlap; lengths must match exactly, wrong ones are errors, never a crash; every
// backend equals accel/cpu's plain Go reference bit for bit, NaNs too
// (docs/accel.md has the NaN policy).
package accel

import (
	"wreg/accel/cpu"
	"wreg/registry/tensor"
)

// Device computes. Methods are safe for concurrent use.
type Device interface {
	Name() string // "cpu", "metal"

	// Cast converts len(src)/size(from) elements. Pairs: any of f32, f16, bf16, f64
	// to any of f32, f16, bf16, and f8_e4m3 to those. NaN policy: f32->bf16 gives
	// 0x7FC0; ->f16 gives sign|0x7D00; overflow becomes infinity.
	Cast(dst []byte, to tensor.DType, src []byte, from tensor.DType) error

	// AddScalar and MulScalar round c to dt first, compute in float32, round once.
	AddScalar(dst, src []byte, dt tensor.DType, c float64) error
	MulScalar(dst, src []byte, dt tensor.DType, c float64) error

	// DequantFP8 turns rows x cols e4m3 codes into bf16: code times the scale of its
	// block. scale holds ceil(rows/blockRows) x ceil(cols/blockCols) values of
	// scaleType (f32 or bf16). With f32 scales the product is rounded to f32, then to
	// bf16. row0 is the tensor row that src starts at, so a tensor can be done in tiles.
	DequantFP8(dst, src []byte, row0, rows, cols int, scale []byte, scaleType tensor.DType, blockRows, blockCols int) error

	// Permute2 transposes the last two axes of n matrices of rows x cols elements of
	// size bytes each.
	Permute2(dst, src []byte, n, rows, cols, size int) error
}

// CPU is the device that is always there.
func CPU() Device { return cpu.New() }

// Stats scans elements of a number type and adds what it sees to s. first says
// that s is empty. p must hold whole elements. Types without numbers are an error;
// Scannable says which those are.
func Stats(s *tensor.Stats, dt tensor.DType, p []byte, first bool) error {
	return cpu.New().Stats(s, dt, p, first)
}

// Scannable reports whether Stats understands dt: every type of tensor.DType.Float
// and the integers.
func Scannable(dt tensor.DType) bool { return cpu.Scannable(dt) }
