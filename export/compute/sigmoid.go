package compute

import (
	"math"

	"wreg/registry/arch/op"
	"wreg/registry/tensor"
)

func init() {
	register(operation{value: newWeighted, check: widened, scratch: func(n *op.Node, out, limit int64) int64 {
		from := asMany(n, n.In[0], out) // widened beside what is read
		return out + from + scratch(n.In[0], from, limit)
	}}, op.Branch, op.Stream)
}

// weighted is the weight that a residual gate gives to its branch, or to the stream
// beside it: sigmoids in float32, by the very polynomial of mlx's CPU backend
// (backend/cpu/simd/math.h). Its GPU backends use other exponentials, whose last
// bits differ.
type weighted struct {
	e      *Evaluator
	node   *op.Node
	in     Value
	weight func(x float32) float32
	slots  [2]int
}

// streamFloor keeps the weight of the stream away from zero (mlx_lm's muse_spark.py).
const streamFloor = float32(1e-3)

func newWeighted(e *Evaluator, n *op.Node, in []Value) (Value, error) {
	v := &weighted{e: e, node: n, in: in[0], weight: sigmoid, slots: [2]int{e.slot(), e.slot()}}
	if n.Op == op.Stream {
		v.weight = streamWeight
	}
	return v, nil
}

func (v *weighted) Read(dst []byte, first int64) error {
	n := Count(tensor.F32, dst)
	src, err := v.e.floats(v.in, v.node.In[0].DType, v.slots, first, n)
	if err != nil {
		return err
	}
	by := float32(v.node.Scalar)
	for i := range int(n) {
		le.PutUint32(dst[4*i:], math.Float32bits(v.weight(float(src, i)/by)))
	}
	return nil
}

func streamWeight(x float32) float32 {
	w := sigmoid(-x) * (1 + sigmoid(x))
	if w < streamFloor {
		w = streamFloor
	}
	return float32(math.Sqrt(float64(w)))
}

// Every product and sum below is converted before it is used: Go may fuse them
// otherwise, and the last bit is part of the result.

func sigmoid(x float32) float32 {
	y := 1 / float32(1+exponential(float32(math.Abs(float64(x)))))
	if x < 0 {
		return y
	}
	return 1 - y
}

// exponential is 2^(x / ln 2): the whole part goes into the exponent, a polynomial
// gives the rest. x is not negative.
func exponential(x float32) float32 {
	const most = 88 // beyond it the sum is taken for infinite
	if x != x {
		return x
	}
	if x > most {
		return float32(math.Inf(1))
	}
	y := float32(x * 1.442695)
	whole := float32(math.Floor(float64(float32(y + 0.5))))
	part := float32(y - whole)
	sum := float32(1.535336188319500e-4)
	for _, c := range [...]float32{1.339887440266574e-3, 9.618437357674640e-3, 5.550332471162809e-2, 2.402264791363012e-1, 6.931472028550421e-1, 1} {
		sum = fused(sum, part, c)
	}
	return float32(math.Float32frombits(uint32(int32(whole)+127)<<23) * sum)
}

// fused is a×b + c rounded once. The product of two float32 is exact in float64;
// its sum with c is rounded to odd there, so that the second rounding sees which
// side of a tie it came from.
func fused(a, b, c float32) float32 {
	p, d := float64(a)*float64(b), float64(c)
	s := p + d
	t := s - p
	lost := (p - (s - t)) + (d - t)
	if bits := math.Float64bits(s); lost != 0 && bits&1 == 0 {
		if (lost > 0) == (s > 0) {
			bits++
		} else {
			bits--
		}
		s = math.Float64frombits(bits)
	}
	return float32(s)
}
