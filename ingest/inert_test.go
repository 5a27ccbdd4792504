package ingest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wreg/ingest/ingesttest"
)

// TestInertOnce: a class is told of once for a model, however many of its shards have
// objects of it.
func TestInertOnce(t *testing.T) {
	dir := t.TempDir()
	for i := 1; i <= 2; i++ {
		object := "cm\nConfig\n)\x81"
		storage := "(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQ"
		tensor := "ctorch._utils\n_rebuild_tensor_v2\n(" + storage + "K\x00K\x04\x85K\x01\x85\x89}tR"
		text := fmt.Sprintf("\x80\x02}(X\x01\x00\x00\x00%d%sX\x01\x00\x00\x00c(%su.", i, tensor, object+strings.Repeat(object, i-1)+"t")
		data := ingesttest.Zip(ingesttest.Record{Name: "m/data.pkl", Data: []byte(text)}, ingesttest.Record{Name: "m/data/0", Data: ingesttest.Floats(4)})
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("pytorch_model-0000%d-of-00002.bin", i)), data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	c, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var got []string
	for _, f := range c.Findings() {
		if f.Rule == "inert-object" {
			got = append(got, f.Message)
		}
	}
	want := "pytorch_model-00001-of-00002.bin and 1 more file: holds 3 objects of m.Config: they stay inert; tensors inside are listed by their attributes"
	if len(got) != 1 || got[0] != want || len(c.Tensors()) != 2 {
		t.Errorf("%d tensors, findings %q, want %q", len(c.Tensors()), got, want)
	}
}
