package npz

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	"wreg/ingest/ingesttest"
)

// TestInflatedOnce: a deflated array in Fortran order is inflated once, though its rows
// lie all over it; where that would take too much memory, it is refused.
func TestInflatedOnce(t *testing.T) {
	array := ingesttest.NPY("<f4", true, []int64{8, 100, 100}, ingesttest.Floats(8*100*100))
	data := ingesttest.Zip(ingesttest.Record{Name: "w.npy", Data: array, Deflate: true})
	file := &ingesttest.Counted{R: bytes.NewReader(data)}
	f, err := Read(t.Context(), file, int64(len(data)), "a.npz")
	if err != nil {
		t.Fatal(err)
	}
	r, err := f.Bytes(0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, io.NewSectionReader(r, 0, f.Tensors()[0].Bytes)); err != nil {
		t.Fatal(err)
	}
	if err := f.Prove(context.Background(), 0); err != nil {
		t.Fatal(err)
	}
	if read := file.N.Load(); read > 2*int64(len(data)) {
		t.Errorf("%d bytes were read of a file of %d", read, len(data))
	}

	for _, fortran := range []bool{false, true} {
		head := ingesttest.NPY("<f4", fortran, []int64{9000, 9000}, nil)
		data := ingesttest.Zip(ingesttest.Record{Name: "w.npy", Data: append(head, ingesttest.Floats(200_000)...), Deflate: true, Claim: int64(len(head)) + 4*9000*9000})
		_, err := Read(t.Context(), bytes.NewReader(data), int64(len(data)), "a.npz")
		if (err != nil) != fortran || err != nil && (!strings.Contains(err.Error(), `a.npz: member "w.npy"`) || !strings.Contains(err.Error(), "zip -0")) {
			t.Errorf("fortran %v: %v", fortran, err)
		}
	}
}

// said is a file of a head and a hole.
type said struct{ head []byte }

func (s said) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	if off < int64(len(s.head)) {
		copy(p, s.head[off:])
	}
	return len(p), nil
}

// TestPieces: an array in Fortran order whose rows are too long takes a read for each
// of its elements.
func TestPieces(t *testing.T) {
	for _, c := range []struct {
		shape []int64
		want  bool
	}{
		{[]int64{8192, 256_000}, true},
		{[]int64{1 << 20, 1 << 20}, false},
		{[]int64{1 << 5, 1 << 20, 1 << 3}, true},
		{[]int64{1 << 10, 1 << 10, 1 << 24}, false},
	} {
		head := ingesttest.NPY("<f2", true, c.shape, nil)
		size := int64(len(head)) + 2
		for _, d := range c.shape {
			size = int64(len(head)) + (size-int64(len(head)))*d
		}
		f, err := ReadNPY(t.Context(), said{head}, size, "a.npy")
		if (err == nil) != c.want || err != nil && !strings.Contains(err.Error(), "more than 536870912 reads") {
			t.Errorf("%v: %v", c.shape, err)
		}
		if err == nil && f.Budget().Pieces == 0 {
			t.Errorf("%v takes no reads", c.shape)
		}
	}
}
