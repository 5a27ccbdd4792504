package safetensors

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"testing"

	"wreg/ingest/ingesttest"
	"wreg/ingest/interrupt"
)

// TestInterrupted: reading ends with its context: while the text is read, its
// metadata and entries parsed, and what they say checked.
func TestInterrupted(t *testing.T) {
	const n = 20_000
	b := []byte("\x00\x00\x00\x00\x00\x00\x00\x00{\"__metadata__\":{\"0\":\"\"")
	for i := 1; i < n; i++ {
		b = fmt.Appendf(b, `,"%d":""`, i)
	}
	b = append(b, '}')
	for i := range n {
		b = fmt.Appendf(b, `,"%d":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`, i)
	}
	b = append(b, '}')
	binary.LittleEndian.PutUint64(b, uint64(len(b)-8))
	items := n + n*(1+4+2) // metadata; entries, their fields and the dimensions of their shapes
	ingesttest.Interrupted(t, int64(1+len(b)/(128<<10)+items/interrupt.Every+n/interrupt.Every), func(ctx context.Context) error {
		_, err := Read(ctx, bytes.NewReader(b), int64(len(b)), "m")
		return err
	})
}
