package cpu

import (
	"math"
	"math/bits"
	"sync"

	"wreg/registry/tensor"
)

// e2m1 is what the sixteen 4-bit codes stand for.
var e2m1 = [16]float32{0, .5, 1, 1.5, 2, 3, 4, 6, float32(math.Copysign(0, -1)), -.5, -1, -1.5, -2, -3, -4, -6}

// f32ToE4M3 rounds to nearest, ties to even, and saturates at 448: what is larger,
// infinite or not a number becomes 0x7E.
func f32ToE4M3(u uint32) uint8 {
	sign, a := uint8(u>>24)&0x80, u&0x7FFFFFFF
	switch {
	case a >= 0x43E00000: // 448
		return sign | 0x7E
	case a < 0x3C800000: // 2^-6: adding 2^14 leaves the subnormal code in the last bits
		return sign | uint8(math.Float32bits(math.Float32frombits(a)+1<<14)-141<<23)
	}
	return sign | uint8((a+0x7FFFF+a>>20&1-120<<23)>>20)
}

// quantizeFP does the modes whose codes are small floats. Every step rounds to dt,
// as MLX's CPU does.
func (d Device) quantizeFP(dst, scales, src []byte, dt tensor.DType, spec QuantSpec) {
	var values [piece]float32
	var codes [maxGroup]uint8
	q, out := codes[:spec.Group], spec.Group*spec.Bits/8
	load, code := d.loader(dt), fpCode(dt, spec)
	above := e2m1Above(dt)
	for i := 0; len(src) > 0; {
		n := min(piece, len(src)/size(dt))
		load(values[:n], src[:n*size(dt)])
		src = src[n*size(dt):]
		for at := 0; at < n; at += spec.Group {
			g := values[at : at+spec.Group]
			top := math.Float32frombits(d.top(g))
			var divisor float32
			scales[i], divisor = fpScale(top, dt, spec.Mode)
			switch {
			case d.k.codes4 != nil && spec.Bits == 4 && top/divisor <= e2m1Orderly:
				d.k.codes4(dst[:out], g, divisor, above)
			case d.k.codes8 != nil && spec.Bits == 8 && divisor != 0:
				// A power of two: the quotient needs no rounding to dt, unless it is
				// so small that its code is 0 either way.
				d.k.codes8(dst[:out], g, divisor)
			default:
				for j, v := range g {
					r := v / divisor
					if divisor == 0 { // only here is a NaN made, which quiet gives its sign
						r = quiet(div, v, divisor)
					}
					q[j] = code(r)
				}
				pack(dst[:out], q, spec.Bits)
			}
			dst = dst[out:]
			i++
		}
	}
}

// top gives the bits of the largest magnitude of a group, or of a NaN if there is
// one: as integers those are larger than any number.
func (d Device) top(g []float32) (top uint32) {
	if d.k.top != nil {
		return d.k.top(g)
	}
	for _, v := range g {
		top = max(top, math.Float32bits(v)&0x7FFFFFFF)
	}
	return top
}

// fpScale gives a group's scale as stored and as the divisor of its elements, from
// its largest magnitude. A group that holds a NaN or an infinity has divisor 0 in
// the mx modes: MLX takes the exponent of what is not finite as the least integer
// there is.
func fpScale(top float32, dt tensor.DType, mode string) (code uint8, divisor float32) {
	limit := float32(6)
	if mode == MXFP8 {
		limit = 448
	}
	s := round32(dt, top/limit)
	if mode == NVFP4 {
		code = f32ToE4M3(math.Float32bits(s))
		return code, math.Float32frombits(e4m3F32[code])
	}
	if s != s || math.IsInf(float64(s), 0) {
		if dt == tensor.F32 {
			return 0x80, 0 // the last byte of -2^31+127, rounded to float32
		}
		return 0, 0
	}
	e := 0
	if u := math.Float32bits(s); u >= 1<<23 {
		e = int(u>>23) - 127
		if u&0x7FFFFF != 0 { // not a power of two itself
			e++
		}
	} else if u != 0 { // subnormal
		e = bits.Len32(u-1) - 149
	}
	return uint8(e + 127), round32(dt, powerOfTwo(e))
}

// powerOfTwo gives 2^e, also where it is subnormal or infinite.
func powerOfTwo(e int) float32 {
	if e >= -126 && e <= 127 {
		return math.Float32frombits(uint32(e+127) << 23)
	}
	return float32(math.Ldexp(1, e))
}

// fpCode gives the function that rounds a quotient to dt and finds its code.
func fpCode(dt tensor.DType, spec QuantSpec) func(float32) uint8 {
	switch {
	case spec.Bits == 8 && dt == tensor.F32:
		return func(v float32) uint8 { return f32ToE4M3(math.Float32bits(v)) }
	case spec.Bits == 8:
		t := e4m3Of16(dt)
		return func(v float32) uint8 { return t[uint16(bitsOf(dt, v))] }
	}
	// mxfp4 rounds the distances to the codes to dt, nvfp4 to float32.
	distances := dt
	if spec.Mode == NVFP4 {
		distances = tensor.F32
	}
	if dt == tensor.F32 {
		return func(v float32) uint8 {
			if abs(v) <= e2m1Orderly {
				return thresholdE2M1(v)
			}
			return searchE2M1(v, tensor.F32)
		}
	}
	t := e2m1Tables[dt == tensor.F16][distances == tensor.F32]()
	return func(v float32) uint8 { return t[uint16(bitsOf(dt, v))] }
}

// e2m1Orderly is a magnitude up to which the nearest code is a matter of
// thresholds in every type. Far beyond, distances round to the same number and the
// first code wins.
const e2m1Orderly = 448

// e2m1Half lies half way between each two magnitudes of e2m1. What is exactly there
// has the code nearer to zero.
var e2m1Half = [7]float32{.25, .75, 1.25, 1.75, 2.5, 3.5, 5}

// e2m1Above gives the thresholds for quotients not yet rounded to dt: half a step of
// dt further, from where on they round to more. Half way itself they round back,
// since the thresholds are even.
func e2m1Above(dt tensor.DType) *[7]float32 {
	above := e2m1Half
	if dt != tensor.F32 {
		for i, t := range above {
			next := math.Float32frombits(math.Float32bits(t) + 1<<16)
			if dt == tensor.F16 {
				next = math.Float32frombits(math.Float32bits(t) + 1<<13)
			}
			above[i] = (t + next) / 2
		}
	}
	return &above
}

func div(a, b float32) float32 { return a / b }

// e4m3Of16 is f32ToE4M3 for every value of a 16-bit type.
func e4m3Of16(dt tensor.DType) *[65536]uint8 {
	if dt == tensor.BF16 {
		return e4m3OfBF16()
	}
	return e4m3OfF16()
}

var (
	e4m3OfBF16 = sync.OnceValue(func() *[65536]uint8 { return table16(func(u uint16) uint8 { return f32ToE4M3(uint32(u) << 16) }) })
	e4m3OfF16  = sync.OnceValue(func() *[65536]uint8 { return table16(func(u uint16) uint8 { return f32ToE4M3(f16ToF32(u)) }) })
)

// e2m1Tables is searchE2M1 for every value of bf16 (false) and f16 (true), with
// distances rounded to that type (false) or to float32 (true).
var e2m1Tables = func() (tables map[bool]map[bool]func() *[65536]uint8) {
	tables = map[bool]map[bool]func() *[65536]uint8{}
	for f16, dt := range map[bool]tensor.DType{false: tensor.BF16, true: tensor.F16} {
		tables[f16] = map[bool]func() *[65536]uint8{}
		for wide, distances := range map[bool]tensor.DType{false: dt, true: tensor.F32} {
			tables[f16][wide] = sync.OnceValue(func() *[65536]uint8 {
				return table16(func(u uint16) uint8 {
					var b [2]byte
					le.PutUint16(b[:], u)
					return searchE2M1(loadF32(dt, b[:], 0), distances)
				})
			})
		}
	}
	return tables
}()

func searchE2M1(v float32, distances tensor.DType) (code uint8) {
	least := float32(math.Inf(1))
	for i, c := range e2m1 {
		if d := abs(round32(distances, v-c)); d < least {
			least, code = d, uint8(i)
		}
	}
	return code
}

// thresholdE2M1 is searchE2M1 for float32 distances that are exact: half way
// between two codes the one nearer to zero comes first.
func thresholdE2M1(v float32) (code uint8) {
	a := abs(v)
	for _, half := range e2m1Half {
		if a > half {
			code++
		}
	}
	if v < 0 && code != 0 {
		code |= 8
	}
	return code
}

// dequantizeFP multiplies each code's value by its group's scale in float32 and
// rounds once to dt. There are 256 scales and few codes, so each product is made
// once.
func dequantizeFP(dst, src, scales []byte, dt tensor.DType, spec QuantSpec) {
	var codes [maxGroup]uint8
	var products [256]*[256]uint32
	q := codes[:spec.Group]
	in, out := spec.Group*spec.Bits/8, spec.Group*size(dt)
	for _, scale := range scales {
		if products[scale] == nil {
			products[scale] = fpProducts(scale, dt, spec)
		}
		unpack(q, src[:in], spec.Bits)
		storeCodes(dst[:out], q, products[scale], size(dt))
		src, dst = src[in:], dst[out:]
	}
}

func fpProducts(scale uint8, dt tensor.DType, spec QuantSpec) *[256]uint32 {
	s := round32(dt, powerOfTwo(int(scale)-127))
	if spec.Mode == NVFP4 {
		s = math.Float32frombits(e4m3F32[scale])
	}
	t := new([256]uint32)
	for code := range 1 << spec.Bits {
		v := e2m1[code&15]
		if spec.Bits == 8 {
			v = math.Float32frombits(e4m3F32[code])
		}
		t[code] = bitsOf(dt, quiet(mul, v, s))
	}
	return t
}
