package strided

import (
	"io"
	"slices"

	"wreg/registry/tensor"
)

// logical turns stored bytes into logical ones: the other byte order, a pending
// conjugation or negation.
type logical struct {
	r    io.ReaderAt
	v    *View
	swap bool
}

// Turn gives the logical bytes of a view from the stored ones.
func Turn(r io.ReaderAt, v *View, swap bool) io.ReaderAt { return &logical{r, v, swap} }

func (l *logical) ReadAt(p []byte, off int64) (int, error) {
	unit, item := Component(l.v.DType), l.v.Item()
	size := l.v.Size()
	if off < 0 || off >= size {
		return 0, io.EOF
	}
	end := min(int64(len(p)), size-off) + off
	lo, hi := off/item*item, (end+item-1)/item*item // whole elements
	b := p
	if lo != off || hi != off+int64(len(p)) {
		b = make([]byte, hi-lo)
	}
	if err := tensor.ReadFull(l.r, b, lo); err != nil {
		return 0, err
	}
	for i := int64(0); i < int64(len(b)); i += unit {
		c := b[i : i+unit]
		if l.swap {
			slices.Reverse(c)
		}
		imaginary := item != unit && (i/unit)%2 == 1
		if l.v.Neg != (l.v.Conj && imaginary) {
			c[unit-1] ^= 0x80
		}
	}
	if len(b) > 0 && len(p) > 0 && &b[0] != &p[0] {
		copy(p, b[off-lo:end-lo])
	}
	if n := int(end - off); n < len(p) {
		return n, io.EOF
	}
	return len(p), nil
}

// Signed reports whether a pending negation is a flip of the sign bit.
func Signed(dt tensor.DType) bool {
	switch dt {
	case tensor.F16, tensor.BF16, tensor.F32, tensor.F64, tensor.C32, tensor.BC32, tensor.C64, tensor.C128:
		return true
	}
	return false
}
