package strided

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"sync"

	"wreg/ingest/zipfile"
	"wreg/registry/tensor"
)

// A strided tensor is gathered block by block, each from as few reads as its
// strides allow.
const (
	blockBytes = 4 << 20  // of the tensor, held at once
	spanBytes  = 4 << 20  // of the storage, read at once
	smallSpan  = 64 << 10 // read at once however little of it is wanted
	wasteTimes = 4        // else, how many times more than wanted may be read
)

// gatherer gives the logical bytes of a strided view.
type gatherer struct {
	v     *View
	r     io.ReaderAt // the storage's record
	first int64       // bytes into it

	mu    sync.Mutex
	block []byte // the tensor's bytes from at on
	at    int64
	span  []byte // the storage's bytes they are taken from

	again *zipfile.Again // what gathering a block twice counts in
	past  int64          // the end of all that was gathered so far
	spent int64          // on the block
}

// axis is one dimension of a block: how many elements, and how far apart they are
// in the storage and in the block, in bytes.
type axis struct{ n, src, dst int64 }

// Gather gives the logical bytes of a view whose storage lies in r from first on. What
// is gathered more than once, since it is not read in order, counts in again.
func Gather(v *View, r io.ReaderAt, first int64, again *zipfile.Again) io.ReaderAt {
	return &gatherer{v: v, r: r, first: first, again: again}
}

func (g *gatherer) ReadAt(p []byte, off int64) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	size := g.v.Size()
	n := 0
	for n < len(p) && off >= 0 && off < size {
		if off < g.at || off >= g.at+int64(len(g.block)) {
			if err := g.fill(off); err != nil {
				g.block = g.block[:0]
				return n, err
			}
		}
		k := copy(p[n:], g.block[off-g.at:])
		n += k
		off += int64(k)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// fill gathers the block that holds the tensor's byte off: a range of one
// dimension and all of those after it.
func (g *gatherer) fill(off int64) error {
	v := g.v
	item := v.Item()
	d, inner := v.block()
	// The block ends with its dimension: the next row starts elsewhere.
	rows := max(1, blockBytes/inner)
	outer, row := off/inner/v.Shape[d], off/inner%v.Shape[d]/rows*rows
	rows = min(rows, v.Shape[d]-row)
	g.at = (outer*v.Shape[d] + row) * inner

	src := (v.Offset + row*v.Stride[d]) * item
	for i := d - 1; i >= 0; i-- {
		src += outer % v.Shape[i] * v.Stride[i] * item
		outer /= v.Shape[i]
	}
	if n := rows * inner; n > int64(cap(g.block)) {
		g.block = make([]byte, n)
	} else {
		g.block = g.block[:n]
	}
	g.spent = 0
	if err := g.gather(v.axes(d, rows), item, src, 0); err != nil {
		return err
	}
	if g.at < g.past {
		return g.again.Spend(g.spent)
	}
	g.past = g.at + rows*inner
	return nil
}

// block is the dimension that blocks are ranges of, and the bytes of one index of it.
func (v *View) block() (d int, inner int64) {
	inner, d = v.Item(), len(v.Shape)-1
	for d > 0 && inner*v.Shape[d] <= blockBytes {
		inner *= v.Shape[d]
		d--
	}
	return d, inner
}

// axes are those of a block of so many rows of dimension d, farthest apart first.
func (v *View) axes(d int, rows int64) (axes []axis) {
	item := v.Item()
	for i, dst := len(v.Shape)-1, item; i >= d; i-- {
		n := v.Shape[i]
		if i == d {
			n = rows
		}
		if n > 1 {
			axes = append(axes, axis{n, v.Stride[i] * item, dst})
		}
		dst *= n
	}
	slices.SortStableFunc(axes, func(a, b axis) int { return cmp.Compare(b.src, a.src) })
	return merge(axes)
}

// Pieces is how many reads gather all of the tensor, which is not empty: some too
// many where its last block is short.
func (v *View) Pieces() int64 {
	if v.Dense() {
		return 0
	}
	d, inner := v.block()
	rows := min(max(1, blockBytes/inner), v.Shape[d])
	pieces := (v.Shape[d] + rows - 1) / rows
	for _, n := range v.Shape[:d] {
		pieces *= n // no more than elements
	}
	axes := v.axes(d, rows)
	for len(axes) > 0 && !atOnce(axes, v.Item()) {
		pieces *= axes[0].n
		axes = axes[1:]
	}
	return pieces
}

// atOnce says that what axes reach is read at once.
func atOnce(axes []axis, item int64) bool {
	extent, want := reach(axes, item)
	return len(axes) == 0 || extent <= min(spanBytes, max(smallSpan, wasteTimes*want))
}

// reach is the bytes from the first element to the end of the last, and those wanted.
func reach(axes []axis, item int64) (extent, want int64) {
	extent, want = item, item
	for _, a := range axes {
		extent += (a.n - 1) * a.src
		want *= a.n
	}
	return extent, want
}

// merge joins neighbours that are one dimension in both places.
func merge(axes []axis) []axis {
	for i := len(axes) - 2; i >= 0; i-- {
		if a, b := axes[i], axes[i+1]; a.src == b.n*b.src && a.dst == b.n*b.dst {
			axes[i] = axis{a.n * b.n, b.src, b.dst}
			axes = slices.Delete(axes, i+1, i+2)
		}
	}
	return axes
}

// gather fills the block from dst on with the elements that axes, farthest apart
// first, reach from src on. What lies close together is read at once.
func (g *gatherer) gather(axes []axis, item, src, dst int64) error {
	if !atOnce(axes, item) {
		for i := range axes[0].n {
			if err := g.gather(axes[1:], item, src+i*axes[0].src, dst+i*axes[0].dst); err != nil {
				return err
			}
		}
		return nil
	}
	extent, _ := reach(axes, item)
	if extent > int64(cap(g.span)) {
		g.span = make([]byte, extent)
	}
	g.span = g.span[:extent]
	g.spent += extent + zipfile.ReadCost
	if err := tensor.ReadFull(g.r, g.span, g.first+src); err != nil {
		return fmt.Errorf("storage %q: %d bytes at %d: %w", g.v.Storage.Key, extent, g.first+src, err)
	}
	spread(g.block[dst:], g.span, axes, item)
	return nil
}

// spread copies elements from where axes find them in src to where they belong
// in dst.
func spread(dst, src []byte, axes []axis, item int64) {
	switch len(axes) {
	case 0:
		copy(dst[:item], src)
	case 1:
		stride(dst, src, axes[0], item)
	case 2:
		// In tiles: one of the two walks across cache lines, and comes back to them.
		a, b := axes[0], axes[1]
		if b.src == item && b.dst == item {
			for i := range a.n {
				copy(dst[i*a.dst:][:b.n*item], src[i*a.src:])
			}
			return
		}
		for j := int64(0); j < b.n; j += tile {
			row := axis{min(tile, b.n-j), b.src, b.dst}
			for i := range a.n {
				stride(dst[i*a.dst+j*b.dst:], src[i*a.src+j*b.src:], row, item)
			}
		}
	default:
		for i := range axes[0].n {
			spread(dst[i*axes[0].dst:], src[i*axes[0].src:], axes[1:], item)
		}
	}
}

// tile is how many elements apart the inner loop of a transposition goes before
// the outer one steps.
const tile = 32

// stride copies one axis.
func stride(dst, src []byte, a axis, item int64) {
	if a.src == item && a.dst == item {
		copy(dst[:a.n*item], src)
		return
	}
	le := binary.LittleEndian
	from, to := int64(0), int64(0)
	for range a.n {
		switch d, s := dst[to:], src[from:]; item {
		case 1:
			d[0] = s[0]
		case 2:
			le.PutUint16(d, le.Uint16(s))
		case 4:
			le.PutUint32(d, le.Uint32(s))
		case 8:
			le.PutUint64(d, le.Uint64(s))
		default:
			copy(d[:item], s)
		}
		from += a.src
		to += a.dst
	}
}
