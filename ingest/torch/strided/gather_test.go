package strided

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"wreg/registry/tensor"
)

// TestGather compares strided reads with a walk over every index, in tensors
// larger than a block and in small ones, read in pieces of odd sizes.
func TestGather(t *testing.T) {
	for _, c := range []struct {
		dtype  tensor.DType
		shape  tensor.Shape
		stride []int64
		offset int64
	}{
		{tensor.U8, tensor.Shape{3, 2}, []int64{1, 3}, 0},
		{tensor.F32, tensor.Shape{5, 4}, []int64{2, 1}, 3},
		{tensor.F32, tensor.Shape{3, 4}, []int64{1, 0}, 0},
		{tensor.F64, tensor.Shape{7}, []int64{0}, 2},
		{tensor.U8, tensor.Shape{1, 3}, []int64{999, 1}, 5},
		{tensor.BF16, tensor.Shape{4, 2, 3}, []int64{1, 12, 4}, 0},
		{tensor.C128, tensor.Shape{2, 3, 2}, []int64{1, 4, 2}, 1},
		{tensor.U8, tensor.Shape{1500, 4001}, []int64{1, 1500}, 7},                      // transposed
		{tensor.BF16, tensor.Shape{2, 3, 1100, 700}, []int64{2310000, 700, 2100, 1}, 0}, // permuted
		{tensor.F32, tensor.Shape{3, 900, 1000}, []int64{1000, 3000, 1}, 0},             // the last block of a dimension is short
		{tensor.U8, tensor.Shape{90, 70000}, []int64{70000 * 3, 2}, 11},                 // every other element
		{tensor.U8, tensor.Shape{300, 3, 9000}, []int64{9000, 0, 1}, 0},                 // repeated
	} {
		v := &View{Storage: &Storage{Key: "0", DType: c.dtype, Bytes: 1 << 40}, DType: c.dtype, Shape: c.shape, Stride: c.stride, Offset: c.offset}
		if err := v.Check(); err != nil {
			t.Fatal(err)
		}
		_, to := v.Extent()
		data := make([]byte, to+9)
		rng := rand.New(rand.NewPCG(1, 2))
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		want := gatherSlowly(v, data[9:])
		calls := &calls{r: bytes.NewReader(data)}
		g := &gatherer{v: v, r: calls, first: 9}
		got := make([]byte, len(want))
		for at := 0; at < len(got); {
			n := min(len(got)-at, 1+rng.IntN(3<<20))
			if k, err := g.ReadAt(got[at:at+n], int64(at)); k != n || err != nil {
				t.Fatalf("%v %v: ReadAt(%d bytes, %d) = %d, %v", c.shape, c.stride, n, at, k, err)
			}
			at += n
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%v %v: other bytes", c.shape, c.stride)
		}
		if n := v.Pieces(); !v.Dense() && (n < calls.n || n > 2*calls.n) {
			t.Errorf("%v %v: %d reads, said to be %d", c.shape, c.stride, calls.n, n)
		}
		at := rng.Int64N(int64(len(want)))
		p := make([]byte, len(want))
		if n, err := g.ReadAt(p, at); err != nil && err != io.EOF || n != len(want)-int(at) || !bytes.Equal(p[:n], want[at:]) {
			t.Errorf("%v %v: ReadAt(%d bytes, %d) = %d, %v", c.shape, c.stride, len(p), at, n, err)
		}
		if held := cap(g.block) + cap(g.span); held > blockBytes+spanBytes {
			t.Errorf("%v %v: %d bytes held, more than a block and a span", c.shape, c.stride, held)
		}
	}
}

func gatherSlowly(v *View, data []byte) []byte {
	_, item := v.DType.Block()
	out := make([]byte, 0, v.Size())
	index := make([]int64, len(v.Shape))
	for {
		at := v.Offset
		for i, k := range index {
			at += k * v.Stride[i]
		}
		out = append(out, data[at*item:(at+1)*item]...)
		i := len(index) - 1
		for ; i >= 0; i-- {
			if index[i]++; index[i] < v.Shape[i] {
				break
			}
			index[i] = 0
		}
		if i < 0 {
			return out
		}
	}
}

func BenchmarkGatherTransposed(b *testing.B) {
	for _, n := range []int64{512, 4096} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			v := &View{Storage: &Storage{DType: tensor.BF16}, DType: tensor.BF16, Shape: tensor.Shape{n, n}, Stride: []int64{1, n}}
			data := make([]byte, v.Size())
			p := make([]byte, 1<<20)
			b.SetBytes(v.Size())
			for b.Loop() {
				g := &gatherer{v: v, r: bytes.NewReader(data)}
				for at := int64(0); at < v.Size(); at += int64(len(p)) {
					if _, err := g.ReadAt(p, at); err != nil && err != io.EOF {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// calls counts reads.
type calls struct {
	r io.ReaderAt
	n int64
}

func (c *calls) ReadAt(p []byte, off int64) (int, error) {
	c.n++
	return c.r.ReadAt(p, off)
}
