package torch

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"wreg/ingest/torch/strided"
	"wreg/ingest/zipfile"
	"wreg/registry/tensor"
)

// TestPieces: an honest table of 4 GiB may be turned, twice; what takes a read for
// each of 10^9 elements is refused before any.
func TestPieces(t *testing.T) {
	for name, c := range map[string]struct {
		views []*strided.View
		want  string
	}{
		"a turned table":    {[]*strided.View{turnedTable(tensor.BF16, 8192, 256_000), turnedTable(tensor.F32, 4096, 256_000)}, ""},
		"half of its lines": {[]*strided.View{{DType: tensor.BF16, Shape: tensor.Shape{128_000, 8192}, Stride: []int64{16384, 1}}}, ""},
		"far elements":      {[]*strided.View{{DType: tensor.U8, Shape: tensor.Shape{1 << 30}, Stride: []int64{1 << 17}}}, "more than 536870912 reads"},
		"far apart, turned": {[]*strided.View{{DType: tensor.U8, Shape: tensor.Shape{1 << 10, 1 << 22}, Stride: []int64{1, 1 << 17}}}, "more than 536870912 reads"},
		"too many tables": {[]*strided.View{turnedTable(tensor.BF16, 8192, 256_000), turnedTable(tensor.F32, 4096, 256_000), turnedTable(tensor.F16, 8192, 256_000)},
			`tensor "w2": with it`},
		"the same one often": {[]*strided.View{turnedTable(tensor.BF16, 8192, 256_000), turnedTable(tensor.BF16, 8192, 256_000), turnedTable(tensor.BF16, 8192, 256_000)}, ""},
	} {
		f := &File{records: map[string]*zipfile.Record{"": {Size: 1 << 50}}}
		for i, v := range c.views {
			v.Storage = &strided.Storage{Bytes: 1 << 50}
			f.views, f.tensors = append(f.views, v), append(f.tensors, tensor.Info{Path: fmt.Sprint("w", i)})
		}
		if err := f.settle(); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q; %d pieces", name, err, c.want, f.Budget().Pieces)
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
		data := &reads{r: bytes.NewReader(make([]byte, 480))}
		ch := chunk{origin: c.origin, shape: c.shape, data: data, file: &File{}}
		if err := ch.read(make([]byte, a.size), 0, a); err != nil {
			t.Fatal(err)
		}
		d := &Distributed{}
		if err := d.gather(ch, a); err != nil || d.Budget().Pieces != c.want || data.n != c.want {
			t.Errorf("%v: %d counted, %d read, want %d, %v", c.shape, d.Budget().Pieces, data.n, c.want, err)
		}
	}
}

func turnedTable(dt tensor.DType, n, rows int64) *strided.View {
	return &strided.View{DType: dt, Shape: tensor.Shape{n, rows}, Stride: []int64{1, n}}
}

// reads counts reads.
type reads struct {
	r io.ReaderAt
	n int64
}

func (c *reads) ReadAt(p []byte, off int64) (int, error) {
	c.n++
	return c.r.ReadAt(p, off)
}

// TestJoined: of two files that cat joined the first is read, and it is said.
func TestJoined(t *testing.T) {
	one, err := os.ReadFile(filepath.Join(fixturesDir, "legacy/plain.pt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, rest := range [][]byte{one, []byte("more")} {
		data := append(bytes.Clone(one), rest...)
		f, err := Open(t.Context(), bytes.NewReader(data), int64(len(data)), "x.pt")
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(f.Findings(), func(f tensor.Finding) bool { return f.Rule == "trailing-bytes" })
		if i < 0 || strings.Contains(f.Findings()[i].Message, "another file begins there") != (len(rest) > 4) {
			t.Errorf("%v", f.Findings())
		}
	}
}
