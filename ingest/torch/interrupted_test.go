package torch

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"testing"

	"wreg/ingest/ingesttest"
	"wreg/ingest/interrupt"
)

// TestInterrupted: opening ends with its context, whatever it is at: the directory of
// an archive, a pickle, the values that it made, the chunks of a tensor.
func TestInterrupted(t *testing.T) {
	const n = 20_000
	object := []byte("\x80\x02}(")
	for i := range uint32(n) {
		object = append(binary.LittleEndian.AppendUint32(append(object, 'J'), i), "K\x01"...)
	}
	object = append(object, "u."...)
	values := int64(2*n/interrupt.Every + n/interrupt.Every) // each key and value an operation, each value walked past
	records := []ingesttest.Record{{Name: "m/data.pkl", Data: object}}
	for i := range n {
		records = append(records, ingesttest.Record{Name: fmt.Sprint("m/data/", i)})
	}
	var stream bytes.Buffer
	stream.WriteString("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.")
	stream.Write(object)
	stream.WriteString("\x80\x02].")
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for name, data := range map[string][]byte{"storages": []byte("\x80\x02K\x00.\x80\x02]."), "tensors": []byte("\x80\x02K\x00."), "pickle": object} {
		if err := w.WriteHeader(&tar.Header{Name: name, Size: int64(len(data)), Mode: 0o600}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		data  []byte
		looks int64
	}{
		"zip":       {ingesttest.Zip(records[:1]...), values},
		"directory": {ingesttest.Zip(records...), values + n/interrupt.Every + 2*n}, // and each local header is read, and its name
		"stream":    {stream.Bytes(), values + 64<<10/7*2/interrupt.Every},          // the first window is read twice,
		"tar":       {archive.Bytes(), values + 64<<10/7*2/interrupt.Every},
	} {
		t.Run(name, func(t *testing.T) {
			ingesttest.Interrupted(t, c.looks, func(ctx context.Context) error {
				_, err := Open(ctx, bytes.NewReader(c.data), int64(len(c.data)), "m.pt")
				return err
			})
		})
	}
	a := &assembled{shape: []int64{300, 1}}
	for i := range int64(300) {
		a.chunks = append(a.chunks, chunk{origin: []int64{i, 0}, shape: []int64{1, 1}})
	}
	ingesttest.Interrupted(t, 300*299/2/interrupt.Every, a.covered)
}
