package cpu

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"wreg/registry/tensor"
)

// TestRefuses gives every method buffers that do not fit. All must be errors that
// say what was wrong, and dst must stay as it was.
func TestRefuses(t *testing.T) {
	b := func(n int) []byte { return make([]byte, n) }
	shared := b(64)
	paths(t, func(t *testing.T, d Device) {
		for _, c := range []struct {
			name, want string
			call       func(dst []byte) error
		}{
			{"cast to a short dst", "dst has 64 bytes, want 33 elements", func(dst []byte) error { return d.Cast(dst, tensor.BF16, b(132), tensor.F32) }},
			{"cast half an element", "src has 127 bytes", func(dst []byte) error { return d.Cast(dst, tensor.BF16, b(127), tensor.F32) }},
			{"cast what has no numbers", "not a pair", func(dst []byte) error { return d.Cast(dst, tensor.BF16, b(64), tensor.U16) }},
			{"cast to fp8", "not a pair", func(dst []byte) error { return d.Cast(dst, tensor.F8E4M3, b(64), tensor.F16) }},
			{"cast an unknown type", "not a pair", func(dst []byte) error { return d.Cast(dst, tensor.DType(200), b(64), tensor.DType(200)) }},
			{"cast in place", "overlap", func(dst []byte) error { return d.Cast(dst, tensor.BF16, dst, tensor.F16) }},
			{"cast one byte on", "overlap", func([]byte) error { return d.Cast(shared[:32], tensor.BF16, shared[31:63], tensor.F16) }},
			{"add to fp8", "cast first", func(dst []byte) error { return d.AddScalar(dst, b(64), tensor.F8E4M3, 1) }},
			{"add to a short dst", "dst has 64 bytes", func(dst []byte) error { return d.AddScalar(dst, b(66), tensor.F16, 1) }},
			{"multiply in place", "overlap", func(dst []byte) error { return d.MulScalar(dst, dst, tensor.F16, 1) }},
			{"a short vector", "vector has 2 bytes", func(dst []byte) error { return d.MulVec(dst, b(64), tensor.F16, 2, 16, b(2)) }},
			{"negative rows", "-1 x 16", func(dst []byte) error { return d.MulVec(dst, b(64), tensor.F16, -1, 16, b(2)) }},
			{"too few scales", "want at least 2 rows of 1", func(dst []byte) error { return d.DequantFP8(dst, b(32), 0, 2, 16, b(4), tensor.F32, 1, 16) }},
			{"scales past the tile", "want at least 3 rows of 1", func(dst []byte) error { return d.DequantFP8(dst, b(32), 1, 2, 16, b(8), tensor.F32, 1, 16) }},
			{"scales within dst", "overlap", func(dst []byte) error { return d.DequantFP8(dst, b(32), 0, 2, 16, dst[:8], tensor.F32, 1, 16) }},
			{"a vector within dst", "overlap", func(dst []byte) error { return d.MulVec(dst, b(64), tensor.F16, 2, 16, dst[:4]) }},
			{"awq outputs that fill no word", "do not fill words", func(dst []byte) error { return RepackAWQ(dst[:48], b(48), 8, 12) }},
			{"blocks of nothing", "at least one row", func(dst []byte) error { return d.DequantFP8(dst, b(32), 0, 2, 16, b(8), tensor.F32, 0, 16) }},
			{"integer scales", "scales are u8", func(dst []byte) error { return d.DequantFP8(dst, b(32), 0, 2, 16, b(8), tensor.U8, 1, 16) }},
			{"fp8 rows that overflow", "too large", func(dst []byte) error {
				return d.DequantFP8(dst, b(32), math.MaxInt, 2, 16, b(8), tensor.F32, 1, 16)
			}},
			{"fp8 elements that overflow", "too many", func(dst []byte) error {
				return d.DequantFP8(dst, b(32), 0, 1<<40, 1<<40, b(8), tensor.F32, 1, 16)
			}},
			{"permute too much", "too many", func(dst []byte) error { return d.Permute2(dst, b(64), 1<<30, 1<<30, 1<<30, 1) }},
			{"permute nothing wide", "elements of 0 bytes", func(dst []byte) error { return d.Permute2(dst, b(64), 1, 8, 8, 0) }},
			{"permute a short src", "src has 63 bytes", func(dst []byte) error { return d.Permute2(dst, b(63), 1, 8, 8, 1) }},
			{"permute in place", "overlap", func(dst []byte) error { return d.Permute2(dst, dst, 1, 8, 8, 1) }},
			{"a mode there is none of", `mode "int4"`, func(dst []byte) error {
				return d.Quantize(dst, b(4), b(4), b(256), tensor.BF16, 1, 128, QuantSpec{Mode: "int4"})
			}},
			{"seven bits", "7 bits", func(dst []byte) error {
				return d.Quantize(dst, b(4), b(4), b(256), tensor.BF16, 1, 128, QuantSpec{Bits: 7})
			}},
			{"groups of 48", "groups of 48", func(dst []byte) error {
				return d.Quantize(dst, b(4), b(4), b(256), tensor.BF16, 1, 128, QuantSpec{Group: 48})
			}},
			{"mxfp4 of 64", "groups of 32", func(dst []byte) error {
				return d.Quantize(dst, b(4), nil, b(256), tensor.BF16, 1, 128, QuantSpec{Mode: MXFP4, Group: 64})
			}},
			{"columns that do not fill groups", "96 columns", func(dst []byte) error {
				return d.Quantize(dst, b(4), b(4), b(192), tensor.BF16, 1, 96, QuantSpec{})
			}},
			{"quantize f64", "cast first", func(dst []byte) error {
				return d.Quantize(dst, b(16), b(16), b(1024), tensor.F64, 1, 128, QuantSpec{})
			}},
			{"no biases", "biases has 0 bytes", func(dst []byte) error {
				return d.Quantize(dst, b(4), nil, b(256), tensor.BF16, 1, 128, QuantSpec{})
			}},
			{"biases of an fp mode", "biases has 4 bytes", func(dst []byte) error {
				return d.Quantize(dst, b(4), b(4), b(256), tensor.BF16, 1, 128, QuantSpec{Mode: MXFP4})
			}},
			{"scales within codes", "overlap", func(dst []byte) error {
				return d.Quantize(dst, dst[:4], b(4), b(256), tensor.BF16, 1, 128, QuantSpec{})
			}},
			{"dequantize to a short dst", "dequantize 1 x 128", func(dst []byte) error {
				return d.Dequantize(dst, b(64), b(4), b(4), tensor.BF16, 1, 128, QuantSpec{})
			}},
		} {
			dst := bytes.Repeat([]byte{0xA5}, 64)
			err := c.call(dst)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
			}
			if len(bytes.Trim(dst, "\xA5")) > 0 {
				t.Errorf("%s: dst was written", c.name)
			}
		}
	})
}

func TestScalars(t *testing.T) {
	bf16 := func(v ...float32) (p []byte) {
		for _, v := range v {
			p = le.AppendUint16(p, f32ToBF16(math.Float32bits(v)))
		}
		return p
	}
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	for _, c := range []struct {
		name           string
		dt             tensor.DType
		src            []byte
		add, mul       float64
		wantAdd, wantM []byte
	}{
		// 0.70710678 is 0.70703125 in bf16: 3 times that is 2.12109375, rounded 2.125.
		{"rounded scalar", tensor.BF16, bf16(1, 3, -0.5, inf), 1, 0.70710678, bf16(2, 4, .5, inf), bf16(0.70703125, 2.125, -0.353515625, inf)},
		{"to infinity", tensor.F16, []byte{0xFF, 0x7B}, 65504, 2, []byte{0, 0x7C}, []byte{0, 0x7C}},
		{"nan", tensor.F16, []byte{1, 0x7C, 1, 0xFC}, 1, 2, []byte{0, 0x7D, 0, 0xFD}, []byte{0, 0x7D, 0, 0xFD}},
		{"made nan", tensor.F16, []byte{0, 0x7C}, math.Inf(-1), 0, []byte{0, 0xFD}, []byte{0, 0xFD}},
		{"nan scalar", tensor.BF16, bf16(1), float64(nan), float64(nan), bf16(nan), bf16(nan)},
		{"made nan f32", tensor.F32, []byte{0, 0, 0x80, 0x7F}, math.Inf(-1), 0, []byte{0, 0, 0xC0, 0xFF}, []byte{0, 0, 0xC0, 0xFF}},
		{"quiet nan f32", tensor.F32, []byte{1, 0, 0x80, 0x7F}, 1, 2, []byte{1, 0, 0xC0, 0x7F}, []byte{1, 0, 0xC0, 0x7F}},
	} {
		for _, n := range []int{1, 1 << 17} { // long enough for the table
			src := bytes.Repeat(c.src, n)
			got := make([]byte, len(src))
			if err := New().AddScalar(got, src, c.dt, c.add); err != nil {
				t.Fatal(err)
			}
			same(t, c.name+": add", got, bytes.Repeat(c.wantAdd, n), size(c.dt))
			if err := New().MulScalar(got, src, c.dt, c.mul); err != nil {
				t.Fatal(err)
			}
			same(t, c.name+": mul", got, bytes.Repeat(c.wantM, n), size(c.dt))
		}
	}
}

// TestMulVec: a row times its factor is MulScalar of that row.
func TestMulVec(t *testing.T) {
	const rows, cols = 5, 7
	for _, dt := range floats {
		src, vec := Weights(dt, rows*cols), Weights(dt, rows)
		got := make([]byte, len(src))
		if err := New().MulVec(got, src, dt, rows, cols, vec); err != nil {
			t.Fatal(err)
		}
		want := make([]byte, len(src))
		line := cols * size(dt)
		for r := range rows {
			if err := New().MulScalar(want[r*line:][:line], src[r*line:][:line], dt, float64(loadF32(dt, vec, r))); err != nil {
				t.Fatal(err)
			}
		}
		same(t, dt.String(), got, want, size(dt))
	}
}

func TestPermute2(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	paths(t, func(t *testing.T, d Device) {
		for _, size := range []int{1, 2, 3, 4, 8, 16} {
			for _, shape := range [][3]int{{1, 1, 1}, {2, 0, 5}, {0, 3, 3}, {1, 7, 1}, {3, 33, 31}, {1, 64, 32}, {2, 65, 100}, {1, 8, 300}, {1, 130, 16}} {
				n, rows, cols := shape[0], shape[1], shape[2]
				src := make([]byte, n*rows*cols*size)
				for i := range src {
					src[i] = byte(r.Uint32())
				}
				got, want := make([]byte, len(src)), make([]byte, len(src))
				if err := d.Permute2(got, src, n, rows, cols, size); err != nil {
					t.Fatal(err)
				}
				for m := range n {
					for i := range rows {
						for j := range cols {
							copy(want[(m*rows*cols+j*rows+i)*size:][:size], src[(m*rows*cols+i*cols+j)*size:])
						}
					}
				}
				same(t, fmt.Sprint(shape, " of ", size), got, want, size)
			}
		}
	})
}

// TestDequantFP8Blocks compares odd blocks and tiles with one element at a time.
func TestDequantFP8Blocks(t *testing.T) {
	src := make([]byte, 37*45)
	r := rand.New(rand.NewPCG(11, 12))
	for i := range src {
		src[i] = byte(r.Uint32())
	}
	paths(t, func(t *testing.T, d Device) {
		for _, st := range floats {
			for _, c := range [][2]int{{1, 1}, {5, 7}, {37, 45}, {128, 16}, {1, 45}, {37, 1}, {math.MaxInt, math.MaxInt}} {
				bands, scaleCols := (37-1)/c[0]+1, (45-1)/c[1]+1
				scale := Weights(st, bands*scaleCols)
				got, want := make([]byte, 2*len(src)), make([]byte, 2*len(src))
				for r := 0; r < 37; r += 10 {
					n := min(10, 37-r)
					if err := d.DequantFP8(got[2*45*r:2*45*(r+n)], src[45*r:45*(r+n)], r, n, 45, scale, st, c[0], c[1]); err != nil {
						t.Fatal(err)
					}
				}
				for i, code := range src {
					s := loadF32(st, scale, i/45/c[0]*scaleCols+i%45/c[1])
					le.PutUint16(want[2*i:], f32ToBF16(math.Float32bits(math.Float32frombits(e4m3ToF32(code))*s)))
				}
				same(t, fmt.Sprint(st, c), got, want, 2)
			}
		}
	})
}

// TestDequantFP8Scales meets every code with scales of every kind, in blocks that
// kernels take whole, in part and not at all.
func TestDequantFP8Scales(t *testing.T) {
	const rows, cols = 3, 9 * 128
	src := make([]byte, rows*cols)
	for i := range src {
		src[i] = byte(i)
	}
	inf := float32(math.Inf(1))
	odd := []float32{
		0.0123, 0, float32(math.Copysign(0, -1)), -3, 1e-38, math.SmallestNonzeroFloat32, -1e-45, 0x1p-133, 0x1.8p-126,
		0x1p119, 0x1p120, -0x1.fffffep119, 0x1.fffffep127, math.MaxFloat32, inf, -inf, float32(math.NaN()), math.Float32frombits(0xFFC00001), math.Float32frombits(0x7FFFFFFF), 0x1.0101p100, 2.4e-7,
	}
	paths(t, func(t *testing.T, d Device) {
		for _, blockCols := range []int{1, 31, 32, 33, 64, 96, 128, 1000, cols, cols + 1} {
			for first := range odd {
				scaleCols := (cols-1)/blockCols + 1
				var scale []byte
				for i := range 2 * scaleCols { // rows 0 and 1, row 2
					s := odd[0]
					if i%3 == 0 { // most sets of blocks have none or one that is odd
						s = odd[(first+i/64)%len(odd)]
					}
					scale = le.AppendUint32(scale, math.Float32bits(s))
				}
				got, want := make([]byte, 2*len(src)), make([]byte, 2*len(src))
				if err := d.DequantFP8(got, src, 0, rows, cols, scale, tensor.F32, 2, blockCols); err != nil {
					t.Fatal(err)
				}
				for i, code := range src {
					s := loadF32(tensor.F32, scale, i/cols/2*scaleCols+i%cols/blockCols)
					le.PutUint16(want[2*i:], f32ToBF16(math.Float32bits(math.Float32frombits(e4m3ToF32(code))*s)))
				}
				same(t, fmt.Sprintf("blocks of %d, scale %g", blockCols, odd[first]), got, want, 2)
			}
		}
	})
}
