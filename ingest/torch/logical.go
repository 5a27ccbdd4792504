package torch

import (
	"io"
	"slices"

	"wreg/registry/tensor"
)

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
