package registry

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"sort"

	"wreg/registry/tensor"
)

// Range is Count numbers from Start on.
type Range struct{ Start, Count int64 }

// Block holds the tensors of one template, in columns: each column is one
// constant or one packed array over the rows. Rows are sorted by index.
//
// A column is verified and decoded when it is first asked for. Damage found then
// makes the column read as zeroes and the View that the block belongs to return
// a *DamagedError; Err tells at once. A Block must not be used by two goroutines
// at a time.
type Block struct {
	template string
	literal  bool // a path that cannot be taken apart: its one row is the template
	rows     int
	axes     []Range // full product of ranges, or
	grid     []Ints  // one column a placeholder
	files    []string

	dtypes   Ints
	shapes   Shapes
	fileCode Ints
	offsets  Ints
	bytes    Ints
	formats  []string
	format   Ints
	hashes   Hashes
	sums     []byte // one sum when sumConst, else one a row
	sumConst bool
	counts   Ints // of slices
	ends     []int
	slices   []byte
	hasStats Ints
	stats    [len(statFields)]Ints

	parts   []part // every column's data, for verification
	proven  uint64 // bit i: parts[i] matched its checksum
	trusted bool   // by the fuzzer, which would not come past checksums
	report  func(error)
	err     error
}

// part is one column's data with the checksum it should have.
type part struct {
	data []byte
	sum  uint32
}

// The parts of a block in the order their data is stored. Packed axes follow
// partFixed, one each, before all others: see Block.part.
const (
	partDType = iota
	partShape
	partFile
	partOffset
	partBytes
	partFormat
	partHash
	partSum
	partCount
	partSlices
	partHasStats
	partStats // and the following ones
	partTotal = partStats + len(statFields)
)

// decodeBlock reads a block's header. Columns stay packed. files is the
// revision's table of file names; raw must stay unchanged while the block is used.
func decodeBlock(key string, raw []byte, files []string, report func(error)) (*Block, error) {
	b := &Block{files: files, report: report}
	return b, b.decode(key, raw)
}

func (b *Block) decode(key string, raw []byte) error {
	if key == "" {
		return fmt.Errorf("block without a key")
	}
	b.template, b.literal = key[1:], key[0] == literalKey
	d := &reader{b: raw}
	if v := d.byte(); d.err == "" && v != blockVersion {
		return fmt.Errorf("block %q has version %d, this wreg knows %d", b.template, v, blockVersion)
	}
	rows := d.uvarint()
	if rows == 0 || rows > maxRows {
		d.fail(fmt.Sprintf("%d rows", rows))
		rows = 0
	}
	b.rows = int(rows)
	var axisParts []*Ints
	sums := []uint32{}
	lengths := []int{}
	payload := func(n int) {
		if n > 0 {
			s := d.bytes(4)
			if s == nil {
				return
			}
			sums = append(sums, binary.LittleEndian.Uint32(s))
		} else {
			sums = append(sums, 0)
		}
		lengths = append(lengths, n)
	}
	ints := func(c *Ints) {
		*c = d.ints(b.rows)
		if d.err == "" {
			payload(packedLen(c.n, c.width))
		}
	}

	b.decodeGrid(d, ints)
	for i := range b.grid {
		axisParts = append(axisParts, &b.grid[i])
	}
	ints(&b.dtypes)
	b.shapes.decode(d)
	ints(&b.shapes.code)
	ints(&b.fileCode)
	ints(&b.offsets)
	ints(&b.bytes)
	b.formats = d.table()
	ints(&b.format)
	fixed := func(size int) (one []byte, same bool) {
		switch d.byte() {
		case 1:
			same = true
			one = d.bytes(size)
			payload(0)
		case 0:
			payload(b.rows * size)
		default:
			d.fail("neither one value nor one a row")
		}
		return one, same
	}
	var one []byte
	one, b.hashes.same = fixed(hashSize)
	b.hashes.raw, b.hashes.n = one, b.rows
	b.sums, b.sumConst = fixed(sumSize)
	ints(&b.counts)
	total := d.uvarint()
	if total > uint64(len(raw)/hashSize) {
		d.fail(fmt.Sprintf("%d slice hashes in %d bytes", total, len(raw)))
		total = 0
	}
	payload(int(total) * hashSize)
	ints(&b.hasStats)
	for i := range b.stats {
		ints(&b.stats[i])
	}
	headEnd := d.off
	headSum := d.bytes(4)
	if d.err != "" {
		return fmt.Errorf("block %q: %s", b.template, d.err)
	}
	sum := crc32.Update(crc32.Checksum([]byte(key), castagnoli), castagnoli, raw[:headEnd])
	if !b.trusted && sum != binary.LittleEndian.Uint32(headSum) {
		return fmt.Errorf("block %q: header does not match its checksum", b.template)
	}
	b.parts = make([]part, len(lengths))
	for i, n := range lengths {
		b.parts[i] = part{d.bytes(n), sums[i]}
	}
	if d.err == "" && d.left() > 0 {
		d.fail(fmt.Sprintf("%d bytes after the last column", d.left()))
	}
	if d.err != "" {
		return fmt.Errorf("block %q: %s", b.template, d.err)
	}
	b.attach(axisParts)
	return nil
}

// decodeGrid reads how the indices are stored.
func (b *Block) decodeGrid(d *reader, ints func(*Ints)) {
	k := d.count(1)
	want := 0
	if !b.literal {
		want = len(tensor.Placeholders(b.template))
	}
	if d.err == "" && k != want {
		d.fail(fmt.Sprintf("%d numbers a row for %d placeholders", k, want))
		return
	}
	switch mode := d.byte(); {
	case d.err != "":
	case mode == gridNone && k == 0:
		if b.rows != 1 {
			d.fail(fmt.Sprintf("%d rows without a number to tell them apart", b.rows))
		}
	case mode == gridProduct && k > 0:
		b.axes = make([]Range, k)
		for i := range b.axes {
			b.axes[i] = Range{d.varint(), int64(min(d.uvarint(), maxRows+1))}
		}
		if n, ok := combinations(b.axes); !ok || n != b.rows {
			d.fail(fmt.Sprintf("%d rows in a grid of %v", b.rows, b.axes))
		}
	case mode == gridPacked && k > 0:
		b.grid = make([]Ints, k)
		for i := range b.grid {
			ints(&b.grid[i])
		}
	default:
		d.fail(fmt.Sprintf("grid %d with %d numbers a row", mode, k))
	}
}

// attach gives each column its data.
func (b *Block) attach(axes []*Ints) {
	for i, c := range axes {
		c.data = b.parts[i].data
	}
	p := b.parts[len(axes):]
	b.dtypes.data = p[partDType].data
	b.shapes.code.data = p[partShape].data
	b.fileCode.data = p[partFile].data
	b.offsets.data = p[partOffset].data
	b.bytes.data = p[partBytes].data
	b.format.data = p[partFormat].data
	if !b.hashes.same {
		b.hashes.raw = p[partHash].data
	}
	if !b.sumConst {
		b.sums = p[partSum].data
	}
	b.counts.data = p[partCount].data
	b.slices = p[partSlices].data
	b.hasStats.data = p[partHasStats].data
	for i := range b.stats {
		b.stats[i].data = p[partStats+i].data
	}
}

// prove verifies the checksum of a column's data the first time it is used.
func (b *Block) prove(at int) bool {
	i := len(b.grid) + at
	return b.provePart(i)
}

func (b *Block) provePart(i int) bool {
	if i < 64 && b.proven&(1<<i) != 0 {
		return true
	}
	p := b.parts[i]
	if len(p.data) > 0 && !b.trusted && crc32.Checksum(p.data, castagnoli) != p.sum {
		b.damaged(fmt.Sprintf("column %d does not match its checksum", i))
		return false
	}
	if i < 64 {
		b.proven |= 1 << i
	}
	return true
}

// damaged records the first thing found wrong.
func (b *Block) damaged(message string) {
	if b.err != nil {
		return
	}
	b.err = fmt.Errorf("block %q: %s", b.template, message)
	if b.report != nil {
		b.report(b.err)
	}
}

// Err is the damage met so far while columns were decoded.
func (b *Block) Err() error { return b.err }

// Template is the block's template: model.layers.{layer}.mlp.gate.weight.
func (b *Block) Template() string { return b.template }

// Len is the number of rows.
func (b *Block) Len() int { return b.rows }

// Grid gives one range a placeholder when the rows are the full product of
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
		if !b.provePart(k) {
			return make([]int64, b.rows), true
		}
		return b.grid[k].AppendTo(make([]int64, 0, b.rows)), true
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
		if b.provePart(k) {
			numbers[k] = b.grid[k].At(i)
		}
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
	for k := range b.grid {
		if !b.provePart(k) {
			return 0, false
		}
	}
	return sort.Find(b.rows, func(i int) int { return -compareIndex(index, b.grid, i) })
}

// Path is row i's path.
func (b *Block) Path(i int) string {
	if b.literal {
		return b.template
	}
	return tensor.JoinPath(b.template, b.index(i))
}
