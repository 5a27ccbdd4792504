//go:build !purego

package cpu

import (
	"golang.org/x/sys/cpu"

	"wreg/registry/tensor"
)

//go:noescape
func f32ToBF16AVX2(dst, src *byte, n int)

//go:noescape
func bf16ToF32AVX2(dst, src *byte, n int)

//go:noescape
func f32ToF16AVX2(dst, src *byte, n int)

//go:noescape
func f16ToF32AVX2(dst, src *byte, n int)

//go:noescape
func bf16ToF16AVX2(dst, src *byte, n int)

//go:noescape
func f16ToBF16AVX2(dst, src *byte, n int)

//go:noescape
func e4m3To16AVX2(dst, src *byte, n int, c *e4m3Constants)

//go:noescape
func mulBF16AVX2(dst, src *byte, n int, c float32)

//go:noescape
func extremes16AVX2(src *byte, n int) (pos int16, neg uint16, zeros uint64)

//go:noescape
func extremes32AVX2(src *byte, n int) (pos int32, neg uint32, zeros uint64)

//go:noescape
func rangeAVX2(src *float32, n int) (lo, hi float32)

//go:noescape
func codesAVX2(q *uint8, src *float32, n int, scale, bias, most float32, nibbles bool)

// assembly gives the AVX2 kernels. x/sys/cpu does not report F16C; every processor
// with AVX2 has it.
func assembly() (kernels, bool) {
	if !cpu.X86.HasAVX2 {
		return kernels{}, false
	}
	e4m3 := func(c *e4m3Constants) func(dst, src *byte, n int) {
		return func(dst, src *byte, n int) { e4m3To16AVX2(dst, src, n, c) }
	}
	return kernels{
		path: "avx2",
		casts: map[pair]func(dst, src []byte) int{
			{tensor.F32, tensor.BF16}:    whole(f32ToBF16AVX2, 2, 4, 16),
			{tensor.F32, tensor.F16}:     whole(f32ToF16AVX2, 2, 4, 16),
			{tensor.BF16, tensor.F32}:    whole(bf16ToF32AVX2, 4, 2, 16),
			{tensor.BF16, tensor.F16}:    whole(bf16ToF16AVX2, 2, 2, 16),
			{tensor.F16, tensor.F32}:     whole(f16ToF32AVX2, 4, 2, 16),
			{tensor.F16, tensor.BF16}:    whole(f16ToBF16AVX2, 2, 2, 16),
			{tensor.F8E4M3, tensor.BF16}: whole(e4m3(e4m3ToBF16), 2, 1, 16),
			{tensor.F8E4M3, tensor.F16}:  whole(e4m3(e4m3ToF16), 2, 1, 16),
			{tensor.F8E4M3, tensor.F32}:  bothSteps(whole(e4m3(e4m3ToTop16), 2, 1, 16), whole(bf16ToF32AVX2, 4, 2, 16), 4, 1, 16),
		},
		mulBF16: func(dst, src []byte, c float32) int {
			n := min(len(dst), len(src)) / 2 / 16 * 16
			if n > 0 {
				mulBF16AVX2(&dst[0], &src[0], n, c)
			}
			return n
		},
		extremes16: func(b []byte) (int16, uint16, bool) {
			n := len(b) / 2 / 32 * 32
			if n == 0 {
				return extremes16(b)
			}
			pos, neg, zeros := extremes16AVX2(&b[0], n)
			p, g, zero := extremes16(b[2*n:])
			return max(pos, p), max(neg, g), zero || zeros != 0
		},
		extremes32: func(b []byte) (int32, uint32, bool) {
			n := len(b) / 4 / 16 * 16
			if n == 0 {
				return extremes32(b)
			}
			pos, neg, zeros := extremes32AVX2(&b[0], n)
			p, g, zero := extremes32(b[4*n:])
			return max(pos, p), max(neg, g), zero || zeros != 0
		},
		span: func(g []float32) (lo, hi float32) { return rangeAVX2(&g[0], len(g)) },
		codes: func(q []uint8, g []float32, scale, bias, most float32, nibbles bool) {
			codesAVX2(&q[0], &g[0], len(g), scale, bias, most, nibbles)
		},
	}, true
}
