package npz

import (
	"fmt"
	"io"

	"wreg/ingest/torch/strided"
	"wreg/registry/tensor"
)

// swapped turns the bytes of each word around.
type swapped struct {
	r    io.ReaderAt
	word int64
	size int64
}

func (s *swapped) ReadAt(p []byte, off int64) (int, error) {
	from := off / s.word * s.word
	to := min((off+int64(len(p))+s.word-1)/s.word*s.word, s.size)
	if off < 0 || off >= s.size {
		return 0, io.EOF
	}
	buf := make([]byte, to-from)
	if err := tensor.ReadFull(s.r, buf, from); err != nil {
		return 0, fmt.Errorf("bytes %d:%d: %w", from, to, err)
	}
	for w := buf; len(w) > 0; w = w[s.word:] {
		for i, j := 0, int(s.word)-1; i < j; i, j = i+1, j-1 {
			w[i], w[j] = w[j], w[i]
		}
	}
	n := copy(p, buf[off-from:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// view is the array in row-major order, seen through the strides of its first index
// being the fastest.
func (h *header) view(path string) *strided.View {
	v := &strided.View{DType: h.dtype, Shape: h.shape}
	n := int64(1)
	for _, d := range h.shape {
		v.Stride = append(v.Stride, n)
		n *= d // no overflow: the whole was checked
	}
	v.Storage = &strided.Storage{Key: path, DType: h.dtype, Numel: n, Bytes: n * v.Item()}
	return v
}
