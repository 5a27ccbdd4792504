package block

import (
	"fmt"
	"slices"
)

// Verify decodes every column of every row.
func (b *Block) Verify() error {
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
		if key, numbers := KeyOf(t.Path); key[1:] != b.template || (key[0] == literalKey) != b.literal || !slices.Equal(numbers, index) {
			return fmt.Errorf("block %q: row %d: path %q belongs to block %q", b.template, i, t.Path, key[1:])
		}
	}
	return b.Err()
}
