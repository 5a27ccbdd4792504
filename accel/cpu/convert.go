package cpu

import (
	"math"
	"sync"

	"github.com/x448/float16"

	"wreg/registry/tensor"
)

// The NaNs that conversions write. They are MLX's on x86-64, so that an export has
// the same bytes wherever it runs.
const (
	nanBF16    = 0x7FC0     // the sign is lost
	nanF16     = 0x7D00     // the sign is kept
	nanF8toF32 = 0x7FF00000 // of an e4m3 code; the sign is kept
	defaultNaN = 0xFFC00000 // what x86 makes of inf-inf and 0*inf
)

func isNaN32(u uint32) bool { return u&0x7FFFFFFF > 0x7F800000 }

// f32ToBF16 rounds to nearest, ties to even; what is too large becomes infinite.
func f32ToBF16(u uint32) uint16 {
	if isNaN32(u) {
		return nanBF16
	}
	return uint16((u + 0x7FFF + u>>16&1) >> 16)
}

// f32ToF16 rounds to nearest, ties to even, into subnormals too.
func f32ToF16(u uint32) uint16 {
	const least, infinite = 0x38800000, 0x47800000 // 2^-14 and 2^16
	if m := u & 0x7FFFFFFF; m >= least && m < infinite {
		// Normal on both sides, as weights are: another bias, and rounding, which may
		// carry into the exponent up to infinity.
		return uint16(u>>16)&0x8000 | uint16((m-112<<23+0xFFF+m>>13&1)>>13)
	} else if m > 0x7F800000 {
		return uint16(u>>16)&0x8000 | nanF16
	}
	return float16.Fromfloat32(math.Float32frombits(u)).Bits()
}

// f16ToF32 is exact. A signalling NaN becomes quiet and keeps its payload, as the
// conversion instructions of x86 and ARM have it.
func f16ToF32(h uint16) uint32 { return math.Float32bits(Half(h)) }

// Half is a float16 as float32.
func Half(h uint16) float32 { return float16.Frombits(h).Float32() }

// f64ToF32 is the conversion instruction, NaNs included. 16-bit results go through
// it, so they are rounded twice: MLX does the same.
func f64ToF32(u uint64) uint32 { return math.Float32bits(float32(math.Float64frombits(u))) }

// e4m3ToF32: an e4m3 code without its sign is the middle of a float16 with an
// exponent 8 too small.
func e4m3ToF32(b uint8) uint32 {
	sign := uint32(b&0x80) << 24
	if b&0x7F == 0x7F {
		return sign | nanF8toF32
	}
	return sign | math.Float32bits(float16.Frombits(uint16(b&0x7F)<<7).Float32()*256)
}

// e5m2ToF32: an e5m2 code is the upper half of a float16.
func e5m2ToF32(b uint8) uint32 { return f16ToF32(uint16(b) << 8) }

// Tables of every value of a small type. The large ones are made at first use.
var (
	e4m3F32, e4m3F16, e4m3BF16 = tables8(e4m3ToF32)
	e5m2F32, e5m2F16, e5m2BF16 = tables8(e5m2ToF32)

	f16F32  = sync.OnceValue(func() *[65536]uint32 { return table16(f16ToF32) })
	f16BF16 = sync.OnceValue(func() *[65536]uint16 { return table16(func(h uint16) uint16 { return f32ToBF16(f16ToF32(h)) }) })
	bf16F16 = sync.OnceValue(func() *[65536]uint16 { return table16(func(h uint16) uint16 { return f32ToF16(uint32(h) << 16) }) })
)

func tables8(toF32 func(uint8) uint32) (f32 *[256]uint32, f16, bf16 *[256]uint16) {
	f32, f16, bf16 = new([256]uint32), new([256]uint16), new([256]uint16)
	for i := range f32 {
		u := toF32(uint8(i))
		f32[i], f16[i], bf16[i] = u, f32ToF16(u), f32ToBF16(u)
	}
	return f32, f16, bf16
}

func table16[T any](convert func(uint16) T) *[65536]T {
	t := new([65536]T)
	for i := range t {
		t[i] = convert(uint16(i))
	}
	return t
}

// loadF32 gives the elements of a float type as float32; storeF32 rounds back.
// Types other than f32, f16 and bf16 are the caller's mistake.
func loadF32(dt tensor.DType, p []byte, i int) float32 {
	switch dt {
	case tensor.F32:
		return math.Float32frombits(le.Uint32(p[4*i:]))
	case tensor.BF16:
		return math.Float32frombits(uint32(le.Uint16(p[2*i:])) << 16)
	default:
		return math.Float32frombits(f16ToF32(le.Uint16(p[2*i:])))
	}
}

func storeF32(dt tensor.DType, p []byte, i int, v float32) {
	u := bitsOf(dt, v)
	if dt == tensor.F32 {
		le.PutUint32(p[4*i:], u)
	} else {
		le.PutUint16(p[2*i:], uint16(u))
	}
}

// bitsOf rounds to a type and gives the bits it has there.
func bitsOf(dt tensor.DType, v float32) uint32 {
	u := math.Float32bits(v)
	switch dt {
	case tensor.BF16:
		return uint32(f32ToBF16(u))
	case tensor.F16:
		return uint32(f32ToF16(u))
	}
	return u
}

// round32 rounds to a type and back.
func round32(dt tensor.DType, v float32) float32 {
	u := math.Float32bits(v)
	switch dt {
	case tensor.BF16:
		return math.Float32frombits(uint32(f32ToBF16(u)) << 16)
	case tensor.F16:
		return math.Float32frombits(f16ToF32(f32ToF16(u)))
	}
	return v
}
