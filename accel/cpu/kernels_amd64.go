//go:build !purego

package cpu

import "golang.org/x/sys/cpu"

//go:noescape
func f32ToBF16AVX2(dst, src *byte, n int, stream bool)

//go:noescape
func bf16ToF32AVX2(dst, src *byte, n int, stream bool)

//go:noescape
func f32ToF16AVX2(dst, src *byte, n int, stream bool)

//go:noescape
func f16ToF32AVX2(dst, src *byte, n int, stream bool)

//go:noescape
func bf16ToF16AVX2(dst, src *byte, n int, stream bool)

//go:noescape
func f16ToBF16AVX2(dst, src *byte, n int, stream bool)

//go:noescape
func e4m3To16AVX2(dst, src *byte, n int, c *e4m3Constants, stream bool)

//go:noescape
func dequantE4M3AVX2(dst, src *byte, blocks, blockCols int, factors *float32)

//go:noescape
func extremes16AVX2(src *byte, n int) (pos int16, neg uint16, zeros uint64)

//go:noescape
func extremes32AVX2(src *byte, n int) (pos int32, neg uint32, zeros uint64)

//go:noescape
func rangeAVX2(src *float32, n int) (lo, hi float32)

//go:noescape
func codesAVX2(q *uint8, src *float32, n int, scale, bias, most float32, nibbles bool)

//go:noescape
func codes4AVX2(q *uint8, src *float32, n int, divisor float32, above *[7]float32)

//go:noescape
func codes8AVX2(q *uint8, src *float32, n int, divisor float32)

// assembly gives the AVX2 kernels. x/sys/cpu does not report F16C; every processor
// with AVX2 has it.
func assembly() (kernels, bool) {
	if !cpu.X86.HasAVX2 {
		return kernels{}, false
	}
	return routines{
		f32ToBF16: f32ToBF16AVX2, bf16ToF32: bf16ToF32AVX2, f32ToF16: f32ToF16AVX2,
		f16ToF32: f16ToF32AVX2, bf16ToF16: bf16ToF16AVX2, f16ToBF16: f16ToBF16AVX2,
		e4m3To16: e4m3To16AVX2, dequantE4M3: dequantE4M3AVX2,
		extremes16: extremes16AVX2, extremes32: extremes32AVX2,
		span: rangeAVX2, codes: codesAVX2, codes4: codes4AVX2, codes8: codes8AVX2,
	}.kernels("avx2"), true
}
