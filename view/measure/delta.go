package measure

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"

	"wreg/accel"
	"wreg/registry/tensor"
)

// Delta is how far the numbers of two tensors are apart. Sums and the largest change are
// over the elements that are finite on both sides.
type Delta struct {
	Elements int64
	Changed  int64   // whose bits differ; of two types, whose numbers do. Of a type without numbers, elements of blocks that differ
	Max      float64 // the largest change
	At       int64   // the first element that changed so much, in row-major order; -1 when none did
	Squares  float64 // sum of the squares of the changes
	Of       float64 // sum of the squares of the reference
	NaNs     int64   // elements that are not a number on either side
	Infs     int64   // others that are infinite on either side
	Opaque   bool    // the type has no numbers: only bits were compared
}

// Relative is the norm of the change divided by that of the reference; false where that
// is zero, or too large for a float64.
func (d *Delta) Relative() (float64, bool) {
	r := math.Sqrt(d.Squares) / math.Sqrt(d.Of)
	return r, d.Of > 0 && r-r == 0
}

// Add counts another tensor's elements as well. At loses its meaning.
func (d *Delta) Add(o *Delta) {
	d.Elements += o.Elements
	d.Changed += o.Changed
	d.Max = max(d.Max, o.Max)
	d.Squares += o.Squares
	d.Of += o.Of
	d.NaNs += o.NaNs
	d.Infs += o.Infs
	d.Opaque = d.Opaque || o.Opaque
	d.At = -1
}

// blockElems are summed before their sum is added to the whole: a block begins at a
// multiple of it, however a tensor was cut for reading, so that sums do not depend on
// that. Two blocks of float64 fit the nearest cache.
const blockElems = 2048

// adder takes differences in; it belongs to one worker.
type adder struct{ x, y [blockElems]float64 }

// typed is a stretch of elements.
type typed struct {
	dtype tensor.DType
	bytes []byte
}

// part is elements i to j.
func (t typed) part(i, j int64) typed {
	elems, size := t.dtype.Block()
	return typed{t.dtype, t.bytes[i/elems*size : j/elems*size]}
}

// add takes n elements from first on, a multiple of blockElems.
func (s *adder) add(d *Delta, a, b typed, first, n int64) error {
	for i := int64(0); i < n; i += blockElems {
		j := min(i+blockElems, n)
		if err := s.block(d, a.part(i, j), b.part(i, j), first+i, int(j-i)); err != nil {
			return err
		}
	}
	return nil
}

func (s *adder) block(d *Delta, a, b typed, first int64, n int) error {
	same := a.dtype == b.dtype
	equal := same && bytes.Equal(a.bytes, b.bytes)
	d.Elements += int64(n)
	if !numbers(a.dtype) || !numbers(b.dtype) {
		if !same {
			return fmt.Errorf("%v and %v have no numbers to compare", a.dtype, b.dtype)
		}
		d.Opaque = true
		if !equal {
			elems, size := a.dtype.Block()
			d.Changed += unequal(a.bytes, b.bytes, int(size)) * elems
		}
		return nil
	}
	x, y := s.x[:n], s.y[:n]
	if err := widen(x, a); err != nil {
		return err
	}
	if equal {
		if sum := squares(x); sum-sum == 0 {
			d.Of += sum
			return nil
		}
	}
	if err := widen(y, b); err != nil {
		return err
	}
	if !equal {
		d.Changed += changed(a, b, x, y)
	}
	if same && (a.dtype == tensor.I64 || a.dtype == tensor.U64) { // the nearest float64 may be the same
		s.wide(d, a, b, first)
		return nil
	}
	sum, of, most := differences(x, y)
	if t := sum + of; t-t != 0 {
		d.finite(x, y, first)
		return nil
	}
	d.Squares += sum
	d.Of += of
	if most > d.Max {
		d.Max = most
		for i := range x {
			if math.Abs(y[i]-x[i]) == most {
				d.At = first + int64(i)
				break
			}
		}
	}
	return nil
}

// numbers reports a type whose elements are numbers; those of a bool are 0 and more.
func numbers(dt tensor.DType) bool { return dt == tensor.Bool || accel.Scannable(dt) }

func widen(dst []float64, t typed) error {
	if t.dtype == tensor.Bool {
		t.dtype = tensor.U8
	}
	return accel.Widen(dst, t.dtype, t.bytes)
}

// The conversions of products keep a compiler from fusing them with the sum on some
// processors and not on others.

// squares sums the squares of x, in four lanes.
func squares(x []float64) float64 {
	var s [4]float64
	for ; len(x) >= 4; x = x[4:] {
		s[0] += float64(x[0] * x[0])
		s[1] += float64(x[1] * x[1])
		s[2] += float64(x[2] * x[2])
		s[3] += float64(x[3] * x[3])
	}
	for _, v := range x {
		s[0] += float64(v * v)
	}
	return s[0] + s[1] + (s[2] + s[3])
}

// differences sums the squares of y-x and of x, in four lanes, and finds the largest
// difference.
func differences(x, y []float64) (sum, of, most float64) {
	var s, o [4]float64
	for len(x) >= 4 && len(y) >= 4 {
		d0, d1, d2, d3 := y[0]-x[0], y[1]-x[1], y[2]-x[2], y[3]-x[3]
		s[0] += float64(d0 * d0)
		s[1] += float64(d1 * d1)
		s[2] += float64(d2 * d2)
		s[3] += float64(d3 * d3)
		o[0] += float64(x[0] * x[0])
		o[1] += float64(x[1] * x[1])
		o[2] += float64(x[2] * x[2])
		o[3] += float64(x[3] * x[3])
		if d0 = math.Abs(d0); d0 > most {
			most = d0
		}
		if d1 = math.Abs(d1); d1 > most {
			most = d1
		}
		if d2 = math.Abs(d2); d2 > most {
			most = d2
		}
		if d3 = math.Abs(d3); d3 > most {
			most = d3
		}
		x, y = x[4:], y[4:]
	}
	for i := range x {
		d := y[i] - x[i]
		s[0] += float64(d * d)
		o[0] += float64(x[i] * x[i])
		most = max(most, math.Abs(d))
	}
	return s[0] + s[1] + (s[2] + s[3]), o[0] + o[1] + (o[2] + o[3]), most
}

// finite takes in a block with elements that are not finite, which it only counts, or
// with sums that are not.
func (d *Delta) finite(x, y []float64, first int64) {
	var sum, of float64
	for i, a := range x {
		b := y[i]
		switch {
		case a != a || b != b:
			d.NaNs++
			continue
		case math.IsInf(a, 0) || math.IsInf(b, 0):
			d.Infs++
			continue
		}
		sum += float64((b - a) * (b - a))
		of += float64(a * a)
		if m := math.Abs(b - a); m > d.Max {
			d.Max, d.At = m, first+int64(i)
		}
	}
	d.Squares += sum
	d.Of += of
}

// wide takes in integers of 64 bits, whose differences are taken before they are rounded.
func (s *adder) wide(d *Delta, a, b typed, first int64) {
	var sum, of float64
	for i := range len(a.bytes) / 8 {
		u, v := binary.LittleEndian.Uint64(a.bytes[8*i:]), binary.LittleEndian.Uint64(b.bytes[8*i:])
		if a.dtype == tensor.I64 { // the same order as of unsigned ones
			u, v = u^1<<63, v^1<<63
		}
		m := float64(max(u, v) - min(u, v))
		sum += float64(m * m)
		of += float64(s.x[i] * s.x[i])
		if m > d.Max {
			d.Max, d.At = m, first+int64(i)
		}
	}
	d.Squares += sum
	d.Of += of
}

// changed counts elements: of one type by their bits, of two by their numbers.
func changed(a, b typed, x, y []float64) (n int64) {
	if elems, size := a.dtype.Block(); a.dtype == b.dtype && elems == 1 {
		return unequal(a.bytes, b.bytes, int(size))
	}
	for i, v := range x {
		w := y[i]
		switch {
		case a.dtype == b.dtype: // of less than a byte, without NaN
			if math.Float64bits(v) != math.Float64bits(w) {
				n++
			}
		case v != w && (v == v || w == w):
			n++
		}
	}
	return n
}

// unequal counts the elements of size bytes that differ, those of 8 bytes at once: a lane
// of their difference gets its top bit unless it is zero.
func unequal(a, b []byte, size int) (n int64) {
	low, words := uint64(0), len(a)/8*8
	switch size {
	case 1:
		low = 0x7F7F_7F7F_7F7F_7F7F
	case 2:
		low = 0x7FFF_7FFF_7FFF_7FFF
	case 4:
		low = 0x7FFF_FFFF_7FFF_FFFF
	case 8:
		low = 0x7FFF_FFFF_FFFF_FFFF
	default:
		words = 0
	}
	le := binary.LittleEndian
	for x, y := a[:words], b[:words]; len(x) >= 8 && len(y) >= 8; x, y = x[8:], y[8:] {
		if d := le.Uint64(x) ^ le.Uint64(y); d != 0 {
			n += int64(bits.OnesCount64((d&low + low | d) &^ low))
		}
	}
	for i := words; i+size <= len(a); i += size {
		if !bytes.Equal(a[i:i+size], b[i:i+size]) {
			n++
		}
	}
	return n
}
