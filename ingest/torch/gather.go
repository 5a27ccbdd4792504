package torch

import (
	"io"
	"slices"
	"sync"

	"wreg/registry/tensor"
)

// maxSpan is how much of a storage is held in memory to gather a strided tensor
// from it. Beyond, elements are read where they lie.
const maxSpan = 64 << 20

// gatherer gives the logical bytes of a strided view.
type gatherer struct {
	v     *view
	r     io.ReaderAt // the storage's record
	first int64       // bytes into it

	once sync.Once
	span []byte // from the view's first element to its last, when not over maxSpan
	err  error
}

func (g *gatherer) ReadAt(p []byte, off int64) (int, error) {
	size := g.v.size()
	if off < 0 || off >= size {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), size-off))
	if err := g.gather(p[:n], off); err != nil {
		return 0, err
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// gather copies run by run: as many trailing dimensions as lie together.
func (g *gatherer) gather(p []byte, off int64) error {
	_, item := g.v.dtype.Block()
	dims, strides, run := g.v.runs()
	runBytes := run * item
	index := make([]int64, len(dims))
	for rest, i := off/runBytes, len(dims)-1; i >= 0; i-- {
		index[i], rest = rest%dims[i], rest/dims[i]
	}
	skip := off % runBytes
	for len(p) > 0 {
		at := g.v.offset
		for i, k := range index {
			at += k * strides[i]
		}
		n := min(int64(len(p)), runBytes-skip)
		if err := g.copy(p[:n], at*item+skip); err != nil {
			return err
		}
		p, skip = p[n:], 0
		for i := len(index) - 1; i >= 0; i-- {
			if index[i]++; index[i] < dims[i] {
				break
			}
			index[i] = 0
		}
	}
	return nil
}

// runs splits the shape into outer dimensions and a run of adjacent elements.
func (v *view) runs() (dims, strides []int64, run int64) {
	run = 1
	k := len(v.shape)
	for k > 0 && (v.shape[k-1] == 1 || v.stride[k-1] == run) {
		k--
		run *= v.shape[k]
	}
	return v.shape[:k], v.stride[:k], run
}

func (g *gatherer) copy(p []byte, at int64) error {
	_, item := g.v.dtype.Block()
	last := g.v.offset
	for i, d := range g.v.shape {
		last += (d - 1) * g.v.stride[i]
	}
	from, length := g.v.offset*item, (last+1-g.v.offset)*item
	if length > maxSpan {
		_, err := io.ReadFull(io.NewSectionReader(g.r, g.first+at, int64(len(p))), p)
		return err
	}
	g.once.Do(func() {
		g.span = make([]byte, length)
		if n, err := g.r.ReadAt(g.span, g.first+from); n < len(g.span) {
			g.err = unexpected(err)
		}
	})
	if g.err == nil {
		copy(p, g.span[at-from:])
	}
	return g.err
}

// logical turns stored bytes into logical ones: the other byte order, a pending
// conjugation or negation.
type logical struct {
	r    io.ReaderAt
	v    *view
	swap bool
}

func (l *logical) ReadAt(p []byte, off int64) (int, error) {
	unit := int64(component(l.v.dtype))
	_, item := l.v.dtype.Block()
	lo, hi := off/item*item, min((off+int64(len(p))+item-1)/item*item, l.v.size())
	if lo >= hi {
		return 0, io.EOF
	}
	b := p
	if lo != off || hi != off+int64(len(p)) {
		b = make([]byte, hi-lo)
	}
	n, err := l.r.ReadAt(b, lo)
	if n < len(b) {
		return 0, unexpected(err)
	}
	for i := int64(0); i < int64(len(b)); i += unit {
		c := b[i : i+unit]
		if l.swap {
			slices.Reverse(c)
		}
		imaginary := item != unit && (i/unit)%2 == 1
		if l.v.neg != (l.v.conj && imaginary) {
			c[unit-1] ^= 0x80
		}
	}
	n = len(p)
	if &b[0] != &p[0] {
		n = copy(p, b[off-lo:])
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// signed reports whether a pending negation is a flip of the sign bit.
func signed(dt tensor.DType) bool {
	switch dt {
	case tensor.F16, tensor.BF16, tensor.F32, tensor.F64, tensor.C32, tensor.C64, tensor.C128:
		return true
	}
	return false
}
