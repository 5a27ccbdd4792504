package arch_test

import (
	"encoding/binary"
	"fmt"
	"math"
	precise "math/big"

	"wreg/registry/arch/op"
	"wreg/registry/tensor"
)

// interpret computes a Node the slow, obvious way: what export must equal.
func interpret(n *op.Node, load func(path string) ([]byte, error)) ([]byte, error) {
	in := make([][]byte, len(n.In))
	for i, x := range n.In {
		var err error
		if in[i], err = interpret(x, load); err != nil {
			return nil, err
		}
	}
	_, size := n.DType.Block()
	switch n.Op {
	case op.Load:
		return load(n.Path)
	case op.Stack:
		var out []byte
		for _, b := range in {
			out = append(out, b...)
		}
		return out, nil
	case op.Reshape, op.View:
		return in[0], nil
	case op.Concat:
		outer := int64(1)
		for _, d := range n.Shape[:n.Axis] {
			outer *= d
		}
		var out []byte
		for o := range outer {
			for _, b := range in {
				row := int64(len(b)) / outer
				out = append(out, b[o*row:(o+1)*row]...)
			}
		}
		return out, nil
	case op.Slice, op.Permute, op.Repeat:
		return gather(n, in[0], int(size)), nil
	case op.Add, op.Mul, op.MulVec, op.Cast:
		return elementwise(n, in[0])
	case op.FP8:
		return fp8(n, in[0], in[1])
	case op.AWQ, op.AWQBias:
		return awq(n, in)
	case op.Branch, op.Stream:
		return gate(n, in[0]), nil
	case op.L2Norm:
		return l2norm(n, in[0]), nil
	}
	return nil, fmt.Errorf("no %s", n.Op)
}

// gather copies element by element from where the operation says.
func gather(n *op.Node, in []byte, size int) []byte {
	from := n.In[0].Shape
	numel, _ := n.Shape.Numel()
	out := make([]byte, 0, int(numel)*size)
	index := make([]int64, len(n.Shape))
	for range numel {
		at := make([]int64, len(from))
		for k, i := range index {
			switch n.Op {
			case op.Slice:
				at[k] = n.Start[k] + i*n.Stride[k]
			case op.Permute:
				at[n.Perm[k]] = i
			case op.Repeat:
				if at[k] = i; k == n.Axis {
					at[k] = i / int64(n.Count)
				}
			}
		}
		flat := int64(0)
		for k, i := range at {
			flat = flat*from[k] + i
		}
		out = append(out, in[int(flat)*size:][:size]...)
		for k := len(index) - 1; k >= 0; k-- {
			if index[k]++; index[k] < n.Shape[k] {
				break
			}
			index[k] = 0
		}
	}
	return out
}

func get(b []byte, i int, dt tensor.DType) float32 {
	switch dt {
	case tensor.F32:
		return math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	case tensor.BF16:
		return math.Float32frombits(uint32(binary.LittleEndian.Uint16(b[2*i:])) << 16)
	case tensor.F16:
		return fromF16(binary.LittleEndian.Uint16(b[2*i:]))
	}
	panic(dt)
}

func put(b []byte, x float32, dt tensor.DType) []byte {
	u := math.Float32bits(x)
	switch dt {
	case tensor.F32:
		return binary.LittleEndian.AppendUint32(b, u)
	case tensor.BF16:
		return binary.LittleEndian.AppendUint16(b, uint16((u+(u>>16)&1+0x7fff)>>16))
	case tensor.F16:
		return binary.LittleEndian.AppendUint16(b, toF16(x))
	}
	panic(dt)
}

func fromF16(h uint16) float32 {
	sign, e, m := float64(1), int(h>>10&31), float64(h&1023)
	if h>>15 == 1 {
		sign = -1
	}
	if e == 0 {
		return float32(sign * math.Ldexp(m, -24))
	}
	return float32(sign * math.Ldexp(1024+m, e-25))
}

func toF16(x float32) uint16 {
	sign := uint16(math.Float32bits(x)>>31) << 15
	a := math.Abs(float64(x))
	if a == 0 {
		return sign
	}
	e := max(math.Ilogb(a), -14)
	m := math.RoundToEven(math.Ldexp(a, 10-e))
	if e == -14 && m < 1024 {
		return sign | uint16(m)
	}
	return sign + uint16(e+14)<<10 + uint16(m) // a carry runs into the exponent
}

func elementwise(n *op.Node, in []byte) ([]byte, error) {
	from := n.In[0].DType
	numel, _ := n.Shape.Numel()
	scalar := func(f float64) float32 { return get(put(nil, float32(f), from), 0, from) }
	var out []byte
	for i := range int(numel) {
		x := get(in, i, from)
		switch n.Op {
		case op.Add:
			x += scalar(n.Scalar)
		case op.Mul:
			x *= scalar(n.Scalar)
		case op.MulVec:
			x *= scalar(float64(scalar(n.Vector[int64(i)*n.Shape[0]/numel]) * scalar(n.Scalar)))
		}
		out = put(out, x, n.DType)
	}
	return out, nil
}

// gate is a sigmoid as mlx's CPU backend computes it, to the bit.
func gate(n *op.Node, in []byte) []byte {
	round := func(f *precise.Float) float32 { x, _ := f.Float32(); return x }
	exact := func(x float32) *precise.Float { return precise.NewFloat(float64(x)).SetPrec(200) }
	sigmoid := func(x float32) float32 {
		a := float32(math.Abs(float64(x)))
		e := float32(math.Inf(1))
		if a <= 88 {
			y := a * 1.442695
			whole := float32(math.Floor(float64(y + 0.5)))
			p := float32(1.535336188319500e-4)
			for _, c := range []float32{1.339887440266574e-3, 9.618437357674640e-3, 5.550332471162809e-2, 2.402264791363012e-1, 6.931472028550421e-1, 1} {
				product := new(precise.Float).SetPrec(200).Mul(exact(p), exact(y-whole))
				p = round(product.Add(product, exact(c)))
			}
			e = float32(math.Ldexp(float64(p), int(whole)))
		}
		y := 1 / (1 + e)
		if x < 0 {
			return y
		}
		return 1 - y
	}
	numel, _ := n.Shape.Numel()
	var out []byte
	for i := range int(numel) {
		x := get(in, i, n.In[0].DType) / float32(n.Scalar)
		w := sigmoid(x)
		if n.Op == op.Stream {
			w = float32(math.Sqrt(float64(max(sigmoid(-x)*float32(1+w), 1e-3))))
		}
		out = put(out, w, tensor.F32)
	}
	return out
}

// l2norm divides by the length along one axis of a matrix, summed in order as mlx
// does on x86-64.
func l2norm(n *op.Node, in []byte) []byte {
	rows, cols := int(n.Shape[0]), int(n.Shape[1])
	line := func(i int) int { // which sum element i belongs to
		if n.Axis == 0 {
			return i % cols
		}
		return i / cols
	}
	sums := make([]float32, max(rows, cols))
	for i := range rows * cols {
		x := get(in, i, n.DType)
		square := float32(x * x) // the conversion keeps it from being fused with the sum
		sums[line(i)] += square
	}
	var out []byte
	for i := range rows * cols {
		length := float32(math.Sqrt(float64(sums[line(i)])))
		out = put(out, get(in, i, n.DType)/(length+1e-7), n.DType)
	}
	return out
}

func fp8(n *op.Node, codes, scales []byte) ([]byte, error) {
	scaleShape, st := n.In[1].Shape, n.In[1].DType
	rank := len(n.Shape)
	rows, cols := n.Shape[rank-2], n.Shape[rank-1]
	var out []byte
	for i, c := range codes {
		x := fromF16(uint16(c&127)<<7) * 256
		if c > 127 {
			x = -x
		}
		s := 0
		if n.Block != [2]int64{} {
			r, k := int64(i)/cols, int64(i)%cols
			batch := r / rows
			s = int((batch*scaleShape[rank-2]+r%rows/n.Block[0])*scaleShape[rank-1] + k/n.Block[1])
		} else if numel, _ := scaleShape.Numel(); numel > 1 {
			s = int(int64(i) / (int64(len(codes)) / numel)) // leading axes only: enough for the goldens
		}
		y := x * get(scales, s, st)
		out = put(out, y, tensor.BF16)
	}
	return out, nil
}

func awq(n *op.Node, in [][]byte) ([]byte, error) {
	nibble := func(word uint32, k int64) uint32 { // of logical column k in its word
		return word >> (4 * []uint{0, 4, 1, 5, 2, 6, 3, 7}[k%8]) & 15
	}
	var out []byte
	if n.Op == op.AWQ {
		rows := n.In[0].Shape[0]
		words := n.In[0].Shape[1]
		for o := range n.Shape[0] {
			for w := range rows / 8 {
				var packed uint32
				for k := range int64(8) {
					word := binary.LittleEndian.Uint32(in[0][4*((w*8+k)*words+o/8):])
					packed |= nibble(word, o) << (4 * k)
				}
				out = binary.LittleEndian.AppendUint32(out, packed)
			}
		}
		return out, nil
	}
	groups := n.Shape[1]
	for i := range n.Shape[0] * groups {
		o, g := i/groups, i%groups
		zero := uint32(8)
		if len(in) > 1 {
			zero = nibble(binary.LittleEndian.Uint32(in[1][4*(g*n.Shape[0]/8+o/8):]), o)
		}
		s := get(in[0], int(i), n.DType)
		out = put(out, -float32(zero)*s, n.DType)
	}
	return out, nil
}
