package torch

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"wreg/ingest/zipfile"
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
		v := &view{st: &storage{key: "0", dtype: c.dtype, bytes: 1 << 40}, dtype: c.dtype, shape: c.shape, stride: c.stride, offset: c.offset}
		if err := v.check(); err != nil {
			t.Fatal(err)
		}
		_, to := v.extent()
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
		if n := v.pieces(); !v.dense() && (n < calls.n || n > 2*calls.n) {
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

// calls counts reads.
type calls struct {
	r io.ReaderAt
	n int64
}

func (c *calls) ReadAt(p []byte, off int64) (int, error) {
	c.n++
	return c.r.ReadAt(p, off)
}

// TestPieces: an honest table of 4 GiB may be turned, twice; what takes a read for
// each of 10^9 elements is refused before any.
func TestPieces(t *testing.T) {
	for name, c := range map[string]struct {
		views []*view
		want  string
	}{
		"a turned table":    {[]*view{turnedTable(tensor.BF16, 8192, 256_000), turnedTable(tensor.F32, 4096, 256_000)}, ""},
		"half of its lines": {[]*view{{dtype: tensor.BF16, shape: tensor.Shape{128_000, 8192}, stride: []int64{16384, 1}}}, ""},
		"far elements":      {[]*view{{dtype: tensor.U8, shape: tensor.Shape{1 << 30}, stride: []int64{1 << 17}}}, "more than 536870912 reads"},
		"far apart, turned": {[]*view{{dtype: tensor.U8, shape: tensor.Shape{1 << 10, 1 << 22}, stride: []int64{1, 1 << 17}}}, "more than 536870912 reads"},
		"too many tables": {[]*view{turnedTable(tensor.BF16, 8192, 256_000), turnedTable(tensor.F32, 4096, 256_000), turnedTable(tensor.F16, 8192, 256_000)},
			`tensor "w2": with it`},
		"the same one often": {[]*view{turnedTable(tensor.BF16, 8192, 256_000), turnedTable(tensor.BF16, 8192, 256_000), turnedTable(tensor.BF16, 8192, 256_000)}, ""},
	} {
		f := &File{records: map[string]*zipfile.Record{"": {Size: 1 << 50}}}
		for i, v := range c.views {
			v.st = &storage{bytes: 1 << 50}
			f.views, f.tensors = append(f.views, v), append(f.tensors, tensor.Info{Path: fmt.Sprint("w", i)})
		}
		if err := f.settle(); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q; %d pieces", name, err, c.want, f.Pieces())
		}
	}
}

// TestChunkRuns: a chunk takes as many reads as it has runs.
func TestChunkRuns(t *testing.T) {
	a := &assembled{shape: tensor.Shape{6, 5, 4}, dtype: tensor.F32, size: 480}
	for _, c := range []struct {
		shape, origin []int64
		want          int64
	}{
		{[]int64{6, 5, 4}, []int64{0, 0, 0}, 1},
		{[]int64{2, 5, 4}, []int64{3, 0, 0}, 1},
		{[]int64{6, 2, 4}, []int64{0, 1, 0}, 6},
		{[]int64{6, 5, 1}, []int64{0, 0, 2}, 30},
		{[]int64{0, 5, 4}, []int64{0, 0, 0}, 0},
	} {
		data := &calls{r: bytes.NewReader(make([]byte, 480))}
		ch := chunk{origin: c.origin, shape: c.shape, data: data, file: &File{}}
		if err := ch.read(make([]byte, a.size), 0, a); err != nil {
			t.Fatal(err)
		}
		d := &Distributed{}
		if err := d.gather(ch, a); err != nil || d.Pieces() != c.want || data.n != c.want {
			t.Errorf("%v: %d counted, %d read, want %d, %v", c.shape, d.Pieces(), data.n, c.want, err)
		}
	}
}

func turnedTable(dt tensor.DType, n, rows int64) *view {
	return &view{dtype: dt, shape: tensor.Shape{n, rows}, stride: []int64{1, n}}
}

func gatherSlowly(v *view, data []byte) []byte {
	_, item := v.dtype.Block()
	out := make([]byte, 0, v.size())
	index := make([]int64, len(v.shape))
	for {
		at := v.offset
		for i, k := range index {
			at += k * v.stride[i]
		}
		out = append(out, data[at*item:(at+1)*item]...)
		i := len(index) - 1
		for ; i >= 0; i-- {
			if index[i]++; index[i] < v.shape[i] {
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
			v := &view{st: &storage{dtype: tensor.BF16}, dtype: tensor.BF16, shape: tensor.Shape{n, n}, stride: []int64{1, n}}
			data := make([]byte, v.size())
			p := make([]byte, 1<<20)
			b.SetBytes(v.size())
			for b.Loop() {
				g := &gatherer{v: v, r: bytes.NewReader(data)}
				for at := int64(0); at < v.size(); at += int64(len(p)) {
					if _, err := g.ReadAt(p, at); err != nil && err != io.EOF {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
