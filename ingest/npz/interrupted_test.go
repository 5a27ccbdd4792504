package npz

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"wreg/ingest/ingesttest"
	"wreg/ingest/interrupt"
)

// TestInterrupted: reading ends with its context: in the directory, and at each member.
func TestInterrupted(t *testing.T) {
	const n = 5000
	var records []ingesttest.Record
	for i := range n {
		records = append(records, ingesttest.Record{Name: fmt.Sprint(i, ".npy"), Data: ingesttest.NPY("|u1", false, []int64{0}, nil)})
	}
	data := ingesttest.Zip(records...)
	ingesttest.Interrupted(t, n/interrupt.Every+4*n, func(ctx context.Context) error {
		_, err := Read(ctx, bytes.NewReader(data), int64(len(data)), "m.npz")
		return err
	})
}
