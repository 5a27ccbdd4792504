package sums

import (
	"bytes"

	"wreg/registry/tensor"
)

// shortestRow is how many elements make a row in which one value over and over is
// worth a word: kernels of three are often so.
const shortestRow = 8

// maxElement is the size of the largest element: two float64 of a complex number.
const maxElement = 16

// rows looks for rows, along the last dimension, of one value: an expert that was
// never routed to, an embedding of a token that does not exist. Nearly every row is
// decided by its second element.
type rows struct {
	width, element  int64 // in bytes; width is 0 when rows are not looked at
	at              int64 // byte of the current row
	same            bool  // so far in the current row
	value           [maxElement]byte
	row             int64 // of the tensor
	constant, first int64
}

func (r *rows) start(t *tensor.Info, scanned bool) {
	*r = rows{}
	elements, bytes := t.DType.Block()
	if n := len(t.Shape); scanned && n >= 2 && elements == 1 && t.DType.Float() && t.Shape[n-1] >= shortestRow && t.Bytes > t.Shape[n-1]*bytes {
		r.element, r.width = bytes, t.Shape[n-1]*bytes
	}
}

// write takes whole elements.
func (r *rows) write(p []byte) {
	for len(p) > 0 {
		q := p[:min(int64(len(p)), r.width-r.at)]
		p = p[len(q):]
		if r.at == 0 {
			copy(r.value[:r.element], q)
			r.same = true
		}
		r.same = r.same && bytes.Equal(q[:r.element], r.value[:r.element]) && bytes.Equal(q[r.element:], q[:int64(len(q))-r.element])
		if r.at += int64(len(q)); r.at < r.width {
			continue
		}
		if r.same {
			if r.constant == 0 {
				r.first = r.row
			}
			r.constant++
		}
		r.at, r.row = 0, r.row+1
	}
}
