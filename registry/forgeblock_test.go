package registry

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"wreg/registry/block"
	"wreg/registry/codec"
	"wreg/registry/tensor"
)

// forgedKey is the key of the one block of small's revisions.
const forgedKey = "tlayers.{layer}.w"

// forgedBlock is a block of n rows of constants, with counts of the caller's.
func forgedBlock(key string, rows uint64, counts map[string]uint64) []byte {
	n := func(name string, v uint64) uint64 {
		if c, ok := counts[name]; ok {
			return c
		}
		return v
	}
	b := binary.AppendUvarint([]byte{1}, n("rows", rows))
	b = binary.AppendUvarint(b, n("numbers", 1))
	b = append(b, 1)
	b = binary.AppendVarint(b, 0)
	b = binary.AppendUvarint(b, n("range", rows))
	column := func(name string, v int64) { // width 0: a constant
		b = append(binary.AppendVarint(b, int64(n(name, uint64(v)))), 0, byte(n(name+" width", 0)))
	}
	column("dtype", int64(tensor.F32))
	b = binary.AppendUvarint(b, n("shapes", 1))
	b = binary.AppendUvarint(b, n("rank", 1))
	b = binary.AppendUvarint(b, n("dimension", 1))
	column("shape", 0)
	column("file", 0)
	column("offset", -1)
	column("bytes", 4)
	b = binary.AppendUvarint(b, n("formats", 1))
	b = binary.AppendUvarint(b, n("format length", 1))
	b = append(b, 'x')
	column("format", 0)
	b = append(append(b, 1), make([]byte, 32)...)
	b = append(append(b, 1), make([]byte, 16)...)
	column("slice count", 0)
	b = binary.AppendUvarint(b, n("slices", 0))
	for range 1 + 6 {
		column("statistics", 0)
	}
	sum := codec.Checksum(key, b)
	return binary.LittleEndian.AppendUint32(b, sum)
}

// forgeBlocks stores blocks as the whole of revision 1, with a record that agrees.
func forgeBlocks(t *testing.T, path string, rows int, blocks map[string][]byte) {
	t.Helper()
	alter(t, path, func(tx *bolt.Tx) error {
		b := tx.Bucket(revisionsBucket).Bucket(idKey(1)).Bucket(blocksKey)
		if err := b.Delete([]byte(forgedKey)); err != nil {
			return err
		}
		for k, v := range blocks {
			if err := b.Put([]byte(k), v); err != nil {
				return err
			}
		}
		for kind := range byte(2) {
			if err := tx.Bucket(contentBucket).Delete(contentKey(1, kind, 0)); err != nil {
				return err
			}
		}
		key := modelKey("m", 1)
		if err := tx.Bucket(modelsBucket).Put(key, codec.Seal(modelPlace(key), appendModel(1, len(blocks), 0))); err != nil {
			return err
		}
		return forgeRecord(tx, func(v *Revision, _ []byte) []byte { v.Tensors, v.Bytes = rows, int64(4*rows); return nil })
	})
}

func TestForgedBlock(t *testing.T) {
	path := sound(t)
	forgeBlocks(t, path, 4, map[string][]byte{forgedKey: forgedBlock(forgedKey, 4, nil)})
	if faults, err := CheckFile(context.Background(), path, Options{}); err != nil || len(faults) > 0 {
		t.Fatalf("the sample: %v, %v", faults, err)
	}
	minus := func(n int64) uint64 { return uint64(n) }
	huge := []uint64{block.MaxRows + 1, 1 << 31, 1 << 40, 1 << 62, math.MaxUint64}
	for name, values := range map[string][]uint64{
		"rows":              append(huge, 0, 5, block.MaxRows),
		"numbers":           append(huge, 0, 2, 30),
		"range":             append(huge, 0, 5, block.MaxRows),
		"dtype":             {256 + uint64(tensor.F32), 0, 255, 1 << 40, minus(-1)},
		"dtype width":       {60, 63, 65, 255, 1},
		"shapes":            append(huge, 0, 2, 200),
		"rank":              append(huge, 0, 65, 200),
		"dimension":         {math.MaxInt64 + 1, math.MaxUint64},
		"shape":             {1, 1 << 40, minus(-1)},
		"shape width":       {56, 64, 255},
		"file":              {1, 1 << 40, minus(-1)},
		"offset":            {minus(-2), minus(math.MinInt64)},
		"bytes":             {minus(-1), math.MaxInt64, minus(math.MinInt64)},
		"formats":           append(huge, 0, 2, 150),
		"format length":     append(huge, 0, 2, 200),
		"format":            {1, minus(-1)},
		"slice count":       {1, 1 << 40, math.MaxInt64, minus(-1)},
		"slice count width": {1, 64},
		"slices":            append(huge, 1, 3),
		"statistics width":  {57, 64},
	} {
		for _, v := range values {
			t.Run(fmt.Sprintf("%s %d", name, int64(v)), func(t *testing.T) {
				path := sound(t)
				forgeBlocks(t, path, 4, map[string][]byte{forgedKey: forgedBlock(forgedKey, 4, map[string]uint64{name: v})})
				everyEntry(t, path, "m@1: ")
			})
		}
	}
}

// Rows of constants take no bytes, so it is rows that are bounded: of a block, of a
// revision's blocks together, of long names, of all revisions.
func TestForgedRows(t *testing.T) {
	blocks := func(n, rows, length int) map[string][]byte {
		all := map[string][]byte{}
		for i := range n {
			key := fmt.Sprintf("t%s%d.w.{n}", strings.Repeat("x", length), i)
			key = strings.Replace(key, fmt.Sprint(i), string(rune('a'+i)), 1)
			all[key] = forgedBlock(key, uint64(rows), nil)
		}
		return all
	}
	for _, c := range []struct {
		name                 string
		blocks, rows, length int
		want                 string
	}{
		{"one block", 1, block.MaxRows, 0, "too many for the bytes"},
		{"just too many", 1, block.MaxFreeRows + 1000, 0, "too many for the bytes"},
		{"20 blocks", 20, block.MaxFreeRows / 10, 0, "too many for the bytes"},
		{"long names", 1, 10_000, 30_000, "too many for the bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := sound(t)
			forgeBlocks(t, path, c.blocks*c.rows, blocks(c.blocks, c.rows, c.length))
			everyEntry(t, path, c.want)
		})
	}
	t.Run("revisions", func(t *testing.T) {
		c := newCache()
		for id := range uint32(maxFreeRows / block.MaxFreeRows) {
			for range 2 { // read by two at once
				if !c.keepState(&state{entry: modelEntry{id: id}}, block.MaxFreeRows) {
					t.Fatalf("refused at revision %d", id)
				}
			}
		}
		if c.keepState(&state{entry: modelEntry{id: 1 << 20}}, 1) {
			t.Error("one more is not refused")
		}
	})
	t.Run("a shared hash", func(t *testing.T) { // and no content index
		path := sound(t)
		block := forgedBlock(forgedKey, 200_000, nil)
		at := bytes.Index(block, append([]byte{1}, make([]byte, 32)...))
		block[at+1] = 9
		head := block[:len(block)-4]
		sum := codec.Checksum(forgedKey, head)
		forgeBlocks(t, path, 200_000, map[string][]byte{forgedKey: binary.LittleEndian.AppendUint32(bytes.Clone(head), sum)})
		faults, err := CheckFile(context.Background(), path, Options{})
		if err != nil || len(faults) == 0 || !strings.Contains(faults[len(faults)-1].Message, "more faults") {
			t.Errorf("Check: %d faults, %v", len(faults), err)
		}
	})
}
