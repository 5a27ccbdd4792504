package ingest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wreg/ingest/safetensors"
	"wreg/registry/tensor"
)

// Weights of no elements are one finding, with how they come about where that shows;
// other tensors may be empty.
func TestNoElements(t *testing.T) {
	for _, c := range []struct {
		tensors map[string]tensor.Shape
		want    string // of the message
	}{
		{map[string]tensor.Shape{"a.weight": {0}, "b.weight": {0}, "norm.weight": {2}}, `no elements in 2 of 3 tensors ("a.weight", "b.weight"); ZeRO-3 leaves them so`},
		{map[string]tensor.Shape{"a.weight": {0, 4}, "norm.weight": {2}}, `no elements in 1 of 2 tensors ("a.weight"); look at how it was saved`},
		{map[string]tensor.Shape{"q.lora_A.weight": {2, 2}, "q.lora_B.weight": {0}}, `no elements in 1 of 2 tensors ("q.lora_B.weight"); ZeRO-3`},
		{map[string]tensor.Shape{"experts.gate_up_proj": {0}}, "no elements in 1 of 1 tensors"},
		{map[string]tensor.Shape{"a.weight": {1}, "a._extra_state": {0}, "empty": {0}}, ""},
	} {
		var infos []tensor.Info
		size := int64(0)
		for path, shape := range c.tensors {
			infos = append(infos, tensor.Info{Path: path, DType: tensor.F32, Shape: shape})
		}
		tensor.List(infos).Sort()
		for i := range infos {
			infos[i].Bytes, _ = infos[i].Shape.Bytes(tensor.F32)
			size += infos[i].Bytes
		}
		head, _, err := safetensors.AppendHeader(nil, infos, nil)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "model.safetensors")
		if err := os.WriteFile(path, append(head, make([]byte, size)...), 0o666); err != nil {
			t.Fatal(err)
		}
		for _, look := range []func() ([]tensor.Finding, error){
			func() ([]tensor.Finding, error) {
				ck, err := Open(t.Context(), path, Options{})
				if err != nil {
					return nil, err
				}
				defer ck.Close()
				return ck.Findings(), nil
			},
			func() ([]tensor.Finding, error) { return Lint(t.Context(), path, Options{}) },
		} {
			found, err := look()
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, f := range found {
				if f.Rule == "no-elements" {
					got += f.Message
				}
			}
			if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("%v: %q, want %q", c.tensors, got, c.want)
			}
		}
	}
}
