package cpu

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wreg/registry/tensor"
)

// slowStats looks at one number after the other.
func slowStats(values []float64) (s tensor.Stats) {
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, v := range values {
		switch {
		case v != v:
			s.NaNs++
			continue
		case math.IsInf(v, 0):
			s.Infs++
			continue
		case v == 0:
			s.Zeros++
		}
		lo, hi = min(lo, v), max(hi, v)
	}
	if lo <= hi {
		s.Min, s.Max, s.AbsMax = lo+0, hi+0, max(math.Abs(lo), math.Abs(hi))
	}
	return s
}

// statsCases are tensors of some shape of content: what the fast scan passes over
// and what makes it look again.
func statsCases() map[string][]float64 {
	r := rand.New(rand.NewPCG(7, 8))
	nan, inf, minus0 := math.NaN(), math.Inf(1), math.Copysign(0, -1)
	cases := map[string][]float64{
		"empty": nil, "one": {3}, "minus one": {-3}, "zero": {0}, "minus zero": {minus0}, "both zeros": {minus0, 0},
		"only nan": {nan, nan}, "only inf": {inf, -inf}, "nan then negative": {nan, -2, -1}, "all positive": {1, 2, .5}, "all negative": {-1, -2, -.5},
	}
	for name, n := range map[string]int{"short": 33, "a block": statsBlock / 2, "blocks and a rest": 3*statsBlock/2 + 17} {
		normal, positive, odd := make([]float64, n), make([]float64, n), make([]float64, n)
		for i := range n {
			v := float64(float32(int(r.NormFloat64()*64))) / 64
			normal[i], positive[i], odd[i] = v+1.0/128, math.Abs(v)+1.0/128, v
			switch r.IntN(40) {
			case 0:
				odd[i] = nan
			case 1:
				odd[i] = inf * float64(1-2*(i%2))
			case 2:
				odd[i] = minus0
			}
		}
		last := append([]float64(nil), normal...)
		last[n-1] = nan
		first := append([]float64(nil), positive...)
		first[0] = -5
		cases[name+" normal"], cases[name+" positive"], cases[name+" odd"] = normal, positive, odd
		cases[name+" last nan"], cases[name+" first negative"] = last, first
	}
	return cases
}

func TestStatsOfFloats(t *testing.T) {
	paths(t, func(t *testing.T, d Device) {
		for name, values := range statsCases() {
			for _, dt := range []tensor.DType{tensor.F32, tensor.F16, tensor.BF16, tensor.F64} {
				var src []byte
				rounded := make([]float64, len(values))
				for i, v := range values {
					u := math.Float32bits(float32(v))
					switch dt {
					case tensor.F64:
						src, rounded[i] = le.AppendUint64(src, math.Float64bits(v)), v
					case tensor.F32:
						src, rounded[i] = le.AppendUint32(src, u), float64(float32(v))
					case tensor.F16:
						h := f32ToF16(u)
						src, rounded[i] = le.AppendUint16(src, h), float64(math.Float32frombits(f16ToF32(h)))
					case tensor.BF16:
						h := f32ToBF16(u)
						src, rounded[i] = le.AppendUint16(src, h), float64(math.Float32frombits(uint32(h)<<16))
					}
				}
				want := slowStats(rounded)
				for _, cut := range []int{0, 1, 13, 4096} { // in two pieces
					at := min(cut, len(values)) * size(dt)
					got := tensor.Stats{Min: 9, NaNs: 9} // fresh must forget this
					if err := d.Stats(&got, dt, src[:at], true); err != nil {
						t.Fatal(err)
					}
					if err := d.Stats(&got, dt, src[at:], false); err != nil {
						t.Fatal(err)
					}
					if diff := cmp.Diff(want, got); diff != "" {
						t.Errorf("%s, %v, cut at %d (-want +got):\n%s", name, dt, cut, diff)
					}
				}
			}
		}
	})
}

// TestStatsFindsOne puts one odd number at each place of a vector.
func TestStatsFindsOne(t *testing.T) {
	paths(t, func(t *testing.T, d Device) {
		for _, dt := range []tensor.DType{tensor.F32, tensor.F16, tensor.BF16, tensor.F64} {
			for _, odd := range []float64{0, math.Copysign(0, -1), math.NaN(), math.Inf(1), math.Inf(-1), 9, -9} {
				for at := range 160 {
					values := make([]float64, 160)
					var src []byte
					for i := range values {
						values[i] = 1.5 * float64(1-i%2*2)
					}
					values[at] = odd
					for _, v := range values {
						if dt == tensor.F64 {
							src = le.AppendUint64(src, math.Float64bits(v))
						} else {
							src = append(src, le.AppendUint32(nil, bitsOf(dt, float32(v)))[:size(dt)]...)
						}
					}
					var got tensor.Stats
					if err := d.Stats(&got, dt, src, true); err != nil {
						t.Fatal(err)
					}
					if want := slowStats(values); got != want {
						t.Fatalf("%v, %g at %d: %+v, want %+v", dt, odd, at, got, want)
					}
				}
			}
		}
	})
}

// TestStatsOfSmallTypes gives every code of each type of eight bits and fewer.
func TestStatsOfSmallTypes(t *testing.T) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	for dt, want := range map[tensor.DType]tensor.Stats{
		tensor.U8:         {Min: 0, Max: 255, AbsMax: 255, Zeros: 1},
		tensor.I8:         {Min: -128, Max: 127, AbsMax: 128, Zeros: 1},
		tensor.F8E4M3:     {Min: -448, Max: 448, AbsMax: 448, NaNs: 2, Zeros: 2},
		tensor.F8E5M2:     {Min: -57344, Max: 57344, AbsMax: 57344, NaNs: 6, Infs: 2, Zeros: 2},
		tensor.F8E8M0:     {Min: math.Exp2(-127), Max: math.Exp2(127), AbsMax: math.Exp2(127), NaNs: 1},
		tensor.F8E4M3FNUZ: {Min: -240, Max: 240, AbsMax: 240, NaNs: 1, Zeros: 1},
		tensor.F8E5M2FNUZ: {Min: -57344, Max: 57344, AbsMax: 57344, NaNs: 1, Zeros: 1},
		tensor.F4:         {Min: -6, Max: 6, AbsMax: 6, Zeros: 64},
	} {
		var got tensor.Stats
		if err := New().Stats(&got, dt, every, true); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%v (-want +got):\n%s", dt, diff)
		}
	}
	for dt, top := range map[tensor.DType]float64{tensor.F6E2M3: 7.5, tensor.F6E3M2: 28} {
		var sixes []byte // codes 0 to 63
		for c := uint32(0); c < 64; c += 4 {
			w := c | (c+1)<<6 | (c+2)<<12 | (c+3)<<18
			sixes = append(sixes, byte(w), byte(w>>8), byte(w>>16))
		}
		var got tensor.Stats
		if err := New().Stats(&got, dt, sixes, true); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tensor.Stats{Min: -top, Max: top, AbsMax: top, Zeros: 2}, got); diff != "" {
			t.Errorf("%v (-want +got):\n%s", dt, diff)
		}
	}
}

func TestStatsOfIntegers(t *testing.T) {
	for dt, c := range map[tensor.DType]struct {
		bits []uint64
		want tensor.Stats
	}{
		tensor.U16: {[]uint64{7, 0xFFFF, 0}, tensor.Stats{Max: 65535, AbsMax: 65535, Zeros: 1}},
		tensor.I16: {[]uint64{7, 0xFFFF, 0x8000}, tensor.Stats{Min: -32768, Max: 7, AbsMax: 32768}},
		tensor.U32: {[]uint64{7, 1<<32 - 1, 9}, tensor.Stats{Min: 7, Max: 1<<32 - 1, AbsMax: 1<<32 - 1}},
		tensor.I32: {[]uint64{0, 1<<32 - 1, 0}, tensor.Stats{Min: -1, AbsMax: 1, Zeros: 2}},
		tensor.U64: {[]uint64{5, 1 << 63}, tensor.Stats{Min: 5, Max: 1 << 63, AbsMax: 1 << 63}},
		tensor.I64: {[]uint64{5, 1 << 63}, tensor.Stats{Min: -1 << 63, Max: 5, AbsMax: 1 << 63}},
	} {
		var p []byte
		for _, u := range c.bits {
			p = append(p, le.AppendUint64(nil, u)[:size(dt)]...)
		}
		var got tensor.Stats
		if err := New().Stats(&got, dt, p, true); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%v (-want +got):\n%s", dt, diff)
		}
	}
}

func TestStatsRefuses(t *testing.T) {
	for _, c := range []struct {
		dt tensor.DType
		n  int
	}{{tensor.BF16, 3}, {tensor.F6E2M3, 4}, {tensor.Bool, 1}, {tensor.C64, 8}, {tensor.Invalid, 0}, {tensor.DType(200), 4}} {
		if err := New().Stats(&tensor.Stats{}, c.dt, make([]byte, c.n), true); err == nil {
			t.Errorf("%d bytes of %v were scanned", c.n, c.dt)
		}
	}
}
