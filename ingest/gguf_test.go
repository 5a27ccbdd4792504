package ingest

import (
	"encoding/binary"
	"fmt"
	"testing"

	"wreg/ingest/gguf"
)

// ggufOf is a GGUF file with one tensor of 2x256 elements for each type number.
func ggufOf(t testing.TB, types ...uint32) string {
	t.Helper()
	le := binary.LittleEndian
	b := le.AppendUint32([]byte("GGUF"), 3)
	b = le.AppendUint64(b, uint64(len(types)))
	b = le.AppendUint64(b, 0)
	var off uint64
	for _, kind := range types {
		d, ok := gguf.Type(kind)
		if !ok {
			t.Fatalf("no type %d", kind)
		}
		name := fmt.Sprintf("blk.%d.weight", kind)
		b = append(le.AppendUint64(b, uint64(len(name))), name...)
		b = le.AppendUint32(b, 2)
		b = le.AppendUint64(le.AppendUint64(b, 256), 2)
		b = le.AppendUint64(le.AppendUint32(b, kind), off)
		n, err := d.Size(512)
		if err != nil {
			t.Fatal(err)
		}
		off += uint64(n+31) / 32 * 32
	}
	for len(b)%32 != 0 {
		b = append(b, 0)
	}
	return string(append(b, make([]byte, off)...))
}
