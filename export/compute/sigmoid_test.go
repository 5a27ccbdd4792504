package compute

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"

	"wreg/registry/arch/op"
	"wreg/registry/tensor"
)

// Weights of residual gates are those of mlx 0.32.4's CPU backend, bit for bit: at
// the edge where the exponential is taken for infinite, at infinities and NaN.
func TestGateEqualsMLX(t *testing.T) {
	inf := float32(math.Inf(1))
	cases := []struct {
		gate           float32
		stream, branch uint32
	}{
		{0, 0x3f5db3d7, 0x3f000000},
		{float32(math.Copysign(0, -1)), 0x3f5db3d7, 0x3f000000},
		{0.5, 0x3f0a73f1, 0x3f57545b},
		{-0.5, 0x3f7cbfac, 0x3e22ae95},
		{1.7, 0x3da9e901, 0x3f7f1e11},
		{-2.3, 0x3f7ffffe, 0x39f5581e},
		{26.4, 0x3d0186e3, 0x3f800000},
		{-26.4, 0x3f800000, 0x0041ede3},
		{26.41, 0x3d0186e3, 0x3f800000},
		{-100, 0x3f800000, 0},
		{1e-30, 0x3f5db3d7, 0x3f000000},
		{-3e38, 0x3f800000, 0},
		{inf, 0x3d0186e3, 0x3f800000},
		{-inf, 0x3f800000, 0},
		{float32(math.NaN()), 0x7fc00000, 0x7fc00000},
		{0.1234567, 0x3f4c8542, 0x3f19f8d0},
		{-0.7654321, 0x3f7f5458, 0x3d9421a4},
	}
	b := bench{"x": make([]byte, 4*len(cases))}
	want := map[op.Op][]byte{}
	for i, c := range cases {
		le.PutUint32(b["x"][4*i:], math.Float32bits(c.gate))
		want[op.Stream] = le.AppendUint32(want[op.Stream], c.stream)
		want[op.Branch] = le.AppendUint32(want[op.Branch], c.branch)
	}
	shape := tensor.Shape{int64(len(cases))}
	for gate, bytesOf := range want {
		n := &op.Node{Step: op.Step{Op: gate, Scalar: 0.3}, DType: tensor.F32, Shape: shape, In: []*op.Node{{Step: op.Step{Op: op.Load, Path: "x"}, DType: tensor.F32, Shape: shape}}}
		for _, random := range []*rand.Rand{nil, rand.New(rand.NewPCG(1, 2))} {
			got := b.evaluate(t, n, random)
			for i, c := range cases {
				if !bytes.Equal(got[4*i:4*i+4], bytesOf[4*i:4*i+4]) {
					t.Errorf("%s of %v is %#x, mlx's %#x", gate, c.gate, le.Uint32(got[4*i:]), le.Uint32(bytesOf[4*i:]))
				}
			}
		}
	}
}

// A gate stored in another float is widened first, in ranges as at once.
func TestGateInRanges(t *testing.T) {
	for _, d := range []tensor.DType{tensor.BF16, tensor.F16} {
		shape := tensor.Shape{700}
		b := bench{"x": noise(d, SizeOf(d, 700), 5)}
		n := &op.Node{Step: op.Step{Op: op.Branch, Scalar: 0.3}, DType: tensor.F32, Shape: shape, In: []*op.Node{{Step: op.Step{Op: op.Load, Path: "x"}, DType: d, Shape: shape}}}
		whole := b.evaluate(t, n, nil)
		for seed := range uint64(10) {
			if !bytes.Equal(b.evaluate(t, n, rand.New(rand.NewPCG(seed, 3))), whole) {
				t.Errorf("%v: ranges differ from the whole", d)
			}
		}
	}
}
