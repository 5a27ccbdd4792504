// Package accel computes on tensor bytes: casts, scaling, dequantization,
// quantization, permutation, statistics. Everything else in wreg moves bytes.
//
// Most users need CPU (the device that is always there) and the methods of
// Device.
//
// Invariants: buffers are raw little-endian bytes; dst and src must not
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

	// Cast converts len(src)/size(from) elements. Pairs: any of f64, f32, f16, bf16,
	// f8_e4m3, f8_e5m2 to any of f32, f16, bf16 (CanCast). Rounds to nearest, ties to
	// even; overflow becomes infinity; a NaN becomes 0x7FC0 in bf16, sign|0x7D00 in
	// f16. f64 goes through f32.
	Cast(dst []byte, to tensor.DType, src []byte, from tensor.DType) error

	// AddScalar and MulScalar round c to dt first, compute in float32, round once.
	AddScalar(dst, src []byte, dt tensor.DType, c float64) error
	MulScalar(dst, src []byte, dt tensor.DType, c float64) error

	// DequantFP8 turns rows x cols e4m3 codes into bf16: code times the scale of its
	// block. scale holds ceil(rows/blockRows) x ceil(cols/blockCols) values of
	// scaleType (f32 or bf16). With f32 scales the product is rounded to f32, then to
	// bf16. row0 is the tensor row that src starts at, so a tensor can be done in tiles.
	DequantFP8(dst, src []byte, row0, rows, cols int, scale []byte, scaleType tensor.DType, blockRows, blockCols int) error

	// MulVec multiplies row r of rows x cols elements by vec[r]; vec has the same type.
	MulVec(dst, src []byte, dt tensor.DType, rows, cols int, vec []byte) error

	// Permute2 transposes the last two axes of n matrices of rows x cols elements of
	// size bytes each.
	Permute2(dst, src []byte, n, rows, cols, size int) error

	// Quantize turns rows x cols elements of dt into packed codes, scales and biases
	// of the sizes that spec.Sizes gives: what mx.quantize gives on x86-64. The fp
	// modes have no biases: pass nil.
	Quantize(dst, scales, biases, src []byte, dt tensor.DType, rows, cols int, spec QuantSpec) error

	// Dequantize goes back to rows x cols elements of dt, which for affine is also
	// the type of scales and biases.
	Dequantize(dst, src, scales, biases []byte, dt tensor.DType, rows, cols int, spec QuantSpec) error
}

// QuantSpec says how to quantize; its zero value is mlx's default (affine, 4 bits,
// groups of 64).
type QuantSpec = cpu.QuantSpec

// The modes of a QuantSpec.
const (
	Affine = cpu.Affine
	MXFP4  = cpu.MXFP4
	NVFP4  = cpu.NVFP4
	MXFP8  = cpu.MXFP8
)

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

// Widen gives the numbers of p, whose type is Scannable, as float64: exactly, but for
// integers of 64 bits, of which it gives the nearest.
func Widen(dst []float64, dt tensor.DType, p []byte) error { return cpu.Widen(dst, dt, p) }

// CanCast reports whether Cast knows the pair.
func CanCast(from, to tensor.DType) bool { return cpu.CanCast(from, to) }

// Half is a float16 as float32.
func Half(h uint16) float32 { return cpu.Half(h) }

// RepackAWQ turns AWQ's qweight, i32 [in, out/8], into affine 4-bit codes, u32
// [out, in/8]. AWQ's scales [in/group, out] become affine scales by Permute2.
func RepackAWQ(dst, src []byte, in, out int) error { return cpu.RepackAWQ(dst, src, in, out) }

// BiasesAWQ gives the affine biases [out, groups] of AWQ weights from qzeros, i32
// [groups, out/8] (nil: every zero is 8), and the transposed scales.
func BiasesAWQ(dst, zeros, scales []byte, dt tensor.DType, groups, out int) error {
	return cpu.BiasesAWQ(dst, zeros, scales, dt, groups, out)
}
