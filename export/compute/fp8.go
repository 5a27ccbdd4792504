package compute

import (
	"wreg/registry/arch/op"
	"wreg/registry/tensor"
)

func init() {
	register(operation{value: newFP8, scratch: func(n *op.Node, out, limit int64) int64 {
		codes := asMany(n, n.In[0], out)
		scales, err := n.In[1].Shape.Bytes(n.In[1].DType)
		if err != nil {
			return 1 << 62
		}
		return codes + scratch(n.In[0], codes, limit) + scales + scratch(n.In[1], scales, limit)
	}}, op.FP8)
}

// rows calls piece for the parts of a range of a matrix: the end of a row, whole
// rows, the beginning of a row. first is an element of the matrix, n how many;
// each piece starts at row, column and holds rows x cols elements.
func rows(first, n, width int64, piece func(row, col, rows, cols int64) error) error {
	for n > 0 {
		row, col := first/width, first%width
		k, cols := int64(1), min(width-col, n)
		if col == 0 && n >= width {
			k, cols = n/width, width
		}
		if err := piece(row, col, k, cols); err != nil {
			return err
		}
		first, n = first+k*cols, n-k*cols
	}
	return nil
}

// fp8 multiplies e4m3 codes by scales. The scales are few, so they are read whole.
type fp8 struct {
	e     *Evaluator
	in    Value
	width int64
	scale fp8Scale
	slot  int
}

// fp8Scale finds the scales of a row of the weight, seen as a matrix.
type fp8Scale struct {
	bytes []byte
	dtype tensor.DType
	cols  int64 // columns of the weight that share a scale
	at    func(row int64) (first, n int64)
}

func newFP8(e *Evaluator, n *op.Node, in []Value) (Value, error) {
	weight, scales := n.In[0].Shape, n.In[1].Shape
	size, err := scales.Bytes(n.In[1].DType)
	if err != nil {
		return nil, err
	}
	v := &fp8{e: e, in: in[0], width: weight[len(weight)-1], slot: e.slot()}
	v.scale = fp8Scale{bytes: make([]byte, size), dtype: n.In[1].DType}
	if err := in[1].Read(v.scale.bytes, 0); err != nil {
		return nil, err
	}
	if n.Block == [2]int64{} {
		v.scale.broadcast(weight, scales)
		return v, nil
	}
	// One matrix of scales for each matrix of weights.
	height := weight[len(weight)-2]
	down, across := scales[len(scales)-2], scales[len(scales)-1]
	v.scale.cols = n.Block[1]
	v.scale.at = func(row int64) (int64, int64) {
		return (row/height*down + row%height/n.Block[0]) * across, across
	}
	return v, nil
}

// broadcast lays scales over a weight as numpy does: aligned at the last axis, a
// dimension of 1 standing for all.
func (s *fp8Scale) broadcast(weight, scales tensor.Shape) {
	last := len(weight) - 1
	s.cols = weight[last]
	across := int64(1)
	if k := len(scales); k > 0 && scales[k-1] != 1 {
		s.cols, across = 1, scales[k-1]
	}
	step := make([]int64, last) // of the weight's leading axes, in scales
	for i, k := len(scales)-2, across; i >= 0; i-- {
		if scales[i] != 1 {
			step[i+len(weight)-len(scales)] = k
		}
		k *= scales[i]
	}
	s.at = func(row int64) (first, n int64) {
		for i := last - 1; i >= 0; i-- {
			first += row % weight[i] * step[i]
			row /= weight[i]
		}
		return first, across
	}
}

func (v *fp8) Read(dst []byte, first int64) error {
	codes := v.e.buffer(v.slot, Count(tensor.BF16, dst))
	if err := v.in.Read(codes, first); err != nil {
		return err
	}
	return rows(first, int64(len(codes)), v.width, func(row, col, n, cols int64) error {
		for n > 0 {
			at, across := v.scale.at(row)
			same := int64(1) // rows that share these scales
			for same < n {
				if next, _ := v.scale.at(row + same); next != at {
					break
				}
				same++
			}
			if err := v.scaled(dst[:2*same*cols], codes[:same*cols], col, same, cols, at, across); err != nil {
				return err
			}
			dst, codes = dst[2*same*cols:], codes[same*cols:]
			row, n = row+same, n-same
		}
		return nil
	})
}

// scaled does rows that share their scales, from column col on.
func (v *fp8) scaled(dst, codes []byte, col, rows, cols, at, across int64) error {
	size := SizeOf(v.scale.dtype, 1)
	scales := v.scale.bytes[at*size : (at+across)*size]
	if skew := col % v.scale.cols; skew != 0 { // rows is 1: finish the block first
		n := min(v.scale.cols-skew, cols)
		k := col / v.scale.cols * size
		if err := v.e.device.DequantFP8(dst[:2*n], codes[:n], 0, 1, int(n), scales[k:k+size], v.scale.dtype, 1, int(n)); err != nil {
			return err
		}
		dst, codes, col, cols = dst[2*n:], codes[n:], col+n, cols-n
	}
	if cols == 0 {
		return nil
	}
	block := min(v.scale.cols, cols)
	need := (cols + block - 1) / block
	k := col / v.scale.cols
	return v.e.device.DequantFP8(dst, codes, 0, int(rows), int(cols), scales[k*size:(k+need)*size], v.scale.dtype, int(rows), int(block))
}
