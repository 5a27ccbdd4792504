package cpu

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"wreg/registry/tensor"
)

var floats = []tensor.DType{tensor.F32, tensor.F16, tensor.BF16}

// TestQuantizeEqualsMLX goes through all the vectors: <mode>.<type> or
// affine.<type>.g<group>.b<bits>, each with .weight, .scales and, some, .biases and
// .dequant.
func TestQuantizeEqualsMLX(t *testing.T) {
	for file, least := range map[string]int{"quant": 63, "odd": 24} {
		v := vectors(t, file)
		tests := 0
		for _, key := range slices.Sorted(maps.Keys(v)) {
			name, ok := strings.CutSuffix(key, ".weight")
			if !ok {
				continue
			}
			tests++
			parts := strings.Split(name, ".")
			spec := QuantSpec{Mode: parts[0]}
			if spec.Mode == Affine {
				spec.Group, _ = strconv.Atoi(parts[2][1:])
				spec.Bits, _ = strconv.Atoi(parts[3][1:])
			}
			t.Run(file+"/"+name, func(t *testing.T) {
				paths(t, func(t *testing.T, d Device) { equalsMLX(t, d, v, name, spec, v["in."+parts[1]]) })
			})
		}
		if tests < least {
			t.Errorf("%s: %d tests, want at least %d", file, tests, least)
		}
	}
}

func equalsMLX(t *testing.T, d Device, v map[string]vector, name string, spec QuantSpec, in vector) {
	rows, cols := in.shape[0], in.shape[1]
	np, ns, nb, err := spec.Sizes(rows, cols, in.dt)
	if err != nil {
		t.Fatal(err)
	}
	packed, scales, biases := make([]byte, np), make([]byte, ns), make([]byte, nb)
	if err := d.Quantize(packed, scales, biases, in.data, in.dt, rows, cols, spec); err != nil {
		t.Fatal(err)
	}
	same(t, "codes", packed, v[name+".weight"].data, 4)
	same(t, "scales", scales, v[name+".scales"].data, size(v[name+".scales"].dt))
	same(t, "biases", biases, v[name+".biases"].data, size(in.dt))
	want, ok := v[name+".dequant"]
	if !ok {
		return
	}
	back := make([]byte, len(want.data))
	if err := d.Dequantize(back, packed, scales, biases, want.dt, rows, cols, spec); err != nil {
		t.Fatal(err)
	}
	same(t, "elements", back, want.data, size(want.dt))
}

// TestE4M3Codes compares the kernel with f32ToE4M3, for numbers of every kind.
func TestE4M3Codes(t *testing.T) {
	d := New()
	if d.k.codes8 == nil {
		return // plain Go has f32ToE4M3 alone
	}
	bits := patterns(tensor.F32)
	for e := range uint32(256) { // every number of four bits' fraction, and beside it
		for f := range uint32(16) {
			for off := range uint32(3) {
				u := e<<23 | f<<19 + off - 1
				bits = le.AppendUint32(le.AppendUint32(bits, u), u|1<<31)
			}
		}
	}
	bits = bits[:len(bits)/4/lanes*lanes*4]
	g, want := make([]float32, len(bits)/4), make([]byte, len(bits)/4)
	for i := range g {
		u := le.Uint32(bits[4*i:])
		g[i], want[i] = math.Float32frombits(u), f32ToE4M3(u)
	}
	got := make([]byte, len(g))
	d.k.codes8(got, g, 1)
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("%#08x has code %#02x, want %#02x", math.Float32bits(g[i]), got[i], want[i])
		}
	}
}

// TestNearestE2M1 compares the thresholds of the kernel, which sees quotients before
// they are rounded to the type, with the search over all codes: every value of f16
// and bf16 up to where thresholds end, and the numbers next to each half way.
func TestNearestE2M1(t *testing.T) {
	d := New()
	if d.k.codes4 == nil {
		return // plain Go has the search alone
	}
	for _, dt := range floats {
		var g []float32
		add := func(v float32) {
			if abs(v) <= e2m1Orderly {
				g = append(g, v, -v)
			}
		}
		for i := range 1 << 15 {
			add(math.Float32frombits(uint32(i) << 16))
			add(math.Float32frombits(f16ToF32(uint16(i))))
		}
		for _, around := range [][7]float32{e2m1Half, *e2m1Above(dt)} {
			for _, v := range around {
				for off := range uint32(64) {
					add(math.Float32frombits(math.Float32bits(v) + off - 32))
				}
			}
		}
		add(float32(math.NaN()))
		for len(g)%16 != 0 {
			g = append(g, 0)
		}
		got := make([]byte, len(g)/2)
		d.k.codes4(got, g, 1, e2m1Above(dt))
		for _, mode := range []string{MXFP4, NVFP4} {
			code := fpCode(dt, QuantSpec{Mode: mode, Bits: 4})
			for i, v := range g {
				if c := got[i/2] >> (4 * (i % 2)) & 15; c != code(v) {
					t.Fatalf("%s of %v: %g has code %d, want %d", mode, dt, v, c, code(v))
				}
			}
		}
	}
}
