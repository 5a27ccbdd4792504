package cpu

import (
	"math"

	"wreg/registry/tensor"
)

// maxGroup is the largest group of any mode.
const maxGroup = 128

// affineFloor is the smallest scale of a group, so that equal elements do not
// divide by zero.
const affineFloor = float32(1e-7)

// quantizeAffine does whole groups one after the other: since a group's codes fill
// whole words, rows need no attention.
func (d Device) quantizeAffine(dst, scales, biases, src []byte, dt tensor.DType, spec QuantSpec) {
	var values [maxGroup]float32
	var codes [maxGroup]uint8
	g, q := values[:spec.Group], codes[:spec.Group]
	in, out := spec.Group*size(dt), spec.Group*spec.Bits/8
	load := d.loader(dt)
	for i := 0; len(src) > 0; i++ {
		load(g, src[:in])
		scale, bias := affineScale(d.span(g, spec.Bits), spec.Bits)
		if d.k.codes == nil {
			affineCodes(q, g, scale, bias, spec.Bits)
			pack(dst[:out], q, spec.Bits)
		} else if most := float32(uint(1)<<spec.Bits - 1); spec.Bits == 4 {
			d.k.codes(dst[:out], g, scale, bias, most, true)
		} else {
			d.k.codes(q, g, scale, bias, most, false)
			pack(dst[:out], q, spec.Bits)
		}
		storeF32(dt, scales, i, scale)
		storeF32(dt, biases, i, bias)
		src, dst = src[in:], dst[out:]
	}
}

// ends are the least and the largest of a group, NaNs passed over.
type ends struct{ lo, hi float32 }

func (d Device) span(g []float32, bits int) ends {
	// With one bit the sign of a zero counts, which depends on the order of search.
	if d.k.span != nil && bits > 1 {
		lo, hi := d.k.span(g)
		return ends{lo, hi}
	}
	lo, hi := float32(math.Inf(1)), float32(math.Inf(-1))
	for _, v := range g {
		if v < lo { // the first of +0 and -0 stays
			lo = v
		}
		if v > hi {
			hi = v
		}
	}
	return ends{lo, hi}
}

// affineScale chooses scale and bias so that the end of the range that is farther
// from zero, and zero itself, are met exactly.
func affineScale(e ends, bits int) (scale, bias float32) {
	lo, hi := e.lo, e.hi
	if bits == 1 {
		return floor(hi - lo), lo
	}
	scale = floor((hi - lo) / float32(uint(1)<<bits-1))
	edge := lo
	if !(abs(lo) > abs(hi)) {
		scale, edge = -scale, hi
	}
	if n := float32(math.RoundToEven(float64(edge / scale))); n != 0 {
		return edge / n, edge
	}
	return scale, 0
}

func floor(scale float32) float32 {
	if scale < affineFloor {
		return affineFloor
	}
	return scale
}

func abs(v float32) float32 { return math.Float32frombits(math.Float32bits(v) &^ (1 << 31)) }

// affineCodes rounds (v-bias)/scale to the nearest code, ties to even. Clamping
// comes first: it does not change the result and makes the rounding one addition.
// What is not a number becomes code 0.
func affineCodes(q []uint8, g []float32, scale, bias float32, bits int) {
	const round = 1 << 23 // the last bit of a float32 this large is worth 1
	n := float32(uint(1)<<bits - 1)
	q = q[:len(g)]
	for i, v := range g {
		r := (v - bias) / scale
		if !(r > 0) {
			r = 0
		}
		if r > n {
			r = n
		}
		q[i] = uint8(math.Float32bits(r + round))
	}
}

// dequantizeAffine rounds the product to dt, then the sum.
func dequantizeAffine(dst, src, scales, biases []byte, dt tensor.DType, spec QuantSpec) {
	var codes [maxGroup]uint8
	q := codes[:spec.Group]
	in, out := spec.Group*spec.Bits/8, spec.Group*size(dt)
	var values [256]float32
	table := values[:1<<spec.Bits]
	for i := 0; len(src) > 0; i++ {
		scale, bias := loadF32(dt, scales, i), loadF32(dt, biases, i)
		value := func(code int) float32 {
			p := round32(dt, quiet(mul, float32(code), scale))
			return quiet(sum, p, bias)
		}
		unpack(q, src[:in], spec.Bits)
		if len(table) <= spec.Group {
			for code := range table {
				table[code] = value(code)
			}
			for j, code := range q {
				storeF32(dt, dst, j, table[code])
			}
		} else {
			for j, code := range q {
				storeF32(dt, dst, j, value(int(code)))
			}
		}
		src, dst = src[in:], dst[out:]
	}
}

func mul(a, b float32) float32 { return a * b }
func sum(a, b float32) float32 { return a + b }
