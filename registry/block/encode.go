package block

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"wreg/registry/codec"
	"wreg/registry/tensor"
)

// The byte format of a block. docs/registry-format.md is its one-page description.
const (
	blockVersion = 1

	hashSize = len(tensor.Hash{})
	sumSize  = len(tensor.Sum{})
)

// How a block stores its grid of indices.
const (
	gridNone    = 0 // a template without numbers: one row
	gridProduct = 1 // every combination of one range per placeholder
	gridPacked  = 2 // one column of numbers per placeholder
)

// entry is one tensor on its way into a block.
type entry struct {
	index []int64
	info  *tensor.Info
}

// encodeBlock writes the tensors of one template, sorted by index. The caller has
// made sure that no two have one path; files gives each file's place in the
// revision's table.
func encodeBlock(key string, entries []entry, files map[string]int) ([]byte, error) {
	if len(entries) == 0 || len(entries) > MaxRows {
		return nil, fmt.Errorf("%d tensors of one template, at most %d are kept", len(entries), MaxRows)
	}
	w := blockWriter{rows: len(entries)}
	w.head = append(w.head, blockVersion)
	w.head = binary.AppendUvarint(w.head, uint64(len(entries)))
	w.grid(entries)

	same := alike(entries)
	column := make([]int64, len(entries))
	ints := func(same bool, of func(*tensor.Info) int64) {
		if same {
			w.constant(of(entries[0].info))
			return
		}
		for i, e := range entries {
			column[i] = of(e.info)
		}
		w.ints(column)
	}
	// The order is the format: see Block.
	ints(same.dtype, func(t *tensor.Info) int64 { return int64(t.DType) })
	w.shapes(entries, same.shape, column)
	file, place := "", -1
	ints(same.file, func(t *tensor.Info) int64 {
		if place < 0 || t.File != file { // neighbours lie in one file
			file, place = t.File, files[t.File]
		}
		return int64(place)
	})
	ints(false, func(t *tensor.Info) int64 { return t.Offset })
	ints(same.bytes, func(t *tensor.Info) int64 { return t.Bytes })
	w.names(entries, same.format, column)
	w.fixed(hashSize, same.hash, func(i int) []byte { return entries[i].info.Hash[:] })
	w.fixed(sumSize, same.sum, func(i int) []byte { return entries[i].info.Sum[:] })
	w.sliceHashes(entries, same.slices, column)
	ints(same.stats, func(t *tensor.Info) int64 {
		if t.Stats != nil {
			return 1
		}
		return 0
	})
	for _, of := range statFields {
		ints(same.stats && entries[0].info.Stats == nil, func(t *tensor.Info) int64 {
			if t.Stats == nil {
				return 0
			}
			return of.get(t.Stats)
		})
	}
	if w.wrong != "" {
		return nil, fmt.Errorf("tensors of template %.60q have %s", key[1:], w.wrong)
	}
	sum := codec.Checksum(key, w.head)
	w.head = binary.LittleEndian.AppendUint32(w.head, sum)
	return append(w.head, w.data...), nil
}

// uniform says which columns of a block hold one value.
type uniform struct {
	dtype, shape, file, bytes, format, hash, sum bool
	slices, stats                                bool // as many slices; statistics or none
}

// alike finds the columns that hold one value in one pass over the tensors, which
// lie far apart in memory. Most do: each saves a pass.
func alike(entries []entry) uniform {
	first := entries[0].info
	u := uniform{true, true, true, true, true, true, true, true, true}
	for _, e := range entries[1:] {
		t := e.info
		u.dtype = u.dtype && t.DType == first.DType
		u.shape = u.shape && t.Shape.Equal(first.Shape)
		u.file = u.file && t.File == first.File
		u.bytes = u.bytes && t.Bytes == first.Bytes
		u.format = u.format && t.Format == first.Format
		u.hash = u.hash && t.Hash == first.Hash
		u.sum = u.sum && t.Sum == first.Sum
		u.slices = u.slices && len(t.Slices) == len(first.Slices)
		u.stats = u.stats && (t.Stats == nil) == (first.Stats == nil)
	}
	return u
}

// statFields are the columns of Stats in the order they are stored. Floating
// point is stored as its bits, which keeps every value exact.
var statFields = [...]struct {
	get func(*tensor.Stats) int64
	set func(*tensor.Stats, int64)
}{
	{func(s *tensor.Stats) int64 { return int64(math.Float64bits(s.Min)) }, func(s *tensor.Stats, v int64) { s.Min = math.Float64frombits(uint64(v)) }},
	{func(s *tensor.Stats) int64 { return int64(math.Float64bits(s.Max)) }, func(s *tensor.Stats, v int64) { s.Max = math.Float64frombits(uint64(v)) }},
	{func(s *tensor.Stats) int64 { return int64(math.Float64bits(s.AbsMax)) }, func(s *tensor.Stats, v int64) { s.AbsMax = math.Float64frombits(uint64(v)) }},
	{func(s *tensor.Stats) int64 { return s.NaNs }, func(s *tensor.Stats, v int64) { s.NaNs = v }},
	{func(s *tensor.Stats) int64 { return s.Infs }, func(s *tensor.Stats, v int64) { s.Infs = v }},
	{func(s *tensor.Stats) int64 { return s.Zeros }, func(s *tensor.Stats, v int64) { s.Zeros = v }},
}

// blockWriter collects the header, which says how to read each column, and the
// columns' data, which follows it.
type blockWriter struct {
	rows  int
	head  []byte
	data  []byte
	wrong string // a table that no reader would take
}

// payload adds a column's data and, unless it is empty, its checksum.
func (w *blockWriter) payload(data []byte) {
	if len(data) > 0 {
		w.head = binary.LittleEndian.AppendUint32(w.head, codec.Checksum("", data))
		w.data = append(w.data, data...)
	}
}

func (w *blockWriter) ints(values []int64) {
	c := packInts(values)
	w.head = c.appendHead(w.head)
	w.payload(c.data)
}

// constant is ints of one value.
func (w *blockWriter) constant(v int64) { w.head = Ints{n: w.rows, base: v}.appendHead(w.head) }

// grid stores the indices as ranges when they are their full product, which is
// what a complete model has, and as columns otherwise.
func (w *blockWriter) grid(entries []entry) {
	k := len(entries[0].index)
	w.head = binary.AppendUvarint(w.head, uint64(k))
	if k == 0 {
		w.head = append(w.head, gridNone)
		return
	}
	if axes := product(entries); axes != nil {
		w.head = append(w.head, gridProduct)
		for _, a := range axes {
			w.head = binary.AppendVarint(w.head, a.Start)
			w.head = binary.AppendUvarint(w.head, uint64(a.Count))
		}
		return
	}
	w.head = append(w.head, gridPacked)
	column := make([]int64, len(entries))
	for axis := range k {
		for i, e := range entries {
			column[i] = e.index[axis]
		}
		w.ints(column)
	}
}

// product finds the ranges whose full product the sorted entries are, or nil.
// The entries differ pairwise, so lying within ranges of as many combinations as
// there are entries is enough.
func product(entries []entry) []Range {
	first, last := entries[0].index, entries[len(entries)-1].index
	axes := make([]Range, len(first))
	for a := range axes {
		low, high := first[a], last[a]
		for _, e := range entries {
			low, high = min(low, e.index[a]), max(high, e.index[a])
		}
		if high-low >= int64(len(entries)) {
			return nil
		}
		axes[a] = Range{Start: low, Count: high - low + 1}
	}
	if n, ok := combinations(axes); !ok || n != len(entries) {
		return nil
	}
	return axes
}

// combinations is the number of rows of a full product, at most MaxRows.
func combinations(axes []Range) (int, bool) {
	n := int64(1)
	for _, a := range axes {
		if a.Count < 1 || a.Count > MaxRows || n*a.Count > MaxRows {
			return 0, false
		}
		n *= a.Count
	}
	return int(n), true
}

func (w *blockWriter) shapes(entries []entry, same bool, codes []int64) {
	if same {
		w.head = append(w.head, 1)
		w.head = appendShape(w.head, entries[0].info.Shape)
		w.constant(0)
		return
	}
	var distinct []tensor.Shape
	code := map[string]int64{}
	var name []byte
	for i, e := range entries {
		if i > 0 && e.info.Shape.Equal(entries[i-1].info.Shape) {
			codes[i] = codes[i-1]
			continue
		}
		name = appendShape(name[:0], e.info.Shape)
		c, ok := code[string(name)]
		if !ok {
			c = int64(len(distinct))
			code[string(name)] = c
			distinct = append(distinct, e.info.Shape)
		}
		codes[i] = c
	}
	w.head = binary.AppendUvarint(w.head, uint64(len(distinct)))
	dims := 0
	for _, s := range distinct {
		dims += len(s)
		w.head = appendShape(w.head, s)
	}
	w.wrong = shapesFault(len(distinct), dims)
	w.ints(codes)
}

func appendShape(b []byte, s tensor.Shape) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	for _, d := range s {
		b = binary.AppendUvarint(b, uint64(d))
	}
	return b
}

// names stores the format column as a dictionary and codes.
func (w *blockWriter) names(entries []entry, same bool, codes []int64) {
	if same {
		w.head = codec.AppendTable(w.head, []string{entries[0].info.Format})
		w.constant(0)
		return
	}
	var distinct []string
	for i, e := range entries {
		at := slices.Index(distinct, e.info.Format)
		if at < 0 {
			at = len(distinct)
			distinct = append(distinct, e.info.Format)
		}
		codes[i] = int64(at)
	}
	if len(distinct) > MaxFormats {
		w.wrong = fmt.Sprintf("%d different formats, at most %d are kept", len(distinct), MaxFormats)
	}
	w.head = codec.AppendTable(w.head, distinct)
	w.ints(codes)
}

// fixed stores values of one size: once when all are equal, else one after the
// other.
func (w *blockWriter) fixed(size int, same bool, of func(i int) []byte) {
	if same {
		w.head = append(w.head, 1)
		w.head = append(w.head, of(0)...)
		return
	}
	w.head = append(w.head, 0)
	data := make([]byte, 0, w.rows*size)
	for i := range w.rows {
		data = append(data, of(i)...)
	}
	w.payload(data)
}

// sliceHashes stores how many slices each row has and all their hashes.
func (w *blockWriter) sliceHashes(entries []entry, same bool, counts []int64) {
	if same && len(entries[0].info.Slices) == 0 {
		w.constant(0)
		w.head = binary.AppendUvarint(w.head, 0)
		return
	}
	var all []byte
	for i, e := range entries {
		counts[i] = int64(len(e.info.Slices))
		for _, h := range e.info.Slices {
			all = append(all, h[:]...)
		}
	}
	w.ints(counts)
	w.head = binary.AppendUvarint(w.head, uint64(len(all)/hashSize))
	w.payload(all)
}

// compareIndex orders an index against a row of a block.
func compareIndex(want []int64, grid []Ints, row int) int {
	for k, w := range want {
		if c := cmp.Compare(grid[k].At(row), w); c != 0 {
			return c
		}
	}
	return 0
}
