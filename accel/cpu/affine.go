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

// piece is how many elements are widened to float32 at a time: a multiple of every
// group, small enough for the first-level cache.
const piece = 2048

// quantizeAffine does whole groups one after the other: since a group's codes fill
// whole words, rows need no attention.
func (d Device) quantizeAffine(dst, scales, biases, src []byte, dt tensor.DType, spec QuantSpec) {
	var values [piece]float32
	var codes [maxGroup]uint8
	q, out := codes[:spec.Group], spec.Group*spec.Bits/8
	load, most := d.loader(dt), float32(uint(1)<<spec.Bits-1)
	for i := 0; len(src) > 0; {
		n := min(piece, len(src)/size(dt))
		load(values[:n], src[:n*size(dt)])
		src = src[n*size(dt):]
		for at := 0; at < n; at += spec.Group {
			g := values[at : at+spec.Group]
			scale, bias := affineScale(d.span(g, spec.Bits), spec.Bits)
			storeF32(dt, scales, i, scale)
			storeF32(dt, biases, i, bias)
			switch {
			case d.k.codes == nil:
				affineCodes(q, g, scale, bias, spec.Bits)
				pack(dst[:out], q, spec.Bits)
			case spec.Bits == 4:
				d.k.codes(dst[:out], g, scale, bias, most, true)
			default:
				d.k.codes(q, g, scale, bias, most, false)
				pack(dst[:out], q, spec.Bits)
			}
			dst = dst[out:]
			i++
		}
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
	// What there is no number for has the bits it gets on x86-64.
	if inf := math.IsInf(float64(lo), 0) && lo == hi; bits == 1 && inf {
		return math.Float32frombits(defaultNaN), lo
	} else if inf {
		return math.Float32frombits(defaultNaN &^ (1 << 31)), hi
	}
	if bits == 1 {
		return floor(hi - lo), lo
	}
	scale = floor((hi - lo) / float32(uint(1)<<bits-1))
	edge := lo
	if !(abs(lo) > abs(hi)) {
		scale, edge = -scale, hi
	}
	n := float32(math.RoundToEven(float64(edge / scale)))
	switch exact := edge / n; {
	case n == 0:
		return scale, 0
	case exact == exact:
		return exact, edge
	}
	return math.Float32frombits(defaultNaN), edge
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
	var values [256]uint32
	q := codes[:spec.Group]
	in, out := spec.Group*spec.Bits/8, spec.Group*size(dt)
	for i := 0; len(src) > 0; i++ {
		scale, bias := loadF32(dt, scales, i), loadF32(dt, biases, i)
		value := func(code int) uint32 {
			return bitsOf(dt, quiet(sum, round32(dt, quiet(mul, float32(code), scale)), bias))
		}
		unpack(q, src[:in], spec.Bits)
		if 1<<spec.Bits <= spec.Group {
			for code := range 1 << spec.Bits {
				values[code] = value(code)
			}
		} else {
			for _, code := range q {
				values[code] = value(int(code))
			}
		}
		storeCodes(dst[:out], q, &values, size(dt))
		src, dst = src[in:], dst[out:]
	}
}

// storeCodes writes what each code stands for, as elements of size bytes.
func storeCodes(dst []byte, q []uint8, values *[256]uint32, size int) {
	if size == 4 {
		for i, code := range q {
			le.PutUint32(dst[4*i:], values[code])
		}
		return
	}
	for ; len(q) >= 4 && len(dst) >= 8; q, dst = q[4:], dst[8:] {
		le.PutUint64(dst, uint64(values[q[0]])|uint64(values[q[1]])<<16|uint64(values[q[2]])<<32|uint64(values[q[3]])<<48)
	}
}

func mul(a, b float32) float32 { return a * b }
func sum(a, b float32) float32 { return a + b }
