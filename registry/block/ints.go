package block

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// Ints is a column of whole numbers, one per row: base + (packed << shift), where
// packed takes width bits per row. Width 0 is a constant and takes no room. The
// shift is what all differences from the base have in common, so sizes, offsets
// and floating-point bits shrink to the part that varies.
type Ints struct {
	n            int
	base         int64
	shift, width uint8
	data         []byte
}

// WideBits is the widest packing one 8-byte load can serve at any bit offset;
// wider columns are stored as whole 64-bit words.
const WideBits = 56

// Len is the number of rows.
func (c Ints) Len() int { return c.n }

// Const gives the value all rows share, if they do.
func (c Ints) Const() (int64, bool) { return c.base, c.width == 0 }

// At is row i's value.
func (c Ints) At(i int) int64 {
	if c.width == 0 {
		return c.base
	}
	bit := i * int(c.width)
	at := bit >> 3
	var word uint64
	if at+8 <= len(c.data) {
		word = binary.LittleEndian.Uint64(c.data[at:])
	} else {
		var tail [8]byte
		copy(tail[:], c.data[at:])
		word = binary.LittleEndian.Uint64(tail[:])
	}
	if c.width < 64 {
		word = word >> (bit & 7) & (1<<c.width - 1)
	}
	return c.base + int64(word<<c.shift)
}

// within reports whether the column has room for no number beyond 0 to last.
func (c Ints) within(last int64) bool {
	room := uint64(1)<<c.width - 1 // of 64 bits, all
	return c.base >= 0 && c.base <= last && room<<c.shift>>c.shift == room && room<<c.shift <= uint64(last-c.base)
}

// AppendTo appends every row's value to dst.
func (c Ints) AppendTo(dst []int64) []int64 {
	for i := range c.n {
		dst = append(dst, c.At(i))
	}
	return dst
}

// Sum adds all rows; ok is false on overflow.
func (c Ints) Sum() (sum int64, ok bool) {
	if c.width == 0 {
		hi, lo := bits.Mul64(magnitude(c.base), uint64(c.n))
		if hi != 0 || lo > math.MaxInt64 {
			return 0, false
		}
		if c.base < 0 {
			return -int64(lo), true
		}
		return int64(lo), true
	}
	for i := range c.n {
		v := c.At(i)
		if next := sum + v; (next > sum) == (v > 0) {
			sum = next
		} else {
			return 0, false
		}
	}
	return sum, true
}

func magnitude(v int64) uint64 {
	if v < 0 {
		return -uint64(v)
	}
	return uint64(v)
}

// packInts chooses base, shift and width for values and packs them.
func packInts(values []int64) Ints {
	c := Ints{n: len(values)}
	if len(values) == 0 {
		return c
	}
	c.base = values[0]
	for _, v := range values {
		c.base = min(c.base, v)
	}
	var or uint64
	for _, v := range values {
		or |= uint64(v) - uint64(c.base)
	}
	if or == 0 {
		return c
	}
	c.shift = uint8(bits.TrailingZeros64(or))
	c.width = uint8(bits.Len64(or >> c.shift))
	if c.width > WideBits {
		c.shift, c.width = 0, 64
	}
	c.data = make([]byte, packedLen(c.n, c.width), packedLen(c.n, c.width)+8)
	room := c.data[:cap(c.data)]
	for i, v := range values {
		word := (uint64(v) - uint64(c.base)) >> c.shift
		bit := i * int(c.width)
		at := bit >> 3
		binary.LittleEndian.PutUint64(room[at:], binary.LittleEndian.Uint64(room[at:])|word<<(bit&7))
	}
	return c
}

// packedLen is the number of bytes n rows of width bits take. Callers bound n by
// maxRows, so the product cannot overflow.
func packedLen(n int, width uint8) int { return (n*int(width) + 7) / 8 }

// appendHead writes what a block's header says of the column.
func (c Ints) appendHead(b []byte) []byte {
	b = binary.AppendVarint(b, c.base)
	return append(b, c.shift, c.width)
}

// floatOf reads a number stored as its bits, which keeps every value exact.
func floatOf(bits int64) float64 { return math.Float64frombits(uint64(bits)) }
