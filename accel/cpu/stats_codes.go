package cpu

import (
	"math"
	"unsafe"

	"wreg/registry/tensor"
)

// scanInts scans integers of two bytes and more. 64-bit extremes are rounded to
// the nearest float64.
func scanInts[T uint16 | int16 | uint32 | int32 | uint64 | int64](s *tensor.Stats, p []byte) {
	var lo, hi T
	zeros, seen := int64(0), false
	size := int(unsafe.Sizeof(lo)) // a constant of each instance: the switch below costs nothing
	for ; len(p) >= size; p = p[size:] {
		var v T
		switch size {
		case 2:
			v = T(le.Uint16(p))
		case 4:
			v = T(le.Uint32(p))
		default:
			v = T(le.Uint64(p))
		}
		if !seen {
			lo, hi, seen = v, v, true
		}
		if v == 0 {
			zeros++
		}
		lo, hi = min(lo, v), max(hi, v)
	}
	if seen {
		widen(s, float64(lo), float64(hi), zeros)
	}
}

// scanCodes counts how often each byte occurs, then asks once per value what the
// byte means. It serves all types of eight bits and fewer.
func scanCodes(s *tensor.Stats, dt tensor.DType, p []byte) {
	var n [256]int64
	switch dt {
	case tensor.F6E2M3, tensor.F6E3M2: // four codes in three bytes, lowest bits first
		for ; len(p) >= 3; p = p[3:] {
			w := uint32(p[0]) | uint32(p[1])<<8 | uint32(p[2])<<16
			n[w&63]++
			n[w>>6&63]++
			n[w>>12&63]++
			n[w>>18]++
		}
	case tensor.F4:
		var both [256]int64
		countBytes(&both, p)
		for b, c := range both {
			n[b&15] += c
			n[b>>4] += c
		}
	default:
		countBytes(&n, p)
	}
	for code, c := range n {
		if c == 0 {
			continue
		}
		switch v := codeValue(dt, uint8(code)); {
		case math.IsNaN(v):
			s.NaNs += c
		case math.IsInf(v, 0):
			s.Infs += c
		case v == 0:
			widen(s, 0, 0, c)
		default:
			widen(s, v, v, 0)
		}
	}
}

// countBytes uses four tables, so that a run of equal bytes need not wait for its
// own counter.
func countBytes(n *[256]int64, p []byte) {
	var t [4][256]int64
	for ; len(p) >= 8; p = p[8:] {
		w := le.Uint64(p)
		t[0][uint8(w)]++
		t[1][uint8(w>>8)]++
		t[2][uint8(w>>16)]++
		t[3][uint8(w>>24)]++
		t[0][uint8(w>>32)]++
		t[1][uint8(w>>40)]++
		t[2][uint8(w>>48)]++
		t[3][w>>56]++
	}
	for _, b := range p {
		t[0][b]++
	}
	for i := range n {
		n[i] += t[0][i] + t[1][i] + t[2][i] + t[3][i]
	}
}

// codeValue is the number a code of eight bits or fewer stands for.
func codeValue(dt tensor.DType, b uint8) float64 {
	switch dt {
	case tensor.U8:
		return float64(b)
	case tensor.I8:
		return float64(int8(b))
	case tensor.F8E4M3:
		return float64(math.Float32frombits(e4m3F32[b]))
	case tensor.F8E5M2:
		return float64(math.Float32frombits(e5m2F32[b]))
	case tensor.F8E8M0:
		if b == 0xFF {
			return math.NaN()
		}
		return math.Ldexp(1, int(b)-127)
	case tensor.F8E4M3FNUZ:
		return smallFloat(b, 4, 3, 8)
	case tensor.F8E5M2FNUZ:
		return smallFloat(b, 5, 2, 16)
	case tensor.F6E2M3:
		return smallFloat(b, 2, 3, 1)
	case tensor.F6E3M2:
		return smallFloat(b, 3, 2, 3)
	case tensor.F4:
		return smallFloat(b, 2, 1, 1)
	}
	return math.NaN()
}

// smallFloat reads a sign, exponent and fraction without infinities. The 8-bit
// forms (FNUZ) have one NaN, in the place of -0.
func smallFloat(b uint8, exponentBits, fractionBits, bias int) float64 {
	sign := b >> (exponentBits + fractionBits) & 1
	if exponentBits+fractionBits == 7 && b == 0x80 {
		return math.NaN()
	}
	e := int(b>>fractionBits) & (1<<exponentBits - 1)
	f := float64(b & (1<<fractionBits - 1))
	one := float64(uint(1) << fractionBits)
	v := math.Ldexp(f/one, 1-bias) // subnormal
	if e > 0 {
		v = math.Ldexp(1+f/one, e-bias)
	}
	if sign == 1 {
		v = -v
	}
	return v
}
