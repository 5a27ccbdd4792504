package compute

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"

	"wreg/export/disk"
	"wreg/registry/arch/op"
	"wreg/registry/tensor"
)

func init() {
	register(operation{value: newStrided, check: movable, scratch: func(n *op.Node, _, limit int64) int64 {
		return limit + deepest(n, limit, limit)
	}}, op.Slice, op.Permute, op.Repeat)
}

// movable refuses types whose elements have no address of their own, and slices that
// leave open what is cut.
func movable(n *op.Node) error {
	in := n.In[0]
	if elems, _ := in.DType.Block(); elems != 1 {
		return fmt.Errorf("elements of %v lie packed in blocks of %d and cannot be moved individually", in.DType, elems)
	}
	for i, size := range in.Shape {
		if n.Op == op.Slice && (len(n.Start) != len(in.Shape) || n.Cut(i) != n.Cut(i).Of(size)) {
			return fmt.Errorf("%v:%v:%v of %v", n.Start, n.Stop, n.Stride, in.Shape)
		}
	}
	return nil
}

// strided is slice, permute and repeat: element i of the result is the input's
// element base + sum of index*step over the dimensions.
type strided struct {
	e     *Evaluator
	in    Value
	dtype tensor.DType
	base  int64
	dims  []axis // outermost first; their sizes multiply to the number of elements
	slot  int
}

// axis is one dimension of a box: how many, and how far apart in the result
// (counted from the box's first element) and in the input, in elements.
type axis struct{ n, out, in int64 }

func newStrided(e *Evaluator, n *op.Node, in []Value) (Value, error) {
	s := &strided{e: e, in: in[0], dtype: n.DType, slot: e.slot()}
	from := n.In[0].Shape
	step := make([]int64, len(from))
	for i, k := len(from)-1, int64(1); i >= 0; i-- {
		step[i] = k
		k *= from[i]
	}
	switch n.Op {
	case op.Slice:
		for i := range from {
			c := n.Cut(i)
			s.base += c.Start * step[i]
			s.dims = append(s.dims, axis{n: c.Size(), in: step[i] * c.Stride})
		}
	case op.Permute:
		for _, p := range n.Perm {
			s.dims = append(s.dims, axis{n: from[p], in: step[p]})
		}
	case op.Repeat: // each index of the axis, Count times
		for i := range from {
			s.dims = append(s.dims, axis{n: from[i], in: step[i]})
			if i == n.Axis {
				s.dims = append(s.dims, axis{n: int64(n.Count), in: 0})
			}
		}
	}
	s.dims = merge(s.dims)
	for i, k := len(s.dims)-1, int64(1); i >= 0; i-- {
		s.dims[i].out = k
		k *= s.dims[i].n
	}
	if v, ok := s.arranged(); ok {
		return v, nil
	}
	return s, nil
}

// arranger is a source that is gathered whatever order it is read in: it gives its
// elements in the order that is asked for, and need not be gathered again and again.
type arranger interface {
	Arrange(base int64, n, step []int64) (io.ReaderAt, bool)
}

// arranged is a Load whose elements are read in the order that others asked for.
type arranged struct {
	*Load
	src io.ReaderAt
}

func (v arranged) Read(dst []byte, first int64) error {
	if err := disk.ReadFull(v.src, dst, SizeOf(v.Node.DType, first)); err != nil {
		return fmt.Errorf("tensor %q in another order: %w", v.Node.Path, err)
	}
	return nil
}

// arranged is the same elements as its source gives them, if it can.
func (s *strided) arranged() (v arranged, ok bool) {
	switch in := s.in.(type) {
	case *Load:
		v = arranged{in, in.src}
	case arranged:
		v = in
	default:
		return v, false
	}
	a, ok := v.src.(arranger)
	if !ok {
		return v, false
	}
	n, step := make([]int64, len(s.dims)), make([]int64, len(s.dims))
	for i, d := range s.dims {
		n[i], step[i] = d.n, d.in
	}
	v.src, ok = a.Arrange(s.base, n, step)
	return v, ok
}

// merge joins neighbours that one longer dimension can stand for, and leaves out
// those of one index.
func merge(dims []axis) []axis {
	var out []axis
	for _, d := range dims {
		switch k := len(out) - 1; {
		case d.n == 1:
		case k >= 0 && out[k].in == d.in*d.n && d.in != 0:
			out[k].n, out[k].in = out[k].n*d.n, d.in
		default:
			out = append(out, d)
		}
	}
	return out
}

func (s *strided) Read(dst []byte, first int64) error {
	n := Count(s.dtype, dst)
	return s.flat(dst, s.dims, s.base, first, first+n)
}

// flat cuts the range first..last of the dimensions into boxes: part of the first
// row, whole rows, part of the last row, each row being cut likewise.
func (s *strided) flat(dst []byte, dims []axis, base, first, last int64) error {
	if first == last {
		return nil
	}
	if len(dims) == 0 {
		return s.in.Read(dst, base)
	}
	d := dims[0]
	row := d.out
	lo, hi := first/row, (last-1)/row
	if first%row == 0 && last%row == 0 { // whole rows
		box := append([]axis{{last/row - lo, row, d.in}}, dims[1:]...)
		return s.box(dst, box, base+lo*d.in)
	}
	if lo == hi {
		return s.flat(dst, dims[1:], base+lo*d.in, first-lo*row, last-lo*row)
	}
	cuts := []int64{first, (first + row - 1) / row * row, last / row * row, last}
	for i := range 3 {
		if cuts[i] < cuts[i+1] {
			part := dst[SizeOf(s.dtype, cuts[i]-first):SizeOf(s.dtype, cuts[i+1]-first)]
			if err := s.flat(part, dims, base, cuts[i], cuts[i+1]); err != nil {
				return err
			}
		}
	}
	return nil
}

// waste is how many times what is wanted a box may read when it is read in one go.
const waste = 8

// Sizes in bytes that choose between ways to read a box: spans of up to span are
// always read in one go; a run of neighbours is worth a read of its own from run
// on.
type thresholds struct{ span, run int64 }

var usual = thresholds{span: 4096, run: 64}

// box fills dst, in which the box's first element comes first, from the input.
func (s *strided) box(dst []byte, dims []axis, base int64) error {
	numel, low, span, widest := int64(1), base, int64(1), -1
	for i, d := range dims {
		numel *= d.n
		reach := (d.n - 1) * d.in
		span += max(reach, -reach)
		low += min(reach, 0)
		if d.n > 1 && (widest < 0 || abs(d.in) > abs(dims[widest].in)) {
			widest = i
		}
	}
	if widest < 0 {
		return s.in.Read(dst[:SizeOf(s.dtype, 1)], base)
	}
	one := len(dims) == 1 || numel == dims[widest].n
	if one && dims[widest].in == 1 && dims[widest].out == 1 {
		return s.in.Read(dst[:SizeOf(s.dtype, numel)], base)
	}
	if bytes := SizeOf(s.dtype, span); bytes <= s.e.when.span || bytes <= s.e.Limit && span <= waste*numel {
		src := s.e.buffer(s.slot, bytes)
		if err := s.in.Read(src, low); err != nil {
			return err
		}
		pick(dst, 0, src, base-low, SizeOf(s.dtype, 1), dims)
		return nil
	}
	if run := slices.IndexFunc(dims, func(d axis) bool { return d.in == 1 && d.n > 1 }); run >= 0 && run != widest &&
		SizeOf(s.dtype, dims[run].n) >= s.e.when.run && SizeOf(s.dtype, numel) <= s.e.Limit {
		return s.runs(dst, dims, base, numel)
	}
	half := dims[widest].n / 2
	left, right := append([]axis(nil), dims...), append([]axis(nil), dims...)
	left[widest].n, right[widest].n = half, dims[widest].n-half
	if err := s.box(dst, left, base); err != nil {
		return err
	}
	return s.box(dst[SizeOf(s.dtype, half*dims[widest].out):], right, base+half*dims[widest].in)
}

// reach orders axes by how far apart their indices lie in the input; one that
// repeats the same element is walked outermost.
func reach(d axis) int64 {
	if d.in == 0 {
		return math.MaxInt64
	}
	return abs(d.in)
}

// runs fills dst from a sparse box: it reads its runs, packs them densely in the
// order they have in the input, and picks from there.
func (s *strided) runs(dst []byte, dims []axis, base, numel int64) error {
	order := slices.Clone(dims)
	slices.SortStableFunc(order, func(a, b axis) int { return cmp.Compare(reach(b), reach(a)) })
	src := s.e.buffer(s.slot, SizeOf(s.dtype, numel))
	order = slices.DeleteFunc(order, func(d axis) bool { return d.n == 1 })
	run := SizeOf(s.dtype, order[len(order)-1].n)
	index := make([]int64, len(order)-1)
	for at := int64(0); at < int64(len(src)); at += run {
		if err := s.in.Read(src[at:at+run], base); err != nil {
			return err
		}
		for k := len(index) - 1; k >= 0; k-- {
			base += order[k].in
			if index[k]++; index[k] < order[k].n {
				break
			}
			base -= order[k].in * order[k].n
			index[k] = 0
		}
	}
	for k, dense := len(order)-1, int64(1); k >= 0; k-- {
		order[k].in = dense
		dense *= order[k].n
	}
	// Back into the order of the result.
	slices.SortStableFunc(order, func(a, b axis) int { return cmp.Compare(b.out, a.out) })
	size := SizeOf(s.dtype, 1)
	if len(order) == 2 && order[0].in == 1 && order[1].out == 1 && order[0].out == order[1].n && (size == 1 || size == 2 || size == 4 || size == 8) {
		return s.e.device.Permute2(dst[:len(src)], src, 1, int(order[1].n), int(order[0].n), int(size))
	}
	pick(dst, 0, src, 0, size, order)
	return nil
}

// tile is the side of the square blocks in which two dimensions are walked, so
// that both sides of a transposition stay in the nearest cache.
const tile = 32

// pick copies a box of elements of size bytes from element from of src to element
// to of dst.
func pick(dst []byte, to int64, src []byte, from, size int64, dims []axis) {
	if len(dims) > 2 {
		for i := range dims[0].n {
			pick(dst, to+i*dims[0].out, src, from+i*dims[0].in, size, dims[1:])
		}
		return
	}
	rows, cols := axis{n: 1}, dims[len(dims)-1]
	if len(dims) == 2 {
		rows = dims[0]
	}
	if cols.in == 1 && cols.out == 1 {
		for i := range rows.n {
			d, s := (to+i*rows.out)*size, (from+i*rows.in)*size
			copy(dst[d:d+cols.n*size], src[s:])
		}
		return
	}
	for i := int64(0); i < rows.n; i += tile {
		for j := int64(0); j < cols.n; j += tile {
			pickTile(dst, to+i*rows.out+j*cols.out, src, from+i*rows.in+j*cols.in, size,
				axis{min(tile, rows.n-i), rows.out, rows.in}, axis{min(tile, cols.n-j), cols.out, cols.in})
		}
	}
}

func pickTile(dst []byte, to int64, src []byte, from, size int64, rows, cols axis) {
	for i := range rows.n {
		d, s := (to+i*rows.out)*size, (from+i*rows.in)*size
		switch size {
		case 1:
			for range cols.n {
				dst[d] = src[s]
				d, s = d+cols.out, s+cols.in
			}
		case 2:
			for range cols.n {
				le.PutUint16(dst[d:], le.Uint16(src[s:]))
				d, s = d+2*cols.out, s+2*cols.in
			}
		case 4:
			for range cols.n {
				le.PutUint32(dst[d:], le.Uint32(src[s:]))
				d, s = d+4*cols.out, s+4*cols.in
			}
		default:
			for range cols.n {
				copy(dst[d:d+size], src[s:])
				d, s = d+size*cols.out, s+size*cols.in
			}
		}
	}
}

var le = binary.LittleEndian

func abs(n int64) int64 { return max(n, -n) }
