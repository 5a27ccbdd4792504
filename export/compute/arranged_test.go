package compute_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"

	"wreg/accel"
	"wreg/export/compute"
	"wreg/ingest/torch/strided"
	"wreg/registry/arch/op"
	"wreg/registry/tensor"
)

// counted counts the bytes that are read.
type counted struct {
	r io.ReaderAt
	n int64
}

func (c *counted) ReadAt(p []byte, off int64) (int, error) {
	c.n += int64(len(p))
	return c.r.ReadAt(p, off)
}

// A source whose elements do not lie in order is not gathered again for each chunk:
// what is read of its storage grows with the tensor, not with its square, and the
// bytes are those of the same steps on the tensor as it is.
func TestViewsInAnotherOrder(t *testing.T) {
	const rows, cols = 3 << 10, 2 << 10
	stored := make([]byte, rows*cols)
	rng := rand.New(rand.NewPCG(5, 6))
	for i := range stored {
		stored[i] = byte(rng.Uint32())
	}
	load := func(shape ...int64) *op.Node {
		return &op.Node{Step: op.Step{Op: op.Load, Path: "w"}, DType: tensor.U8, Shape: shape}
	}
	permute := func(in *op.Node, perm ...int) *op.Node {
		n := &op.Node{Step: op.Step{Op: op.Permute, Perm: perm}, DType: in.DType, In: []*op.Node{in}}
		for _, p := range perm {
			n.Shape = append(n.Shape, in.Shape[p])
		}
		return n
	}
	reshape := func(in *op.Node, shape ...int64) *op.Node {
		return &op.Node{Step: op.Step{Op: op.Reshape}, DType: in.DType, Shape: shape, In: []*op.Node{in}}
	}
	turned := strided.View{Shape: tensor.Shape{cols, rows}, Stride: []int64{1, cols}}
	slice := &op.Node{Step: op.Step{Op: op.Slice, Start: []int64{0, 1}, Stop: []int64{cols, rows}, Stride: []int64{1, 2}},
		DType: tensor.U8, Shape: tensor.Shape{cols, rows / 2}, In: []*op.Node{load(cols, rows)}}
	for name, c := range map[string]struct {
		view strided.View
		tree *op.Node
		same *op.Node // of what is stored; nil: the tree of the view's elements
	}{
		"turned back":    {turned, permute(load(cols, rows), 1, 0), nil},
		"cut and turned": {turned, permute(slice, 1, 0), nil},
		"turned twice": {turned, permute(reshape(permute(load(cols, rows), 1, 0), rows, 4, cols/4), 1, 2, 0),
			permute(reshape(load(rows, cols), rows, 4, cols/4), 1, 2, 0)},
		"split and turned":   {turned, permute(reshape(load(cols, rows), cols, 2, rows/2), 2, 1, 0), nil},
		"every row the same": {strided.View{Shape: tensor.Shape{rows, cols}, Stride: []int64{0, 1}}, permute(load(rows, cols), 1, 0), nil},
		"negated":            {strided.View{Shape: tensor.Shape{cols, rows}, Stride: []int64{1, cols}, Neg: true}, permute(load(cols, rows), 1, 0), nil},
	} {
		t.Run(name, func(t *testing.T) {
			v := c.view
			v.DType, v.Storage = tensor.U8, &strided.Storage{Key: "0", Bytes: int64(len(stored))}
			storage := &counted{r: bytes.NewReader(stored)}
			open := func(r io.ReaderAt) io.ReaderAt {
				r = strided.Gather(&v, r, 0, nil)
				if v.Neg {
					r = strided.Turn(r, &v, false)
				}
				return r
			}
			plain := make([]byte, v.Size())
			if err := tensor.ReadFull(open(bytes.NewReader(stored)), plain, 0); err != nil {
				t.Fatal(err)
			}
			made := func(tree *op.Node, src io.ReaderAt) []byte {
				e := compute.NewEvaluator(accel.CPU(), func(string) (io.ReaderAt, error) { return src, nil }, false)
				e.Limit = compute.Gather * compute.MaxChunk
				value, err := e.Value(tree)
				if err != nil {
					t.Fatal(err)
				}
				out := make([]byte, compute.Numel(tree.Shape))
				for first := 0; first < len(out); first += compute.MaxChunk {
					if err := value.Read(out[first:min(first+compute.MaxChunk, len(out))], int64(first)); err != nil {
						t.Fatal(err)
					}
				}
				return out
			}
			same := c.same
			if same == nil {
				same = c.tree
			} else {
				plain = stored
			}
			if !bytes.Equal(made(c.tree, open(storage)), made(same, bytes.NewReader(plain))) {
				t.Error("other bytes")
			}
			if storage.n > 4*v.Size() {
				t.Errorf("%d bytes were read of a tensor of %d", storage.n, v.Size())
			}
		})
	}
}
