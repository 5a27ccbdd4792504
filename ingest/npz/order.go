package npz

import (
	"fmt"
	"io"
	"sync"

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

// tileBytes bounds what a turned array holds in memory.
const tileBytes = 16 << 20

// turned reads a Fortran-ordered array as row-major. It keeps one tile: some rows
// (first index) over some columns (all other indices), gathered from the file a
// stretch of rows at a time, since the first index is the fastest there.
type turned struct {
	r          io.ReaderAt
	rest       tensor.Shape // all dimensions but the first
	rows, cols int64
	size       int64 // of an element

	mu         sync.Mutex
	tile       []byte
	row0, col0 int64
	nrow, ncol int64 // of the tile; 0 at first
}

func newTurned(r io.ReaderAt, shape tensor.Shape, size int64) *turned {
	cols := int64(1)
	for _, d := range shape[1:] {
		cols *= d // no overflow: the whole was checked
	}
	return &turned{r: r, rest: shape[1:], rows: shape[0], cols: cols, size: size}
}

// tileOf is the size of the tiles.
func (t *turned) tileOf() (rows, cols int64) {
	cols = min(t.cols, tileBytes/t.size)
	return max(1, min(t.rows, tileBytes/t.size/cols)), cols
}

// pieces is how many reads turn all of it.
func (t *turned) pieces() int64 {
	if t.rows == 0 || t.cols == 0 {
		return 0
	}
	rows, _ := t.tileOf()
	return (t.rows + rows - 1) / rows * t.cols // no more than elements
}

func (t *turned) ReadAt(p []byte, off int64) (n int, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	total := t.rows * t.cols * t.size
	for n < len(p) && off < total {
		at := off / t.size
		row, col := at/t.cols, at%t.cols
		if row < t.row0 || row >= t.row0+t.nrow || col < t.col0 || col >= t.col0+t.ncol {
			if err := t.load(row, col); err != nil {
				return n, err
			}
		}
		// The rest of this row in the tile is a stretch of the logical order.
		from := ((row-t.row0)*t.ncol+(col-t.col0))*t.size + off%t.size
		to := ((row-t.row0)*t.ncol + t.ncol) * t.size
		m := copy(p[n:], t.tile[from:to])
		n, off = n+m, off+int64(m)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// load gathers the tile that starts at row and holds col.
func (t *turned) load(row, col int64) error {
	t.nrow, t.ncol = t.tileOf()
	t.nrow = min(t.nrow, t.rows-row)
	t.row0, t.col0 = row, col/t.ncol*t.ncol
	t.ncol = min(t.ncol, t.cols-t.col0)
	if need := t.nrow * t.ncol * t.size; int64(cap(t.tile)) < need {
		t.tile = make([]byte, need)
	} else {
		t.tile = t.tile[:need]
	}
	column := make([]byte, t.nrow*t.size)
	for c := range t.ncol {
		if err := tensor.ReadFull(t.r, column, (t.place(t.col0+c)*t.rows+row)*t.size); err != nil {
			err = fmt.Errorf("turning rows %d to %d: %w", row, row+t.nrow, err)
			t.nrow = 0
			return err
		}
		for r := range t.nrow {
			copy(t.tile[(r*t.ncol+c)*t.size:], column[r*t.size:(r+1)*t.size])
		}
	}
	return nil
}

// place is where a column lies in the file: its row-major number among the other
// dimensions turned into the Fortran number.
func (t *turned) place(col int64) (n int64) {
	stride := t.cols
	for i := len(t.rest) - 1; i >= 0; i-- {
		stride /= t.rest[i]
		n += col % t.rest[i] * stride
		col /= t.rest[i]
	}
	return n
}
