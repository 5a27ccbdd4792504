package registry

import (
	"fmt"
	"math"
	"slices"
)

// revision decodes all of one revision and compares it with the content index.
func (c *checker) revision(e modelEntry) error {
	ref := e.ref()
	v, err := c.s.record(e)
	if err != nil {
		return err
	}
	st, err := c.s.stateOf(e)
	if err != nil {
		return err
	}
	chunks, missing := c.s.content(st)
	var have [2][]place
	for _, part := range chunks {
		have[part.kind] = slices.Grow(have[part.kind], part.n)
		for i := range part.n {
			have[part.kind] = append(have[part.kind], part.at(i))
		}
	}
	var want [2][]place
	more := 0
	expect := func(kind int, p place) {
		// A hash that all rows share takes no bytes, however many rows there are.
		if len(want[kind]) > len(have[kind])+maxFaults {
			more++
			return
		}
		want[kind] = append(want[kind], p)
	}
	rows, bytes := 0, int64(0)
	for _, x := range st.raw {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		b, err := decodeBlock(x.key, x.value, st.files, nil)
		if err == nil {
			err = b.verify()
		}
		if err != nil {
			c.failed(ref, err)
			continue
		}
		sum, ok := b.Bytes().Sum()
		if !ok || sum < 0 || sum > math.MaxInt64-bytes {
			c.fault(ref, "block %q: sizes overflow", b.Template())
			sum = 0
		}
		bytes += sum
		for i := range b.Len() {
			row := uint32(rows + i)
			if h := b.Hashes().At(i); !h.IsZero() {
				expect(wholeKind, place{prefixOf(h), row, -1})
			}
			start, end := b.sliceSpan(i)
			for k := range end - start {
				expect(sliceKind, place{prefixOf(b.sliceHash(start + k)), row, int32(k)})
			}
		}
		rows += b.Len()
	}
	if rows != v.Tensors || bytes != v.Bytes {
		c.fault(ref, "its blocks hold %d tensors of %d bytes, its record says %d of %d", rows, bytes, v.Tensors, v.Bytes)
	}
	if missing != nil {
		return missing
	}
	for kind := range want {
		if !slices.IsSortedFunc(have[kind], comparePlace) {
			c.fault(ref, "the content index is not sorted")
			slices.SortFunc(have[kind], comparePlace)
		}
		c.compare(ref, want[kind], have[kind])
	}
	if more > 0 {
		c.fault(ref, "%d more hashes are not in the content index", more)
	}
	return nil
}

// compare reports the differences of two lists of places, want sorted here.
func (c *checker) compare(ref string, want, have []place) {
	slices.SortFunc(want, comparePlace)
	for len(want) > 0 || len(have) > 0 {
		order := 0
		switch {
		case len(have) == 0:
			order = -1
		case len(want) == 0:
			order = 1
		default:
			order = comparePlace(want[0], have[0])
		}
		switch {
		case order < 0:
			c.fault(ref, "row %d slice %d: hash %016x… is not in the content index", want[0].row, want[0].slice, want[0].prefix)
			want = want[1:]
		case order > 0:
			c.fault(ref, "the content index has hash %016x… at row %d slice %d, which does not", have[0].prefix, have[0].row, have[0].slice)
			have = have[1:]
		default:
			want, have = want[1:], have[1:]
		}
	}
}

// verify decodes every column of every row.
func (b *Block) verify() error {
	for i := range b.grid {
		b.prove(&b.grid[i])
	}
	for i := range b.cols {
		b.prove(&b.cols[i])
	}
	if err := b.Err(); err != nil {
		return err
	}
	for _, x := range []struct {
		name  string
		codes Ints
		table int
	}{
		{"shape", b.column(colShape), len(b.shapes)},
		{"file", b.column(colFile), len(b.files)},
		{"format", b.column(colFormat), len(b.formats)},
	} {
		for i := range b.rows {
			if v := x.codes.At(i); v < 0 || v >= int64(x.table) {
				return fmt.Errorf("block %q: row %d: %s %d of %d", b.template, i, x.name, v, x.table)
			}
		}
	}
	var last []int64
	for i := range b.rows {
		index := b.index(i)
		if i > 0 && slices.Compare(last, index) >= 0 {
			return fmt.Errorf("block %q: row %d does not come after the row before", b.template, i)
		}
		last = index
		t := b.Info(i)
		if err := checkInfo(&t); err != nil {
			return fmt.Errorf("block %q: row %d: %w", b.template, i, err)
		}
		if key, numbers := blockKey(t.Path); key[1:] != b.template || (key[0] == literalKey) != b.literal || !slices.Equal(numbers, index) {
			return fmt.Errorf("block %q: row %d: path %q belongs to block %q", b.template, i, t.Path, key[1:])
		}
	}
	return b.Err()
}
