package measure_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"

	"wreg/accel"
	"wreg/ingest/sums"
	"wreg/registry/arch/op"
	"wreg/registry/tensor"
	"wreg/view/measure"
)

func side(ref string, tensors map[string]tensor.Info, data map[string][]byte) *measure.Side {
	return &measure.Side{
		Ref:   ref,
		Bytes: func(path string) (io.ReaderAt, error) { return bytes.NewReader(data[path]), nil },
		Info:  func(path string) (tensor.Info, bool) { t, ok := tensors[path]; return t, ok },
	}
}

// one is a side of one tensor, w.
func one(t *testing.T, ref string, d tensor.DType, data []byte, shape ...int64) (*measure.Side, *op.Node) {
	t.Helper()
	if n, err := tensor.Shape(shape).Bytes(d); err != nil || n != int64(len(data)) {
		t.Fatalf("%v %v has %d bytes, not %d (%v)", d, shape, n, len(data), err)
	}
	sum := sums.NewSummer()
	sum.Write(data)
	info := tensor.Info{Path: "w", DType: d, Shape: shape, Bytes: int64(len(data)), Sum: sum.Sum()}
	return side(ref, map[string]tensor.Info{"w": info}, map[string][]byte{"w": data}), op.Stored(info)
}

// element is element i as the types' definitions have it, in big arithmetic; ok is false
// where it is not finite.
func element(d tensor.DType, data []byte, i int) (x *big.Float, nan, ok bool) {
	le := binary.LittleEndian
	exact := func(f float64) (*big.Float, bool, bool) {
		if f != f || math.IsInf(f, 0) {
			return nil, f != f, false
		}
		return new(big.Float).SetPrec(2000).SetFloat64(f), false, true
	}
	small := func(u uint64, exponent, fraction, bias int) float64 { // IEEE-like, without its infinities
		f := float64(u & (1<<fraction - 1))
		e := int(u>>fraction) & (1<<exponent - 1)
		v := math.Ldexp(f, 1-bias-fraction)
		if e > 0 {
			v = math.Ldexp(f+float64(uint(1)<<fraction), e-bias-fraction)
		}
		if u>>(exponent+fraction)&1 == 1 {
			v = -v
		}
		return v
	}
	switch d {
	case tensor.F64:
		return exact(math.Float64frombits(le.Uint64(data[8*i:])))
	case tensor.F32:
		return exact(float64(math.Float32frombits(le.Uint32(data[4*i:]))))
	case tensor.BF16:
		return exact(float64(math.Float32frombits(uint32(le.Uint16(data[2*i:])) << 16)))
	case tensor.F16:
		u := uint64(le.Uint16(data[2*i:]))
		if u&0x7C00 == 0x7C00 {
			return nil, u&0x3FF != 0, false
		}
		return exact(small(u, 5, 10, 15))
	case tensor.F8E4M3:
		if data[i]&0x7F == 0x7F {
			return nil, true, false
		}
		return exact(small(uint64(data[i]), 4, 3, 7))
	case tensor.F8E5M2:
		if data[i]&0x7C == 0x7C {
			return nil, data[i]&3 != 0, false
		}
		return exact(small(uint64(data[i]), 5, 2, 15))
	case tensor.F4:
		return exact(small(uint64(data[i/2]>>(4*(i%2))&15), 2, 1, 1))
	case tensor.F6E3M2:
		return exact(small(uint64(le.Uint32(append(bytes.Clone(data[i/4*3:i/4*3+3]), 0))>>(6*(i%4))&63), 3, 2, 3))
	case tensor.U8, tensor.Bool:
		return exact(float64(data[i]))
	case tensor.I8:
		return exact(float64(int8(data[i])))
	case tensor.U16:
		return exact(float64(le.Uint16(data[2*i:])))
	case tensor.I32:
		return exact(float64(int32(le.Uint32(data[4*i:]))))
	case tensor.U32:
		return exact(float64(le.Uint32(data[4*i:])))
	case tensor.I64:
		return new(big.Float).SetPrec(2000).SetInt64(int64(le.Uint64(data[8*i:]))), false, true
	case tensor.U64:
		return new(big.Float).SetPrec(2000).SetUint64(le.Uint64(data[8*i:])), false, true
	}
	panic(d)
}

// bits are those of element i.
func bits(d tensor.DType, data []byte, i int) uint64 {
	elems, size := d.Block()
	if elems == 1 {
		var b [8]byte
		copy(b[:], data[i*int(size):(i+1)*int(size)])
		return binary.LittleEndian.Uint64(b[:])
	}
	each := 8 * int(size) / int(elems)
	u := uint64(0)
	for k := range each {
		at := i*each + k
		u |= uint64(data[at/8]>>(at%8)&1) << k
	}
	return u
}

// reference is what Pairs must say, by the definitions.
func reference(da, db tensor.DType, a, b []byte, n int) (d measure.Delta) {
	d.Elements, d.At = int64(n), -1
	sum, of, most := new(big.Float).SetPrec(2000), new(big.Float).SetPrec(2000), new(big.Float).SetPrec(2000)
	for i := range n {
		x, xNaN, xOK := element(da, a, i)
		y, yNaN, yOK := element(db, b, i)
		switch {
		case da == db:
			if bits(da, a, i) != bits(db, b, i) {
				d.Changed++
			}
		case xOK && yOK:
			if x.Cmp(y) != 0 {
				d.Changed++
			}
		case xNaN != yNaN || xOK != yOK:
			d.Changed++
		}
		switch {
		case xNaN || yNaN:
			d.NaNs++
			continue
		case !xOK || !yOK:
			d.Infs++
			continue
		}
		diff := new(big.Float).SetPrec(2000).Sub(y, x)
		of.Add(of, new(big.Float).SetPrec(2000).Mul(x, x))
		sum.Add(sum, new(big.Float).SetPrec(2000).Mul(diff, diff))
		if diff.Abs(diff).Cmp(most) > 0 {
			most, d.At = diff, int64(i)
		}
	}
	d.Squares, _ = sum.Float64()
	d.Of, _ = of.Float64()
	d.Max, _ = most.Float64()
	return d
}

func near(a, b float64) bool { return a == b || math.Abs(a-b) <= 1e-12*math.Abs(b) }

func same(got, want measure.Delta) bool {
	g, w := got, want
	g.Squares, g.Of, g.Max, w.Squares, w.Of, w.Max = 0, 0, 0, 0, 0, 0
	return g == w && near(got.Squares, want.Squares) && near(got.Of, want.Of) && near(got.Max, want.Max)
}

// mutate changes every few elements, and puts in what is not finite where the type has
// such codes.
func mutate(r *rand.Rand, b []byte, every int) []byte {
	b = bytes.Clone(b)
	for i := range b {
		if r.IntN(every) == 0 {
			b[i] = byte(r.Uint32())
		}
	}
	return b
}

var types = []tensor.DType{tensor.F64, tensor.F32, tensor.BF16, tensor.F16, tensor.F8E4M3, tensor.F8E5M2, tensor.F6E3M2, tensor.F4,
	tensor.Bool, tensor.U8, tensor.I8, tensor.U16, tensor.I32, tensor.U32, tensor.I64, tensor.U64}

// Every number is what the definitions say, of each type and of two different ones, for
// lengths around the blocks and chunks that are read; and it depends on neither workers
// nor memory.
func TestAgainstDefinitions(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	// Random bits of the wide types are hardly ever near each other: those are drawn.
	draw := func(d tensor.DType, n int) []byte {
		size, _ := d.Size(int64(n))
		b := make([]byte, size)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		for i := range n {
			x := r.NormFloat64()
			switch d {
			case tensor.F64:
				binary.LittleEndian.PutUint64(b[8*i:], math.Float64bits(x))
			case tensor.F32:
				binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(float32(x)))
			case tensor.BF16:
				binary.LittleEndian.PutUint16(b[2*i:], uint16(math.Float32bits(float32(x))>>16))
			}
		}
		return b
	}
	for _, da := range types {
		for _, db := range types {
			for _, n := range []int{1, 4, 2048, 2051, 2052, 10_000} {
				elems, _ := da.Block()
				if da != db && n != 2052 || n%int(elems) != 0 {
					continue
				}
				a := draw(da, n)
				b := mutate(r, a, 50)
				b[len(b)-1] ^= 1 // the last element, too
				if da != db {
					b = draw(db, n)
				}
				if da == tensor.F32 && n > 4 {
					for i, x := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Copysign(0, -1)), 0} {
						binary.LittleEndian.PutUint32(a[4*(i+100):], math.Float32bits(x))
					}
					if db == da {
						b = mutate(r, a, 200)
						binary.LittleEndian.PutUint32(b[4*103:], 1<<31) // 0 became -0
					}
				}
				want := reference(da, db, a, b, n)
				for _, jobs := range []int{1, 3} {
					for _, memory := range []int64{0, 4 << 20} {
						sa, na := one(t, "a@1", da, a, int64(n))
						sb, nb := one(t, "b@1", db, b, int64(n))
						got, err := measure.Pairs(t.Context(), sa, sb, []measure.Pair{{Path: "w", A: na, B: nb}}, measure.Options{Jobs: jobs, Memory: memory})
						if err != nil {
							t.Fatalf("%v %v: %v", da, db, err)
						}
						if !same(got[0], want) {
							t.Errorf("%v against %v, %d elements, %d jobs:\n got %+v\nwant %+v", db, da, n, jobs, got[0], want)
						}
					}
				}
			}
		}
	}
}

// Sums are the same to the last bit whatever the workers, the memory and the order.
func TestSameBitsWhateverTheWorkers(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	const tensors, n = 7, 300_000
	infos, a, b := map[string]tensor.Info{}, map[string][]byte{}, map[string][]byte{}
	var pairs []measure.Pair
	for i := range tensors {
		path := fmt.Sprint("w", i)
		size := n / (i + 1)
		x, y := make([]byte, 4*size), make([]byte, 4*size)
		for k := range size {
			v := float32(r.NormFloat64())
			binary.LittleEndian.PutUint32(x[4*k:], math.Float32bits(v))
			binary.LittleEndian.PutUint32(y[4*k:], math.Float32bits(v+float32(r.NormFloat64()/1000)))
		}
		infos[path] = tensor.Info{Path: path, DType: tensor.F32, Shape: tensor.Shape{int64(size)}, Bytes: int64(4 * size)}
		a[path], b[path] = x, y
		pairs = append(pairs, measure.Pair{Path: path, A: op.Stored(infos[path]), B: op.Stored(infos[path])})
	}
	var first []measure.Delta
	for _, o := range []measure.Options{{Jobs: 1}, {Jobs: 2}, {Jobs: 5, Memory: 8 << 20}, {Jobs: 16, Memory: 20 << 20}} {
		done := make(chan int64, 1<<16)
		o.Progress = func(n int64) { done <- n }
		got, err := measure.Pairs(t.Context(), side("a@1", infos, a), side("b@1", infos, b), pairs, o)
		if err != nil {
			t.Fatal(err)
		}
		close(done)
		total, want := int64(0), int64(0)
		for n := range done {
			total += n
		}
		for i := range infos {
			want += 2 * infos[i].Bytes
		}
		if total != want {
			t.Errorf("%d bytes of progress, want %d", total, want)
		}
		if first == nil {
			first = got
		}
		for i := range got {
			if got[i] != first[i] {
				t.Errorf("%+v: %+v, with one worker %+v", o.Jobs, got[i], first[i])
			}
		}
	}
}

// Experts one by one are compared with their stack, a matrix with its transpose, and
// packed codes with what they stand for.
func TestTrees(t *testing.T) {
	floats := func(x ...float32) []byte {
		var b []byte
		for _, f := range x {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(f))
		}
		return b
	}
	info := func(path string, d tensor.DType, shape ...int64) tensor.Info {
		n, _ := tensor.Shape(shape).Bytes(d)
		return tensor.Info{Path: path, DType: d, Shape: shape, Bytes: n}
	}
	one, two, both := info("e.0", tensor.F32, 2), info("e.1", tensor.F32, 2), info("e", tensor.F32, 2, 2)
	wide, tall := info("m", tensor.F32, 2, 3), info("t", tensor.F32, 3, 2)
	weights := make([]float32, 128)
	for i := range weights {
		weights[i] = float32(math.Sin(float64(i)))
	}
	plain := info("p", tensor.F32, 2, 64)
	spec := accel.QuantSpec{Mode: accel.Affine, Bits: 4, Group: 64}
	codes, scales, biases := make([]byte, 64), make([]byte, 8), make([]byte, 8)
	if err := accel.CPU().Quantize(codes, scales, biases, floats(weights...), tensor.F32, 2, 64, spec); err != nil {
		t.Fatal(err)
	}
	back := make([]byte, 512)
	if err := accel.CPU().Dequantize(back, codes, scales, biases, tensor.F32, 2, 64, spec); err != nil {
		t.Fatal(err)
	}
	a := side("a@1", map[string]tensor.Info{"e.0": one, "e.1": two, "m": wide, "p": plain},
		map[string][]byte{"e.0": floats(1, 2), "e.1": floats(3, 4), "m": floats(1, 2, 3, 4, 5, 6), "p": floats(weights...)})
	words, groups := info("q.weight", tensor.U32, 2, 8), info("q.scales", tensor.F32, 2, 1)
	b := side("b@1", map[string]tensor.Info{"e": both, "t": tall, "q.weight": words, "q.scales": groups, "q.biases": info("q.biases", tensor.F32, 2, 1)},
		map[string][]byte{"e": floats(1, 2, 3, 5), "t": floats(1, 4, 2, 5, 3, 6), "q.weight": codes, "q.scales": scales, "q.biases": biases})
	unpacked := &op.Node{Step: op.Step{Op: op.Dequantize, Axis: 4, Count: 64}, DType: tensor.F32, Shape: tensor.Shape{2, 64},
		In: []*op.Node{op.Stored(words), op.Stored(groups), op.Stored(info("q.biases", tensor.F32, 2, 1))}}
	got, err := measure.Pairs(t.Context(), a, b, []measure.Pair{
		{Path: "e", A: &op.Node{Step: op.Step{Op: op.Stack}, DType: tensor.F32, Shape: both.Shape, In: []*op.Node{op.Stored(one), op.Stored(two)}}, B: op.Stored(both)},
		{Path: "m", A: op.Stored(wide), B: &op.Node{Step: op.Step{Op: op.Permute, Perm: []int{1, 0}}, DType: tensor.F32, Shape: wide.Shape, In: []*op.Node{op.Stored(tall)}}},
		{Path: "p", A: op.Stored(plain), B: unpacked},
	}, measure.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if want := (measure.Delta{Elements: 4, Changed: 1, Max: 1, At: 3, Squares: 1, Of: 30}); got[0] != want {
		t.Errorf("stack: %+v, want %+v", got[0], want)
	}
	if want := (measure.Delta{Elements: 6, At: -1, Of: 91}); got[1] != want {
		t.Errorf("transpose: %+v, want %+v", got[1], want)
	}
	if want := reference(tensor.F32, tensor.F32, floats(weights...), back, 128); !same(got[2], want) || want.Squares == 0 {
		t.Errorf("packed: %+v, want %+v", got[2], want)
	}
}

// Bytes that are not those recorded are an error, read in order or not, and no number.
func TestChangedBytes(t *testing.T) {
	data := make([]byte, 4*4096)
	a, na := one(t, "a@1", tensor.F32, data, 64, 64)
	b, nb := one(t, "b@1", tensor.F32, bytes.Clone(data), 64, 64)
	turned := &op.Node{Step: op.Step{Op: op.Permute, Perm: []int{1, 0}}, DType: tensor.F32, Shape: tensor.Shape{64, 64}, In: []*op.Node{nb}}
	half := &op.Node{Step: op.Step{Op: op.Slice, Start: []int64{0, 0}, Stop: []int64{32, 64}, Stride: []int64{1, 1}}, DType: tensor.F32, Shape: tensor.Shape{32, 64}, In: []*op.Node{nb}}
	halfA := &op.Node{Step: half.Step, DType: tensor.F32, Shape: half.Shape, In: []*op.Node{na}}
	for name, p := range map[string]measure.Pair{"in order": {Path: "w", A: na, B: nb}, "turned": {Path: "w", A: na, B: turned}, "a half": {Path: "w", A: halfA, B: half}} {
		for _, cut := range []bool{false, true} {
			if got, err := measure.Pairs(t.Context(), a, b, []measure.Pair{p}, measure.Options{}); err != nil || got[0].Changed != 0 {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
			other := bytes.Clone(data)
			other[len(other)-1] ^= 1
			if cut {
				other = other[:len(other)-1]
			}
			c, _ := one(t, "b@1", tensor.F32, data, 64, 64)
			c.Bytes = func(string) (io.ReaderAt, error) { return bytes.NewReader(other), nil }
			_, err := measure.Pairs(t.Context(), a, c, []measure.Pair{p}, measure.Options{})
			want := "is not what b@1 has"
			if cut {
				want = "b@1"
			}
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), `"w"`) {
				t.Errorf("%s: %v, want %q", name, err, want)
			}
		}
	}
}

// Integers of 64 bits whose nearest float64 is the same differ all the same.
func TestWideIntegers(t *testing.T) {
	for _, d := range []tensor.DType{tensor.I64, tensor.U64} {
		x := binary.LittleEndian.AppendUint64(nil, 1<<60)
		y := binary.LittleEndian.AppendUint64(nil, 1<<60+1)
		a, na := one(t, "a@1", d, x, 1)
		b, nb := one(t, "b@1", d, y, 1)
		got, err := measure.Pairs(t.Context(), a, b, []measure.Pair{{Path: "w", A: na, B: nb}}, measure.Options{})
		if err != nil || got[0].Max != 1 || got[0].At != 0 || got[0].Changed != 1 || got[0].Squares != 1 {
			t.Errorf("%v: %+v, %v", d, got, err)
		}
	}
}

func TestInterrupted(t *testing.T) {
	a, na := one(t, "a@1", tensor.F32, make([]byte, 64), 16)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := measure.Pairs(ctx, a, a, []measure.Pair{{Path: "w", A: na, B: na}}, measure.Options{}); err != context.Canceled {
		t.Error(err)
	}
}

func TestRelative(t *testing.T) {
	for _, c := range []struct {
		d    measure.Delta
		want float64
		ok   bool
	}{
		{measure.Delta{Squares: 4, Of: 16}, 0.5, true},
		{measure.Delta{Of: 16}, 0, true},
		{measure.Delta{Squares: 4}, 0, false},
		{measure.Delta{}, 0, false},
		{measure.Delta{Squares: math.Inf(1), Of: 1}, 0, false},
	} {
		if got, ok := c.d.Relative(); ok != c.ok || ok && got != c.want {
			t.Errorf("%+v: %v %v, want %v %v", c.d, got, ok, c.want, c.ok)
		}
	}
}
