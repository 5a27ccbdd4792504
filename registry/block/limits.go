package block

import (
	"fmt"

	"wreg/registry/codec"
)

// What is stored of a template at most. A checksum has no key, so whoever made the
// file chose every count in it: none is believed beyond these, nor beyond what its
// bytes can hold. Encoding refuses what decoding would refuse.
const (
	// MaxRows bounds the tensors of one template, and those of a revision. The widest
	// model known has 16,384 of one template.
	MaxRows = 1 << 24

	// MaxFreeRows bounds the tensors of a revision beyond the bytes they are stored in:
	// rows of constants take none.
	MaxFreeRows = 1 << 20

	MaxShapes  = 1 << 20 // different ones of a block
	MaxDims    = 1 << 22 // of all of them
	MaxFormats = 1 << 10 // different ones of a block

	// MaxKey bounds a block's key: a path, and so a template, is shorter.
	MaxKey = 1 << 15

	minBlock = 100 // bytes: its header has 17 columns
)

// RowCount adds up the rows of a revision's blocks, and those beyond their bytes. A
// row weighs as much as 64 bytes of its name: a name is the template's length, and
// comes with every row.
type RowCount struct{ rows, Free int }

// Add takes the rows of a block, which are at most MaxRows.
func (n *RowCount) Add(key string, rows, bytes int) {
	n.rows += rows
	n.Free += max(rows*(1+len(key)/64)-bytes, 0)
}

// Wrong says what no ingest writes, "" nothing.
func (n *RowCount) Wrong() string {
	switch {
	case n.rows > MaxRows:
		return fmt.Sprintf("more than %d tensors", MaxRows)
	case n.Free > MaxFreeRows:
		return fmt.Sprintf("its %d tensors are too many for the bytes they are stored in", n.rows)
	}
	return ""
}

// shapesFault says that a table of shapes is too large to be read.
func shapesFault(shapes, dims int) string {
	if shapes > MaxShapes || dims > MaxDims {
		return fmt.Sprintf("%d different shapes of %d dimensions, at most %d of %d are kept", shapes, dims, MaxShapes, MaxDims)
	}
	return ""
}

// Rows reads how many rows a block has from the beginning of its header.
func Rows(key string, raw []byte) (uint32, error) {
	d := codec.NewReader(raw)
	d.Byte()
	n := d.Uvarint()
	if d.Err != "" || n == 0 || n > MaxRows || len(raw) < minBlock {
		return 0, fmt.Errorf("block %.60q: %d rows in %d bytes", TemplateOf(key), n, len(raw))
	}
	return uint32(n), nil
}

// TemplateOf is the template of a block's key.
func TemplateOf(key string) string { return key[min(1, len(key)):] }
