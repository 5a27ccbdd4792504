// Package block stores the tensors of one template in columns of bytes, and reads
// them back a column at a time.
//
// Most users need [Decode] and the columns of a [Block]: [Block.DTypes],
// [Block.Shapes], [Block.Hashes] and so on; [Block.Info] decodes a row whole. Writing
// goes by [Group] and [Groups.Encode].
//
// Invariants: the bytes of a block follow from its tensors alone; a column is one
// constant or one packed array, and is verified when it is first used; what is damaged
// reads as zeroes and is reported, never believed; nothing here knows files or
// transactions. docs/registry-format.md describes the bytes.
package block

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sort"
	"sync/atomic"

	"wreg/registry/codec"
	"wreg/registry/tensor"
)

// Range is Count numbers from Start on.
type Range struct{ Start, Count int64 }

// Block holds the tensors of one template, in columns: each column is one
// constant or one packed array over the rows. Rows are sorted by index.
//
// A column is verified and decoded when it is first asked for. Damage found then
// makes the column read as zeroes and the View that the block belongs to return
// a *DamagedError; Err reports it at once. Methods may be called concurrently.
type Block struct {
	template string
	literal  bool // a path that cannot be taken apart: its one row is the template
	rows     int
	axes     []Range // full product of ranges, or
	grid     []col   // one column per placeholder
	files    []string
	formats  []string
	shapes   []tensor.Shape
	numels   []int64
	ends     atomic.Pointer[[]int] // of each row's slices, once they were counted

	cols [colTotal]col

	trusted bool // by the fuzzer, which would not come past checksums
	report  func(error)
	err     atomic.Pointer[error]
}

// col is one column as the header describes it.
type col struct {
	base         int64
	shift, width uint8
	proven       atomic.Bool // data matched sum
	one          []byte      // the value all rows share, of hashes and sums
	data         []byte
	sum          uint32
	size         int // of data, before it is found
}

// The columns in the order they are stored. Packed axes come before them.
const (
	colDType    = iota
	colShape    // code
	colFile     // code
	colOffset   //
	colBytes    //
	colFormat   // code
	colHash     // 32 bytes per row, or one
	colSum      // 16 bytes per row, or one
	colCount    // of slices
	colSlices   // 32 bytes each
	colHasStats // 0 or 1
	colStats    // and the following ones
	colTotal    = colStats + len(statFields)
)

// Decode reads a block's header. Columns stay packed. files is the
// revision's table of file names; raw must stay unchanged while the block is used.
func Decode(key string, raw []byte, files []string, report func(error)) (*Block, error) {
	b := &Block{files: files, report: report}
	return b, b.decode(key, raw)
}

func (b *Block) decode(key string, raw []byte) error {
	if key == "" {
		return fmt.Errorf("block without a key")
	}
	b.template, b.literal = key[1:], key[0] == literalKey
	d := codec.NewReader(raw)
	if v := d.Byte(); d.Err == "" && v != blockVersion {
		return fmt.Errorf("block %q has version %d, this wreg knows %d", b.template, v, blockVersion)
	}
	rows := d.Uvarint()
	if rows == 0 || rows > MaxRows {
		d.Fail(fmt.Sprintf("%d rows", rows))
		rows = 0
	}
	b.rows = int(rows)
	b.decodeGrid(d, len(key))
	for at := range b.cols {
		b.decodeColumn(d, at)
	}
	end := d.Offset()
	if sum := d.Bytes(4); sum != nil && !b.trusted &&
		codec.Checksum(key, raw[:end]) != binary.LittleEndian.Uint32(sum) {
		return fmt.Errorf("block %q: header does not match its checksum", b.template)
	}
	for i := range b.grid {
		b.grid[i].data = d.Bytes(b.grid[i].size)
	}
	for i := range b.cols {
		b.cols[i].data = d.Bytes(b.cols[i].size)
	}
	if d.Err == "" && d.Left() > 0 {
		d.Fail(fmt.Sprintf("%d bytes after the last column", d.Left()))
	}
	if d.Err != "" {
		return fmt.Errorf("block %q: %s", b.template, d.Err)
	}
	return nil
}

// decodeColumn reads what the header says of one column.
func (b *Block) decodeColumn(d *codec.Reader, at int) {
	c := &b.cols[at]
	switch at {
	case colShape:
		b.shapes, b.numels = readShapes(d)
	case colFormat:
		b.formats = d.Table(MaxFormats)
	case colHash, colSum:
		size := hashSize
		if at == colSum {
			size = sumSize
		}
		switch d.Byte() {
		case 1:
			c.one = d.Bytes(size)
		case 0:
			c.payload(d, b.rows*size)
		default:
			d.Fail("neither one value nor one per row")
		}
		return
	case colSlices:
		n := d.Uvarint()
		if n > uint64(d.Left()/hashSize) {
			d.Fail(fmt.Sprintf("%d slice hashes in %d bytes", n, d.Left()))
			return
		}
		c.payload(d, int(n)*hashSize)
		return
	}
	c.decode(d, b.rows)
}

// decode reads the header of a column of numbers.
func (c *col) decode(d *codec.Reader, rows int) {
	c.base, c.shift, c.width = d.Varint(), d.Byte(), d.Byte()
	switch {
	case d.Err != "":
	case c.width > 64 || c.width > WideBits && c.width < 64:
		d.Fail(fmt.Sprintf("%d bits per row", c.width))
	case c.shift > 63 || c.shift > 0 && c.shift+c.width > 64:
		d.Fail(fmt.Sprintf("%d bits per row shifted by %d", c.width, c.shift))
	default:
		c.payload(d, packedLen(rows, c.width))
	}
}

// payload notes the size of a column's data and reads its checksum.
func (c *col) payload(d *codec.Reader, size int) {
	c.size = size
	if size > 0 {
		if sum := d.Bytes(4); sum != nil {
			c.sum = binary.LittleEndian.Uint32(sum)
		}
	}
}

// ints is the column once it is proven.
func (c *col) ints(rows int) Ints {
	return Ints{n: rows, base: c.base, shift: c.shift, width: c.width, data: c.data}
}

// decodeGrid reads how the indices are stored.
func (b *Block) decodeGrid(d *codec.Reader, most int) {
	k := d.Count(1)
	switch mode := d.Byte(); {
	case d.Err != "":
	case k > most || k > 0 && b.literal:
		d.Fail(fmt.Sprintf("%d numbers per row, in a name of %d bytes", k, most))
	case mode == gridNone && k == 0:
		if b.rows != 1 {
			d.Fail(fmt.Sprintf("%d rows without a number to tell them apart", b.rows))
		}
	case mode == gridProduct && k > 0:
		b.axes = make([]Range, k)
		for i := range b.axes {
			b.axes[i] = Range{d.Varint(), int64(min(d.Uvarint(), MaxRows+1))}
		}
		if n, ok := combinations(b.axes); !ok || n != b.rows {
			d.Fail(fmt.Sprintf("%d rows in a grid of %v", b.rows, b.axes))
		}
	case mode == gridPacked && k > 0:
		b.grid = make([]col, k)
		for i := range b.grid {
			b.grid[i].decode(d, b.rows)
		}
	default:
		d.Fail(fmt.Sprintf("grid %d with %d numbers per row", mode, k))
	}
}

// prove verifies the checksum of a column's data the first time it is used.
func (b *Block) prove(c *col) bool {
	if c.proven.Load() {
		return true
	}
	if len(c.data) > 0 && !b.trusted && codec.Checksum("", c.data) != c.sum {
		b.damaged("a column does not match its checksum")
		return false
	}
	c.proven.Store(true)
	return true
}

// column gives a verified column of numbers, or zeroes when it is damaged.
func (b *Block) column(at int) Ints { return b.numbers(&b.cols[at]) }

func (b *Block) numbers(c *col) Ints {
	if !b.prove(c) {
		return Ints{n: b.rows}
	}
	return c.ints(b.rows)
}

// damaged records what was found wrong. Each use of a bad column reports it again, so
// that each View that meets it fails.
func (b *Block) damaged(message string) {
	err := fmt.Errorf("block %q: %s", b.template, message)
	b.err.CompareAndSwap(nil, &err)
	if b.report != nil {
		b.report(err)
	}
}

// Err is the first damage met while columns were decoded.
func (b *Block) Err() error {
	if err := b.err.Load(); err != nil {
		return *err
	}
	return nil
}

// Weight is what keeping the header costs, in units of about 1 KiB.
func (b *Block) Weight() int {
	return 1 + (len(b.shapes)+len(b.formats)+len(b.axes)+len(b.grid))/8
}

// Template is the block's template: model.layers.{layer}.mlp.gate.weight.
func (b *Block) Template() string { return b.template }

// Len is the number of rows.
func (b *Block) Len() int { return b.rows }

// Grid gives one range per placeholder when the rows are the full product of
// ranges (the last one counting fastest); ok false otherwise.
func (b *Block) Grid() (axes []Range, ok bool) {
	if b.axes == nil {
		return nil, false
	}
	return slices.Clone(b.axes), true
}

// Index gives the numbers of placeholder k for every row; ok false when k is
// beyond the template's placeholders. A grid that is a full product of ranges is
// stored as those ranges.
func (b *Block) Index(k int) ([]int64, bool) {
	switch {
	case k < 0:
		return nil, false
	case k < len(b.grid):
		return b.numbers(&b.grid[k]).AppendTo(make([]int64, 0, b.rows)), true
	case k < len(b.axes):
		numbers := make([]int64, b.rows)
		stride := b.stride(k)
		for i := range numbers {
			numbers[i] = b.axes[k].Start + int64(i)/stride%b.axes[k].Count
		}
		return numbers, true
	}
	return nil, false
}

// stride is the number of rows between two numbers of axis k.
func (b *Block) stride(k int) int64 {
	n := int64(1)
	for _, a := range b.axes[k+1:] {
		n *= a.Count
	}
	return n
}

// index is row i's numbers.
func (b *Block) index(i int) []int64 {
	numbers := make([]int64, max(len(b.grid), len(b.axes)))
	for k := range b.grid {
		numbers[k] = b.numbers(&b.grid[k]).At(i)
	}
	rest := int64(i)
	for k := len(b.axes) - 1; k >= 0; k-- {
		numbers[k] = b.axes[k].Start + rest%b.axes[k].Count
		rest /= b.axes[k].Count
	}
	return numbers
}

// Row finds the row with these numbers.
func (b *Block) Row(index []int64) (int, bool) {
	if len(index) != max(len(b.grid), len(b.axes)) {
		return 0, false
	}
	if b.axes != nil {
		row := int64(0)
		for k, a := range b.axes {
			at := index[k] - a.Start
			if index[k] < a.Start || at >= a.Count {
				return 0, false
			}
			row = row*a.Count + at
		}
		return int(row), true
	}
	grid := make([]Ints, len(b.grid))
	for k := range grid {
		grid[k] = b.numbers(&b.grid[k])
	}
	return sort.Find(b.rows, func(i int) int { return -compareIndex(index, grid, i) })
}

// Path is row i's path.
func (b *Block) Path(i int) string {
	if b.literal {
		return b.template
	}
	return tensor.JoinPath(b.template, b.index(i))
}
