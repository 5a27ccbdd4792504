package view

import (
	"testing"

	"wreg/accel"
	"wreg/registry/tensor"
	"wreg/view/viewtest"
)

// bench is a registry with checkpoints on disk.
type bench struct{ *viewtest.Bench }

func newBench(t testing.TB) *bench { return &bench{viewtest.New(t, goldens)} }

// read gives the numbers of a tensor.
func (b *bench) read(name, path string) (x []float64, d tensor.DType, p []byte) {
	b.Helper()
	t, p := b.Bytes(name, path)
	return wide(b, t.DType, p), t.DType, p
}

func wide(t testing.TB, d tensor.DType, p []byte) []float64 {
	t.Helper()
	elems, size := d.Block()
	x := make([]float64, int64(len(p))/size*elems)
	if err := accel.Widen(x, d, p); err != nil {
		t.Fatal(err)
	}
	return x
}
