package cpu

import (
	"math"
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
	var values [maxGroup]float32
	var codes [maxGroup]uint8
	g, q := values[:spec.Group], codes[:spec.Group]
	in, out := spec.Group*size(dt), spec.Group*spec.Bits/8
	nearest := nearestE2M1(dt, spec.Mode)
	load := d.loader(dt)
	for i := 0; len(src) > 0; i++ {
		load(g, src[:in])
		var divisor float32
		scales[i], divisor = fpScale(g, dt, spec.Mode)
		for j, v := range g {
			v = round32(dt, quiet(div, v, divisor))
			if spec.Bits == 8 {
				q[j] = f32ToE4M3(math.Float32bits(v))
			} else {
				q[j] = nearest(v)
			}
		}
		pack(dst[:out], q, spec.Bits)
		src, dst = src[in:], dst[out:]
	}
}

// fpScale gives a group's scale as stored and as the divisor of its elements. A
// group that holds a NaN or an infinity has divisor 0 in the mx modes: MLX takes
// the exponent of what is not finite as the least integer there is.
func fpScale(g []float32, dt tensor.DType, mode string) (code uint8, divisor float32) {
	var top float32
	for _, v := range g {
		if a := abs(v); a > top || a != a {
			top = a
		}
		if top != top {
			break
		}
	}
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
	if s != 0 {
		var fraction float64
		if fraction, e = math.Frexp(float64(s)); fraction == .5 {
			e-- // s is a power of two itself
		}
	}
	return uint8(e + 127), round32(dt, float32(math.Ldexp(1, e)))
}

// nearestE2M1 finds the code nearest to a value of dt: the first, when several are.
// mxfp4 rounds the distances to dt, nvfp4 to float32.
func nearestE2M1(dt tensor.DType, mode string) func(float32) uint8 {
	distances := dt
	if mode == NVFP4 {
		distances = tensor.F32
	}
	if dt == tensor.F32 {
		return func(v float32) uint8 {
			if a := abs(v); a < 1<<10 {
				return thresholdE2M1(v)
			}
			return searchE2M1(v, tensor.F32)
		}
	}
	t := e2m1Tables[dt == tensor.F16][distances == tensor.F32]()
	return func(v float32) uint8 {
		if dt == tensor.BF16 {
			return t[math.Float32bits(v)>>16]
		}
		return t[f32ToF16(math.Float32bits(v))]
	}
}

func div(a, b float32) float32 { return a / b }

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
	for _, half := range [7]float32{.25, .75, 1.25, 1.75, 2.5, 3.5, 5} {
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
	s := round32(dt, float32(math.Ldexp(1, int(scale)-127)))
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
