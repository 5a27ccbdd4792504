package receipt

import (
	"bytes"
	"encoding/json"
	"testing"
)

// A receipt is one line for each tensor and source, and its last line tells whether
// any other was changed.
func TestSeal(t *testing.T) {
	r := &Receipt{Format: Format, Tensors: []Tensor{{Path: "a"}, {Path: "b <&>"}}, Sources: []Source{{Path: "a"}}}
	data, err := r.JSON()
	if err != nil || !Sealed(data) {
		t.Fatalf("%v: %s", err, data)
	}
	var back Receipt
	if err := json.Unmarshal(data, &back); err != nil || len(back.Tensors) != 2 || back.Tensors[1].Path != "b <&>" {
		t.Fatal(err, back)
	}
	if n := bytes.Count(data, []byte("\n  {")); n != 3 {
		t.Errorf("%d lines of tensors and sources", n)
	}
	for i := range data {
		changed := bytes.Clone(data)
		changed[i] ^= 1
		if Sealed(changed) {
			t.Errorf("byte %d changed, and the seal fits", i)
		}
	}
	for _, cut := range [][]byte{nil, data[:len(data)-1], data[1:], data[:len(data)/2]} {
		if Sealed(cut) {
			t.Errorf("%d of %d bytes are sealed", len(cut), len(data))
		}
	}
}
