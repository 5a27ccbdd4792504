package cpu

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"wreg/registry/tensor"
)

// TestPack compares with the definition: one stream of bits, the lowest first.
func TestPack(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 14))
	for _, width := range []int{1, 2, 3, 4, 5, 6, 8} {
		q := make([]uint8, 64)
		for i := range q {
			q[i] = uint8(r.Uint32()) & (1<<width - 1)
		}
		want := make([]byte, 8*width)
		for i, code := range q {
			for b := range width {
				want[(i*width+b)/8] |= code >> b & 1 << ((i*width + b) % 8)
			}
		}
		got := bytes.Repeat([]byte{0xFF}, len(want))
		pack(got, q, width)
		same(t, "packed", got, want, 1)
		back := make([]uint8, len(q))
		unpack(back, got, width)
		if !slices.Equal(back, q) {
			t.Errorf("%d bits: unpacked %v, want %v", width, back, q)
		}
	}
}

// TestRepackAWQ follows one code at a time from where AWQ keeps it.
func TestRepackAWQ(t *testing.T) {
	const in, out, groups = 16, 24, 2
	r := rand.New(rand.NewPCG(15, 16))
	random := func(n int) []byte {
		p := make([]byte, n)
		for i := range p {
			p[i] = byte(r.Uint32())
		}
		return p
	}
	code := func(p []byte, row, col int) uint32 { // p is [rows, out/8]
		return le.Uint32(p[(row*out/8+col/8)*4:]) >> (4 * []int{0, 4, 1, 5, 2, 6, 3, 7}[col%8]) & 15
	}
	src := random(in * out / 2)
	got := make([]byte, len(src))
	if err := RepackAWQ(got, src, in, out); err != nil {
		t.Fatal(err)
	}
	for o := range out {
		for i := range in {
			if g, w := uint32(got[(o*in+i)/2]>>(4*(i%2))&15), code(src, i, o); g != w {
				t.Fatalf("output %d, input %d: code %d, want %d", o, i, g, w)
			}
		}
	}
	zeros, scales := random(groups*out/2), Weights(tensor.F16, groups*out)
	for _, z := range [][]byte{zeros, nil} {
		biases := make([]byte, len(scales))
		if err := BiasesAWQ(biases, z, scales, tensor.F16, groups, out); err != nil {
			t.Fatal(err)
		}
		for o := range out {
			for g := range groups {
				zero := float32(8)
				if z != nil {
					zero = float32(code(z, g, o))
				}
				want := make([]byte, 2)
				storeF32(tensor.F16, want, 0, -zero*loadF32(tensor.F16, scales, o*groups+g))
				same(t, "bias", biases[2*(o*groups+g):][:2], want, 2)
			}
		}
	}
	for name, err := range map[string]error{
		"odd outputs":  RepackAWQ(make([]byte, 6), make([]byte, 6), 1, 12),
		"odd inputs":   RepackAWQ(make([]byte, 16), make([]byte, 16), 4, 8),
		"short dst":    RepackAWQ(make([]byte, 31), make([]byte, 32), 8, 8),
		"in place":     RepackAWQ(src, src, in, out),
		"short zeros":  BiasesAWQ(make([]byte, 96), zeros[1:], scales, tensor.F16, groups, out),
		"short scales": BiasesAWQ(make([]byte, 96), zeros, scales[2:], tensor.F16, groups, out),
		"fp8 scales":   BiasesAWQ(make([]byte, 96), zeros, scales, tensor.F8E4M3, groups, out),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
