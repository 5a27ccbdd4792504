package tensor

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// MaxRank bounds the number of dimensions any reader accepts. torch and numpy
// stop at 64.
const MaxRank = 64

// MaxTensors is how many tensors one checkpoint may hold: the largest have a third
// of it.
const MaxTensors = 1 << 19

// Shape is the size of each dimension, outermost first. A scalar has rank 0.
type Shape []int64

// Numel is the number of elements: the product of the dimensions, 1 for a
// scalar. Negative dimensions, rank over MaxRank and overflow are errors; a zero
// dimension does not hide an overflow among the others.
func (s Shape) Numel() (int64, error) {
	if len(s) > MaxRank {
		return 0, fmt.Errorf("rank %d exceeds %d", len(s), MaxRank)
	}
	n, zero := int64(1), false
	for _, d := range s {
		switch {
		case d < 0:
			return 0, fmt.Errorf("shape %v has a negative dimension", s)
		case d == 0:
			zero = true
		case n > math.MaxInt64/d:
			return 0, fmt.Errorf("shape %v overflows 64 bits", s)
		default:
			n *= d
		}
	}
	if zero {
		return 0, nil
	}
	return n, nil
}

// Bytes is the size of a dense tensor of this shape and type.
func (s Shape) Bytes(d DType) (int64, error) {
	n, err := s.Numel()
	if err != nil {
		return 0, err
	}
	return d.Size(n)
}

// Equal reports whether two shapes have the same rank and dimensions.
func (s Shape) Equal(t Shape) bool { return slices.Equal(s, t) }

// String writes [4, 96, 64]; a scalar is [].
func (s Shape) String() string {
	var b strings.Builder
	b.WriteByte('[')
	for i, d := range s {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(strconv.FormatInt(d, 10))
	}
	b.WriteByte(']')
	return b.String()
}

// PieceOf is how many pieces of this shape make a whole, and along which axis they
// lie; 0 unless the two differ in that axis alone.
func (s Shape) PieceOf(whole Shape) (n int64, axis int) {
	if len(s) != len(whole) {
		return 0, 0
	}
	for i := range s {
		switch {
		case s[i] == whole[i]:
		case n != 0 || s[i] <= 0 || whole[i]%s[i] != 0:
			return 0, 0
		default:
			n, axis = whole[i]/s[i], i
		}
	}
	return n, axis
}
