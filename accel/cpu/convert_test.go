package cpu

import (
	"math"
	"testing"
)

// TestNearestEven proves rounding into a small type from its definition: every
// number that lies between two neighbours goes to the nearer, from half way to the
// even one; past the largest number and half a step, to what is beyond.
func TestNearestEven(t *testing.T) {
	for _, c := range []struct {
		name   string
		last   uint32 // the largest finite code
		beyond uint32 // infinity, or the largest once more
		value  func(code uint32) float64
		round  func(u uint32) uint32
	}{
		{"bf16", 0x7F7F, 0x7F80, bf16Value, func(u uint32) uint32 { return uint32(f32ToBF16(u)) }},
		{"f16", 0x7BFF, 0x7C00, f16Value, func(u uint32) uint32 { return uint32(f32ToF16(u)) }},
		{"e4m3", 0x7E, 0x7E, e4m3Value, func(u uint32) uint32 { return uint32(f32ToE4M3(u)) }},
	} {
		sign := c.round(math.Float32bits(float32(math.Copysign(0, -1))))
		check := func(v float64, want uint32) {
			t.Helper()
			f := float32(v)
			if float64(f) != v {
				return // float32 does not have it: nothing to round
			}
			if got := c.round(math.Float32bits(f)); got != want {
				t.Fatalf("%s: %g becomes %#x, want %#x", c.name, v, got, want)
			}
			if got := c.round(math.Float32bits(-f)); got != want|sign {
				t.Fatalf("%s: %g becomes %#x, want %#x", c.name, -v, got, want|sign)
			}
		}
		for code := uint32(0); code <= c.last; code++ {
			here := c.value(code)
			next := code + 1
			above := c.value(next)
			if code == c.last {
				next, above = c.beyond, 2*here-c.value(code-1)
			}
			half := (here + above) / 2
			even := code
			if code%2 == 1 {
				even = next
			}
			check(here, code)
			check(half, even)
			if f := float32(half); float64(f) == half {
				check(float64(math.Nextafter32(f, 0)), code)
				check(float64(math.Nextafter32(f, math.MaxFloat32)), next)
			}
		}
		check(math.MaxFloat32, c.beyond)
	}
}

func bf16Value(code uint32) float64 {
	e, f := int(code>>7), float64(code&0x7F)
	if e == 0 {
		return math.Ldexp(f, -133)
	}
	return math.Ldexp(128+f, e-134)
}

func f16Value(code uint32) float64 {
	e, f := int(code>>10), float64(code&0x3FF)
	if e == 0 {
		return math.Ldexp(f, -24)
	}
	return math.Ldexp(1024+f, e-25)
}

func e4m3Value(code uint32) float64 { return smallFloat(uint8(code), 4, 3, 7) }

// TestWideningIsExact compares every finite code with its definition, and every
// NaN with the policy.
func TestWideningIsExact(t *testing.T) {
	for i := range uint32(1 << 16) {
		m, sign := i&0x7FFF, i&0x8000<<16
		want := math.Float32bits(float32(f16Value(m)))
		switch {
		case m == 0x7C00:
			want = 0x7F800000
		case m > 0x7C00: // quiet, payload kept
			want = 0x7FC00000 | m&0x3FF<<13
		}
		if got := f16ToF32(uint16(i)); got != want|sign {
			t.Fatalf("f16 %#04x becomes %#x, want %#x", i, got, want|sign)
		}
	}
	for i := range uint32(256) {
		want := math.Float32bits(float32(e4m3Value(i & 0x7F)))
		if i&0x7F == 0x7F {
			want = 0x7FF00000
		}
		if got := e4m3ToF32(uint8(i)); got != want|i&0x80<<24 {
			t.Fatalf("e4m3 %#02x becomes %#x, want %#x", i, got, want|i&0x80<<24)
		}
		if got, want := e5m2ToF32(uint8(i)), f16ToF32(uint16(i)<<8); got != want {
			t.Fatalf("e5m2 %#02x becomes %#x, want %#x", i, got, want)
		}
	}
}

// TestNaNs is the policy: one pattern of bits for NaN in each small type.
func TestNaNs(t *testing.T) {
	for _, u := range []uint32{0x7F800001, 0x7FC00000, 0x7FFFFFFF, 0xFF800001, 0xFFC00000, 0xFFFFFFFF} {
		sign := uint16(u>>16) & 0x8000
		if got := f32ToBF16(u); got != 0x7FC0 {
			t.Errorf("%#x to bf16: %#x", u, got)
		}
		if got := f32ToF16(u); got != sign|0x7D00 {
			t.Errorf("%#x to f16: %#x", u, got)
		}
		if got := f32ToE4M3(u); got != uint8(sign>>8)|0x7E {
			t.Errorf("%#x to e4m3: %#x", u, got)
		}
	}
}

// TestToE4M3EqualsMLX compares with what mx.to_fp8 gave.
func TestToE4M3EqualsMLX(t *testing.T) {
	v := vectors(t, "cast")
	for i, want := range v["to_fp8"].data {
		if u := le.Uint32(v["u32"].data[4*i:]); f32ToE4M3(u) != want {
			t.Fatalf("%#x becomes %#x, want %#x", u, f32ToE4M3(u), want)
		}
	}
}
