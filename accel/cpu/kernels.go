package cpu

import "os"

// kernels are the fast paths of one instruction set. A kernel does as many whole
// vectors as fit and says how many elements that was; plain Go does the rest. What
// is nil, plain Go does whole.
type kernels struct {
	path  string
	casts map[pair]func(dst, src []byte) (done int)

	// mulBF16 multiplies bf16 by a factor, rounding to float32 and then to bf16. dst
	// may be src.
	mulBF16 func(dst, src []byte, c float32) (done int)

	// extremes16 and extremes32 are whole: they do their own rest.
	extremes16 func(b []byte) (pos int16, neg uint16, zero bool)
	extremes32 func(b []byte) (pos int32, neg uint32, zero bool)

	// span gives the least and the largest of a group, codes the affine codes of
	// one, packed two a byte when nibbles says so. Groups are multiples of 32.
	span  func(g []float32) (lo, hi float32)
	codes func(q []uint8, g []float32, scale, bias, most float32, nibbles bool)
}

var (
	plain   = kernels{path: "go"}
	fastest = pick()
)

// pick decides which kernels New uses. WREG_NOASM=1 leaves plain Go.
func pick() kernels {
	if os.Getenv("WREG_NOASM") == "" {
		if k, ok := assembly(); ok {
			return k
		}
	}
	return plain
}

// whole makes a kernel of a routine that converts multiples of vector elements.
func whole(routine func(dst, src *byte, n int), sizeTo, sizeFrom, vector int) func(dst, src []byte) int {
	return func(dst, src []byte) int {
		n := min(len(dst)/sizeTo, len(src)/sizeFrom) / vector * vector
		if n > 0 {
			routine(&dst[0], &src[0], n)
		}
		return n
	}
}

// bothSteps makes a kernel that goes through a third type of 2 bytes, a piece at a
// time, so that what lies between stays in the cache.
func bothSteps(first, second func(dst, src []byte) int, sizeTo, sizeFrom, vector int) func(dst, src []byte) int {
	return func(dst, src []byte) (done int) {
		var between [4 << 10]byte
		for {
			n := min(len(dst)/sizeTo, len(src)/sizeFrom, len(between)/2) / vector * vector
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
