package torch

import (
	"bytes"
	"strings"
	"testing"

	"wreg/ingest/zipfile"
	"wreg/registry/tensor"
)

// TestKeptArguments gives each rebuild function that wraps a value two million
// empty dicts to hold, a few at a time: what it keeps counts as memory.
func TestKeptArguments(t *testing.T) {
	const tensorPickle = "ctorch._utils\n_rebuild_tensor_v2\n(K\x00QK\x00K\x04\x85K\x01\x85\x89}tR"
	dicts := "(" + strings.Repeat("}", 50_000) + "t"
	heavy := "cm\nC\n" + dicts + "R" // an inert object
	for name, call := range map[string]string{
		"parameter with state": "ctorch._utils\n_rebuild_parameter_with_state\n(" + tensorPickle + "\x88}" + dicts + "tR",
		"parameter":            "ctorch._utils\n_rebuild_parameter\n(" + heavy + "\x88}tR",
		"Parameter":            "ctorch.nn.parameter\nParameter\n(" + heavy + "tR",
		"subclass":             "ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._utils\n_rebuild_tensor_v2\ncm\nT\n(K\x00QK\x00K\x04\x85K\x01\x85\x89}t" + dicts + "tR",
		"quantized":            "ctorch._utils\n_rebuild_qtensor\n(K\x00QK\x00K\x04\x85K\x01\x85(N" + dicts + "NNttR",
		"sparse":               "ctorch._utils\n_rebuild_sparse_tensor\n(X\x0a\x00\x00\x00sparse_coo(" + heavy + heavy + "NttR",
		"nested":               "ctorch._utils\n_rebuild_nested_tensor\n(" + heavy + "NNNtR",
	} {
		f := newFile(t.Context(), bytes.NewReader(nil), 2<<20, "t.pt")
		f.records["0"] = &zipfile.Record{Name: "0", Size: 16, Stored: 16}
		storage := func(any) (any, error) {
			return &storage{key: "0", record: "0", dtype: tensor.F32, bytes: 16, numel: 4}, nil
		}
		data := "\x80\x02(" + strings.Repeat(call, 40) + "t."
		if _, err := f.load([]byte(data), storage); err == nil || !strings.Contains(err.Error(), "bytes of memory") {
			t.Errorf("%s: %.200v; want a refusal for want of memory", name, err)
		}
		f.memory = 48 << 20
		if _, err := f.load([]byte("\x80\x02"+call+"."), storage); err != nil {
			t.Errorf("%s: once: %v", name, err)
		}
	}
}
