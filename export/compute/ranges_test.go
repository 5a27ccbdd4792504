package compute

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"math/rand/v2"
	"os"
	"testing"

	"wreg/accel"
	"wreg/registry/arch/op"
	"wreg/registry/tensor"
)

// evaluate makes a whole tensor, in ranges of random lengths when random is given.
func (b bench) evaluate(t *testing.T, n *op.Node, random *rand.Rand) []byte {
	t.Helper()
	if err := Check(n, func(path string) (tensor.Info, bool) { return b.info(n, path) }); err != nil {
		t.Fatal(err)
	}
	e := &Evaluator{device: accel.CPU(), open: b.open, Limit: 1 << 20, when: usual}
	if random != nil {
		e.Limit = 4096
	}
	v, err := e.Value(n)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]byte, SizeOf(n.DType, Numel(n.Shape)))
	for first := int64(0); first < Numel(n.Shape); {
		k := Numel(n.Shape) - first
		if random != nil {
			k = min(k, 1+random.Int64N(500))
		}
		if err := v.Read(out[SizeOf(n.DType, first):SizeOf(n.DType, first+k)], first); err != nil {
			t.Fatal(err)
		}
		first += k
	}
	return out
}

// Row and column norms are mlx's, bit for bit (testdata was computed by mlx 0.32.4
// on an x86-64 CPU).
func TestL2NormEqualsMLX(t *testing.T) {
	data, err := os.ReadFile("testdata/l2norm.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		DType         string
		Shape         tensor.Shape
		Axis          int
		Input, Output string
	}
	if err := json.Unmarshal(data, &cases); err != nil || len(cases) == 0 {
		t.Fatal(err)
	}
	for _, c := range cases {
		dtype, _ := tensor.ParseDType(c.DType)
		in, _ := hex.DecodeString(c.Input)
		want, _ := hex.DecodeString(c.Output)
		n := &op.Node{Step: op.Step{Op: op.L2Norm, Axis: c.Axis}, DType: dtype, Shape: c.Shape, In: []*op.Node{{Step: op.Step{Op: op.Load, Path: "x"}, DType: dtype, Shape: c.Shape}}}
		for _, random := range []*rand.Rand{nil, rand.New(rand.NewPCG(1, 2))} {
			if got := (bench{"x": in}).evaluate(t, n, random); !bytes.Equal(got, want) {
				t.Errorf("%s %v axis %d: bytes differ", c.DType, c.Shape, c.Axis)
			}
		}
	}
}

// Packed forms read in ranges are the whole read at once.
func TestPackedInRanges(t *testing.T) {
	load := func(path string, dtype tensor.DType, shape ...int64) *op.Node {
		return &op.Node{Step: op.Step{Op: op.Load, Path: path}, DType: dtype, Shape: shape}
	}
	b := bench{}
	var trees []*op.Node
	add := func(n *op.Node) {
		for _, m := range n.In {
			b[m.Path] = noise(m.DType, SizeOf(m.DType, Numel(m.Shape)), uint64(len(b)))
		}
		trees = append(trees, n)
	}
	for _, s := range []accel.QuantSpec{{Mode: accel.Affine, Bits: 3, Group: 64}, {Mode: accel.Affine, Bits: 4, Group: 32}, {Mode: accel.MXFP4, Bits: 4, Group: 32}, {Mode: accel.NVFP4, Bits: 4, Group: 16}, {Mode: accel.MXFP8, Bits: 8, Group: 32}} {
		n := &op.Node{Step: op.Step{Op: op.Dequantize, Axis: s.Bits, Count: s.Group}, DType: tensor.BF16, Shape: tensor.Shape{2, 5, 128}}
		scales := tensor.U8
		if s.Mode == accel.Affine {
			scales = tensor.BF16
		}
		name := s.Mode + string(rune('0'+s.Bits))
		n.In = []*op.Node{load(name+"w", tensor.U32, 2, 5, 128*int64(s.Bits)/32), load(name+"s", scales, 2, 5, 128/int64(s.Group))}
		if s.Mode == accel.Affine {
			n.In = append(n.In, load(name+"b", scales, 2, 5, 128/int64(s.Group)))
		}
		add(n)
	}
	add(&op.Node{Step: op.Step{Op: op.AWQ}, DType: tensor.U32, Shape: tensor.Shape{72, 24}, In: []*op.Node{load("qweight", tensor.I32, 192, 9)}})
	add(&op.Node{Step: op.Step{Op: op.AWQBias}, DType: tensor.F16, Shape: tensor.Shape{72, 6}, In: []*op.Node{load("scales", tensor.F16, 72, 6), load("zeros", tensor.I32, 6, 9)}})
	for d := range tensor.DType(255) {
		if has := decodable[d] != nil; has != op.Decodable(d) {
			t.Errorf("%v has a decoder: %v; op.Decodable says otherwise", d, has)
		}
	}
	for d := range decodable {
		add(&op.Node{Step: op.Step{Op: op.GGML}, DType: tensor.F32, Shape: tensor.Shape{7, 96}, In: []*op.Node{load(d.String(), d, 7, 96)}})
		_, size := d.Block()
		for i := 1; i < len(b[d.String()]); i += int(size) {
			b[d.String()][i] &^= 0x40 // a scale that is a number
		}
	}
	for _, n := range trees {
		whole := b.evaluate(t, n, nil)
		for seed := range uint64(20) {
			if got := b.evaluate(t, n, rand.New(rand.NewPCG(seed, 3))); !bytes.Equal(got, whole) {
				t.Errorf("%s: ranges differ from the whole", n.Text())
				break
			}
		}
		if bytes.Count(whole, []byte{0}) == len(whole) {
			t.Errorf("%s: gives zeros only", n.Text())
		}
	}
}
