package cpu

import (
	"fmt"
	"math"

	"wreg/registry/tensor"
)

// statsBlock is how many bytes are scanned before the rare cases (zeros, NaNs,
// infinities, values of one sign) are looked for. It fits the first-level cache, so
// a second look costs little.
const statsBlock = 8 << 10

// Scannable reports whether Stats understands dt: floats, packed or not, and
// integers.
func Scannable(dt tensor.DType) bool {
	if dt.Float() {
		return true
	}
	switch dt {
	case tensor.U8, tensor.I8, tensor.U16, tensor.I16, tensor.U32, tensor.I32, tensor.U64, tensor.I64:
		return true
	}
	return false
}

// Stats scans the elements in p and adds what it sees to s; fresh says that s is
// empty. p must hold whole elements (F6: whole groups of three bytes).
func (d Device) Stats(s *tensor.Stats, dt tensor.DType, p []byte, fresh bool) error {
	if !Scannable(dt) {
		return fmt.Errorf("statistics of %v: it has no numbers that can be scanned", dt)
	}
	if _, unit := dt.Block(); len(p)%int(unit) != 0 {
		return fmt.Errorf("statistics of %v: %d bytes are not a multiple of %d", dt, len(p), unit)
	}
	if fresh {
		*s = tensor.Stats{}
	}
	switch dt {
	case tensor.BF16:
		d.scan16(s, p, 0x7F80, func(u uint16) float64 { return float64(math.Float32frombits(uint32(u) << 16)) })
	case tensor.F16:
		d.scan16(s, p, 0x7C00, func(u uint16) float64 { return float64(math.Float32frombits(f16ToF32(u))) })
	case tensor.F32:
		d.scan32(s, p)
	case tensor.F64:
		scan64(s, p)
	case tensor.U16:
		scanInts[uint16](s, p)
	case tensor.I16:
		scanInts[int16](s, p)
	case tensor.U32:
		scanInts[uint32](s, p)
	case tensor.I32:
		scanInts[int32](s, p)
	case tensor.U64:
		scanInts[uint64](s, p)
	case tensor.I64:
		scanInts[int64](s, p)
	default:
		scanCodes(s, dt, p)
	}
	return nil
}

// widen takes in that finite numbers from lo to hi were seen, zeros of them zero.
// A finite tensor that is 0 at both ends has zeros, so no zeros and 0 at both ends
// says that no finite number was seen yet.
func widen(s *tensor.Stats, lo, hi float64, zeros int64) {
	if s.Min == 0 && s.Max == 0 && s.Zeros == 0 {
		s.Min, s.Max = lo, hi
	}
	// Adding 0 turns -0 into 0: nobody asks for the sign of a smallest zero.
	s.Min, s.Max = min(s.Min, lo)+0, max(s.Max, hi)+0
	s.AbsMax = max(math.Abs(s.Min), math.Abs(s.Max))
	s.Zeros += zeros
}

// scan16 scans 16-bit floats whose infinity is inf. Among their bits taken as
// signed integers the largest is the largest positive number; taken as unsigned it
// is the most negative one. So two maxima are all a block needs, unless it has
// zeros, NaNs, infinities or one sign only: then it is looked at again.
func (d Device) scan16(s *tensor.Stats, p []byte, inf uint16, value func(uint16) float64) {
	extremes := d.k.extremes16
	if extremes == nil {
		extremes = extremes16
	}
	for len(p) > 0 {
		b := p[:min(len(p), statsBlock)]
		p = p[len(b):]
		pos, neg, zero := extremes(b)
		if !zero && pos >= 0 && uint16(pos) < inf && neg >= 0x8000 && neg < inf|0x8000 {
			widen(s, value(neg), value(uint16(pos)), 0)
			continue
		}
		lo, hi, zeros := int32(math.MaxInt32), int32(math.MinInt32), int64(0)
		for ; len(b) >= 2; b = b[2:] {
			u := le.Uint16(b)
			m := u & 0x7FFF
			if m >= inf {
				if m > inf {
					s.NaNs++
				} else {
					s.Infs++
				}
				continue
			}
			if m == 0 {
				zeros++
			}
			k := int32(m)
			if u != m {
				k = -k
			}
			lo, hi = min(lo, k), max(hi, k)
		}
		if lo <= hi {
			at := func(k int32) float64 {
				if k < 0 {
					return -value(uint16(-k))
				}
				return value(uint16(k))
			}
			widen(s, at(lo), at(hi), zeros)
		}
	}
}

// extremes16 gives the largest element of b as signed and as unsigned integer, and
// whether any is a zero of either sign.
func extremes16(b []byte) (pos int16, neg uint16, zero bool) {
	const low, high = 0x7FFF_7FFF_7FFF_7FFF, 0x8000_8000_8000_8000
	pos, all := math.MinInt16, uint64(high)
	for ; len(b) >= 8; b = b[8:] {
		w := le.Uint64(b)
		all &= w&low + low // the top bit of a lane stays set unless its 15 lower bits are 0
		pos = max(pos, int16(w), int16(w>>16), int16(w>>32), int16(w>>48))
		neg = max(neg, uint16(w), uint16(w>>16), uint16(w>>32), uint16(w>>48))
	}
	zero = all&high != high
	for ; len(b) >= 2; b = b[2:] {
		u := le.Uint16(b)
		pos, neg, zero = max(pos, int16(u)), max(neg, u), zero || u&0x7FFF == 0
	}
	return pos, neg, zero
}

// scan32 is scan16 for f32.
func (d Device) scan32(s *tensor.Stats, p []byte) {
	const inf = 0x7F800000
	extremes := d.k.extremes32
	if extremes == nil {
		extremes = extremes32
	}
	value := func(u uint32) float64 { return float64(math.Float32frombits(u)) }
	for len(p) > 0 {
		b := p[:min(len(p), statsBlock)]
		p = p[len(b):]
		pos, neg, zero := extremes(b)
		if !zero && pos >= 0 && uint32(pos) < inf && neg >= 1<<31 && neg < inf|1<<31 {
			widen(s, value(neg), value(uint32(pos)), 0)
			continue
		}
		lo, hi, zeros := math.Inf(1), math.Inf(-1), int64(0)
		for ; len(b) >= 4; b = b[4:] {
			u := le.Uint32(b)
			m := u & 0x7FFFFFFF
			if m >= inf {
				if m > inf {
					s.NaNs++
				} else {
					s.Infs++
				}
				continue
			}
			if m == 0 {
				zeros++
			}
			v := value(u)
			lo, hi = min(lo, v), max(hi, v)
		}
		if lo <= hi {
			widen(s, lo, hi, zeros)
		}
	}
}

// extremes32 is extremes16 for 32-bit elements.
func extremes32(b []byte) (pos int32, neg uint32, zero bool) {
	pos = math.MinInt32
	for ; len(b) >= 4; b = b[4:] {
		u := le.Uint32(b)
		pos, neg = max(pos, int32(u)), max(neg, u)
		if u<<1 == 0 {
			zero = true
		}
	}
	return pos, neg, zero
}

func scan64(s *tensor.Stats, p []byte) {
	lo, hi, zeros := math.Inf(1), math.Inf(-1), int64(0)
	for ; len(p) >= 8; p = p[8:] {
		switch v := math.Float64frombits(le.Uint64(p)); {
		case v != v:
			s.NaNs++
		case math.IsInf(v, 0):
			s.Infs++
		default:
			if v == 0 {
				zeros++
			}
			lo, hi = min(lo, v), max(hi, v)
		}
	}
	if lo <= hi {
		widen(s, lo, hi, zeros)
	}
}
