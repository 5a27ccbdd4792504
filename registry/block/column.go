package block

import (
	"fmt"
	"math"

	"wreg/registry/codec"
	"wreg/registry/tensor"
)

// Shapes is a column of shapes: few distinct ones and a code per row.
type Shapes struct {
	distinct []tensor.Shape
	numels   []int64
	code     Ints
}

// Distinct lists the column's shapes; Code says which one a row has. Neither
// slice may be modified.
func (c Shapes) Distinct() []tensor.Shape { return c.distinct }

// Numels lists the number of elements of each of Distinct's shapes.
func (c Shapes) Numels() []int64 { return c.numels }

// Code gives each row's place in Distinct.
func (c Shapes) Code() Ints { return c.code }

// At is row i's shape; it must not be modified.
func (c Shapes) At(i int) tensor.Shape {
	if k := c.code.At(i); k >= 0 && k < int64(len(c.distinct)) {
		return c.distinct[k]
	}
	return nil
}

// readShapes reads a table of shapes with the number of elements of each.
func readShapes(d *codec.Reader) ([]tensor.Shape, []int64) {
	count, dims := d.Count(1), 0
	if wrong := shapesFault(count, 0); wrong != "" {
		d.Fail(wrong)
		return nil, nil
	}
	distinct, numels := make([]tensor.Shape, count), make([]int64, count)
	for i := range distinct {
		rank := d.Count(1)
		if dims += rank; rank > tensor.MaxRank || shapesFault(count, dims) != "" {
			d.Fail(fmt.Sprintf("rank %d after %d shapes of %d dimensions", rank, i, dims-rank))
			return nil, nil
		}
		s := make(tensor.Shape, rank)
		for k := range s {
			s[k] = int64(d.Uvarint())
		}
		n, err := s.Numel()
		if err != nil {
			d.Fail(err.Error())
		}
		if d.Err != "" {
			return nil, nil
		}
		distinct[i], numels[i] = s, n
	}
	return distinct, numels
}

// Names is a column of text: few distinct ones and a code per row.
type Names struct {
	distinct []string
	code     Ints
}

// Distinct lists the column's names, some of which may be on no row; Code says
// which one a row has.
func (c Names) Distinct() []string { return c.distinct }

// Code gives each row's place in Distinct.
func (c Names) Code() Ints { return c.code }

// At is row i's name.
func (c Names) At(i int) string {
	if k := c.code.At(i); k >= 0 && k < int64(len(c.distinct)) {
		return c.distinct[k]
	}
	return ""
}

// Hashes is a column of SHA-256 hashes, one per row or one for all.
type Hashes struct {
	n    int
	same bool
	raw  []byte
}

// Len is the number of rows.
func (c Hashes) Len() int { return c.n }

// Const gives the hash all rows share, if they do: the zero hash when none was
// taken.
func (c Hashes) Const() (tensor.Hash, bool) {
	if !c.same {
		return tensor.Hash{}, false
	}
	return tensor.Hash(c.raw), true
}

// Raw is 32 bytes per row, or 32 bytes when Const. It must not be modified.
func (c Hashes) Raw() []byte { return c.raw }

// At is row i's hash.
func (c Hashes) At(i int) tensor.Hash {
	if c.same {
		return tensor.Hash(c.raw)
	}
	return tensor.Hash(c.raw[i*hashSize : (i+1)*hashSize])
}

// DTypes is the dtype column: its values are tensor.DType.
func (b *Block) DTypes() Ints {
	c := b.column(colDType)
	// Cut to a DType's bits, a forged number would be another type.
	if !c.within(math.MaxUint8) {
		b.damaged("a dtype of more than 8 bits")
		return Ints{n: b.rows}
	}
	return c
}

// Shapes is the shape column, numel with it.
func (b *Block) Shapes() Shapes { return Shapes{b.shapes, b.numels, b.codes(colShape, len(b.shapes))} }

// Files is the file column. Its Distinct is the whole revision's.
func (b *Block) Files() Names { return Names{b.files, b.codes(colFile, len(b.files))} }

// Formats is the format column.
func (b *Block) Formats() Names { return Names{b.formats, b.codes(colFormat, len(b.formats))} }

// codes is column for codes, which must lie within a table. Only a forged file
// passes the checksum and fails here, so a constant is all that is looked at:
// At copes with the others, and Check finds them.
func (b *Block) codes(at, table int) Ints {
	c := b.column(at)
	if v, ok := c.Const(); ok && (v < 0 || v >= int64(table)) {
		b.damaged(fmt.Sprintf("code %d of a table of %d", v, table))
	}
	return c
}

// Offsets is the offset column: of the first element, -1 when not stored plainly.
func (b *Block) Offsets() Ints { return b.column(colOffset) }

// Bytes is the column of logical sizes.
func (b *Block) Bytes() Ints { return b.column(colBytes) }

// Hashes is the hash column.
func (b *Block) Hashes() Hashes {
	c := &b.cols[colHash]
	switch {
	case !b.prove(c):
		return Hashes{n: b.rows, same: true, raw: make([]byte, hashSize)}
	case c.one != nil:
		return Hashes{n: b.rows, same: true, raw: c.one}
	}
	return Hashes{n: b.rows, raw: c.data}
}

// HasStats is 1 for rows with statistics and 0 for others.
func (b *Block) HasStats() Ints { return b.column(colHasStats) }

// Stats gives the six columns of statistics. Rows without statistics hold zeroes;
// see HasStats.
func (b *Block) Stats() StatColumns {
	var c StatColumns
	for i, p := range []*Ints{&c.Min.bits, &c.Max.bits, &c.AbsMax.bits, &c.NaNs, &c.Infs, &c.Zeros} {
		*p = b.column(colStats + i)
	}
	return c
}

// StatColumns are the columns of tensor.Stats.
type StatColumns struct {
	Min, Max, AbsMax  Floats
	NaNs, Infs, Zeros Ints
}

// Floats is a column of floating-point numbers, stored as their bits.
type Floats struct{ bits Ints }

// Const gives the value all rows share, if they do.
func (c Floats) Const() (float64, bool) {
	v, ok := c.bits.Const()
	return floatOf(v), ok
}

// At is row i's value.
func (c Floats) At(i int) float64 { return floatOf(c.bits.At(i)) }

// Sum is row i's XXH3-128 checksum, zero when none was taken.
func (b *Block) Sum(i int) tensor.Sum {
	c := &b.cols[colSum]
	switch {
	case !b.prove(c):
		return tensor.Sum{}
	case c.one != nil:
		return tensor.Sum(c.one)
	}
	return tensor.Sum(c.data[i*sumSize : (i+1)*sumSize])
}

// Slices is row i's slice hashes, nil when there are none.
func (b *Block) Slices(i int) []tensor.Hash {
	start, end := b.sliceSpan(i)
	if start == end {
		return nil
	}
	hashes := make([]tensor.Hash, end-start)
	for k := range hashes {
		hashes[k] = b.sliceHash(start + k)
	}
	return hashes
}

// Holds reports whether a row's hash, or that of one of its slices, is h.
func (b *Block) Holds(row, slice int, h tensor.Hash) bool {
	if slice < 0 {
		return b.Hashes().At(row) == h
	}
	start, end := b.sliceSpan(row)
	if slice >= end-start {
		b.damaged(fmt.Sprintf("the content index names slice %d of row %d, which has %d", slice, row, end-start))
		return false
	}
	return b.sliceHash(start+slice) == h
}

func (b *Block) sliceHash(at int) tensor.Hash {
	return tensor.Hash(b.cols[colSlices].data[at*hashSize : (at+1)*hashSize])
}

// sliceSpan is where row i's slice hashes lie, counted in hashes.
func (b *Block) sliceSpan(i int) (start, end int) {
	counts := b.column(colCount)
	if !b.prove(&b.cols[colSlices]) {
		return 0, 0
	}
	total := len(b.cols[colSlices].data) / hashSize
	if n, ok := counts.Const(); ok {
		if n < 0 || n != int64(total/b.rows) || total%b.rows != 0 {
			b.damaged(fmt.Sprintf("%d slices per row in %d rows, %d slice hashes", n, b.rows, total))
			return 0, 0
		}
		return i * int(n), (i + 1) * int(n)
	}
	ends := b.ends.Load()
	if ends == nil {
		list, at := make([]int, b.rows), 0
		for k := range list {
			n := counts.At(k)
			if n < 0 || n > int64(total-at) {
				b.damaged(fmt.Sprintf("row %d has %d slices, %d slice hashes are left", k, n, total-at))
				return 0, 0
			}
			at += int(n)
			list[k] = at
		}
		if at != total {
			b.damaged(fmt.Sprintf("%d slices, %d slice hashes", at, total))
			return 0, 0
		}
		ends = &list
		b.ends.Store(ends)
	}
	if i > 0 {
		start = (*ends)[i-1]
	}
	return start, (*ends)[i]
}

// Info decodes row i whole.
func (b *Block) Info(i int) tensor.Info {
	shape := b.Shapes().At(i)
	t := tensor.Info{
		// A copy, so that a caller who edits it does not edit the block.
		Shape:  append(make(tensor.Shape, 0, len(shape)), shape...),
		Path:   b.Path(i),
		DType:  tensor.DType(b.DTypes().At(i)),
		File:   b.Files().At(i),
		Offset: b.Offsets().At(i),
		Bytes:  b.Bytes().At(i),
		Format: b.Formats().At(i),
		Hash:   b.Hashes().At(i),
		Sum:    b.Sum(i),
		Slices: b.Slices(i),
	}
	if b.HasStats().At(i) != 0 {
		t.Stats = new(tensor.Stats)
		for k, f := range statFields {
			f.set(t.Stats, b.column(colStats+k).At(i))
		}
	}
	return t
}
