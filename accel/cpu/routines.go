package cpu

import (
	"unsafe"

	"wreg/registry/tensor"
)

// routines are what is written in assembly, once for each instruction set. They
// trust their arguments: n is a multiple of lanes (codes4 and extremes32: of 16), and
// not 0 for the extremes, the span and the codes.
type routines struct {
	f32ToBF16, bf16ToF32, f32ToF16, f16ToF32, bf16ToF16, f16ToBF16 func(dst, src *byte, n int, stream bool)

	e4m3To16    func(dst, src *byte, n int, c *e4m3Constants, stream bool)
	dequantE4M3 func(dst, src *byte, blocks, blockCols int, factors *float32)
	extremes16  func(src *byte, n int) (pos int16, neg uint16, zeros uint64)
	extremes32  func(src *byte, n int) (pos int32, neg uint32, zeros uint64)
	span        func(src *float32, n int) (lo, hi float32)
	codes       func(q *uint8, src *float32, n int, scale, bias, most float32, nibbles bool)
	codes8      func(q *uint8, src *float32, n int, divisor float32)
	codes4      func(q *uint8, src *float32, n int, divisor float32, above *[7]float32)
}

// lanes is a multiple of the elements any routine does at a time.
const lanes = 32

// kernels wraps the routines so that slices of any length are safe to hand in.
func (r routines) kernels(path string) kernels {
	e4m3 := func(c *e4m3Constants) func(dst, src *byte, n int, stream bool) {
		return func(dst, src *byte, n int, stream bool) { r.e4m3To16(dst, src, n, c, stream) }
	}
	return kernels{
		path: path,
		casts: map[pair]func(dst, src []byte) int{
			{tensor.F32, tensor.BF16}:    whole(r.f32ToBF16, 2, 4),
			{tensor.F32, tensor.F16}:     whole(r.f32ToF16, 2, 4),
			{tensor.BF16, tensor.F32}:    whole(r.bf16ToF32, 4, 2),
			{tensor.BF16, tensor.F16}:    whole(r.bf16ToF16, 2, 2),
			{tensor.F16, tensor.F32}:     whole(r.f16ToF32, 4, 2),
			{tensor.F16, tensor.BF16}:    whole(r.f16ToBF16, 2, 2),
			{tensor.F8E4M3, tensor.BF16}: whole(e4m3(e4m3ToBF16), 2, 1),
			{tensor.F8E4M3, tensor.F16}:  whole(e4m3(e4m3ToF16), 2, 1),
			{tensor.F8E4M3, tensor.F32}:  bothSteps(whole(e4m3(e4m3ToTop16), 2, 1), whole(r.bf16ToF32, 4, 2), 4, 1),
		},
		dequantE4M3: func(dst, src []byte, blockCols int, factors []float32) {
			r.dequantE4M3(&dst[0], &src[0], len(factors), blockCols, &factors[0])
		},
		extremes16: func(b []byte) (int16, uint16, bool) {
			n := len(b) / 2 / lanes * lanes
			if n == 0 {
				return extremes16(b)
			}
			pos, neg, zeros := r.extremes16(&b[0], n)
			p, g, zero := extremes16(b[2*n:])
			return max(pos, p), max(neg, g), zero || zeros != 0
		},
		extremes32: func(b []byte) (int32, uint32, bool) {
			n := len(b) / 4 / lanes * lanes
			if n == 0 {
				return extremes32(b)
			}
			pos, neg, zeros := r.extremes32(&b[0], n)
			p, g, zero := extremes32(b[4*n:])
			return max(pos, p), max(neg, g), zero || zeros != 0
		},
		span: func(g []float32) (lo, hi float32) { return r.span(&g[0], len(g)) },
		codes: func(q []uint8, g []float32, scale, bias, most float32, nibbles bool) {
			r.codes(&q[0], &g[0], len(g), scale, bias, most, nibbles)
		},
		top: func(g []float32) uint32 {
			pos, neg, _ := r.extremes32((*byte)(unsafe.Pointer(&g[0])), len(g))
			return max(uint32(max(pos, 0)), neg&0x7FFFFFFF)
		},
		codes8: func(q []uint8, g []float32, divisor float32) { r.codes8(&q[0], &g[0], len(g), divisor) },
		codes4: func(q []uint8, g []float32, divisor float32, above *[7]float32) {
			r.codes4(&q[0], &g[0], len(g), divisor, above)
		},
	}
}

// streamBytes is the length of a result from which on a kernel writes past the
// caches: more than a second-level cache holds, so what comes next must read it from
// memory anyhow. Export's chunks are smaller.
const streamBytes = 4 << 20

// streamAlign is what the results must be aligned to for that: a cache line.
const streamAlign = 64

// whole makes a kernel of a routine that converts multiples of lanes elements.
func whole(routine func(dst, src *byte, n int, stream bool), sizeTo, sizeFrom int) func(dst, src []byte) int {
	return func(dst, src []byte) int {
		n := min(len(dst)/sizeTo, len(src)/sizeFrom) / lanes * lanes
		if n == 0 {
			return 0
		}
		skip := int(-uintptr(unsafe.Pointer(&dst[0])) % streamAlign)
		if n*sizeTo < streamBytes || skip%sizeTo != 0 {
			routine(&dst[0], &src[0], n, false)
			return n
		}
		routine(&dst[0], &src[0], lanes, false) // at least up to the first whole line
		skip /= sizeTo
		n = (n - skip) / lanes * lanes
		routine(&dst[skip*sizeTo], &src[skip*sizeFrom], n, true)
		return skip + n
	}
}

// bothSteps makes a kernel that goes through a third type of 2 bytes, a piece at a
// time, so that what lies between stays in the cache.
func bothSteps(first, second func(dst, src []byte) int, sizeTo, sizeFrom int) func(dst, src []byte) int {
	return func(dst, src []byte) (done int) {
		var between [4 << 10]byte
		for {
			n := min(len(dst)/sizeTo, len(src)/sizeFrom, len(between)/2) / lanes * lanes
			if n == 0 {
				return done
			}
			first(between[:2*n], src[:n*sizeFrom])
			second(dst[:n*sizeTo], between[:2*n])
			dst, src, done = dst[n*sizeTo:], src[n*sizeFrom:], done+n
		}
	}
}

// e4m3Constants say how a kernel makes 16-bit floats of e4m3 codes: a code without
// its sign moves left by shift and gets bias added; the eight subnormals are looked
// up, their lower bytes first. NaN is nan, with the sign bits that nanSign lets
// through.
type e4m3Constants struct {
	subnormals         [16]byte
	bias, nan, nanSign uint16
	_                  uint16
	shift              uint64
}

var (
	e4m3ToBF16 = e4m3Consts(e4m3BF16, 4, nanBF16, 0)
	e4m3ToF16  = e4m3Consts(e4m3F16, 7, nanF16, 0x8000)
	// e4m3ToTop16 gives the upper halves of float32: bf16, but for the NaN.
	e4m3ToTop16 = e4m3Consts(e4m3BF16, 4, nanF8toF32>>16, 0x8000)
)

func e4m3Consts(t *[256]uint16, shift int, nan, nanSign uint16) *e4m3Constants {
	c := &e4m3Constants{bias: t[8] - 8<<shift, nan: nan, nanSign: nanSign, shift: uint64(shift)}
	for i := range 8 {
		c.subnormals[i], c.subnormals[i+8] = uint8(t[i]), uint8(t[i]>>8)
	}
	return c
}
