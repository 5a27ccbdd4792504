//go:build !purego

package cpu

//go:noescape
func f32ToBF16NEON(dst, src *byte, n int, stream bool)

//go:noescape
func bf16ToF32NEON(dst, src *byte, n int, stream bool)

//go:noescape
func f32ToF16NEON(dst, src *byte, n int, stream bool)

//go:noescape
func f16ToF32NEON(dst, src *byte, n int, stream bool)

//go:noescape
func bf16ToF16NEON(dst, src *byte, n int, stream bool)

//go:noescape
func f16ToBF16NEON(dst, src *byte, n int, stream bool)

//go:noescape
func e4m3To16NEON(dst, src *byte, n int, c *e4m3Constants, stream bool)

//go:noescape
func dequantE4M3NEON(dst, src *byte, blocks, blockCols int, factors *float32)

//go:noescape
func extremes16NEON(src *byte, n int) (pos int16, neg uint16, zeros uint64)

//go:noescape
func extremes32NEON(src *byte, n int) (pos int32, neg uint32, zeros uint64)

//go:noescape
func rangeNEON(src *float32, n int) (lo, hi float32)

//go:noescape
func codesNEON(q *uint8, src *float32, n int, scale, bias, most float32, nibbles bool)

//go:noescape
func codes4NEON(q *uint8, src *float32, n int, divisor float32, above *[7]float32)

//go:noescape
func codes8NEON(q *uint8, src *float32, n int, divisor float32)

// assembly gives the NEON kernels, which every arm64 has.
func assembly() (kernels, bool) {
	return routines{
		f32ToBF16: f32ToBF16NEON, bf16ToF32: bf16ToF32NEON, f32ToF16: f32ToF16NEON,
		f16ToF32: f16ToF32NEON, bf16ToF16: bf16ToF16NEON, f16ToBF16: f16ToBF16NEON,
		e4m3To16: e4m3To16NEON, dequantE4M3: dequantE4M3NEON,
		extremes16: extremes16NEON, extremes32: extremes32NEON,
		span: rangeNEON, codes: codesNEON, codes4: codes4NEON, codes8: codes8NEON,
	}.kernels("neon"), true
}
