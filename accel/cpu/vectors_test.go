package cpu

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"wreg/registry/tensor"
)

// vector is one tensor of the files that MLX computed.
type vector struct {
	dt    tensor.DType
	shape []int
	data  []byte
}

// vectors reads one of the files in accel/testdata/vectors. accel knows no
// formats, so this is the least that reads a safetensors file one trusts.
func vectors(t testing.TB, name string) map[string]vector {
	t.Helper()
	file, err := os.ReadFile(filepath.Join("..", "testdata", "vectors", name+".safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	n := le.Uint64(file)
	var header map[string]struct {
		DType   string `json:"dtype"`
		Shape   []int  `json:"shape"`
		Offsets [2]int `json:"data_offsets"`
	}
	if err := json.Unmarshal(file[8:8+n], &header); err != nil {
		t.Fatal(err)
	}
	all := map[string]vector{}
	for name, h := range header {
		if name == "__metadata__" {
			continue
		}
		dt, ok := tensor.ParseDType(h.DType)
		if !ok {
			t.Fatalf("%s: dtype %q", name, h.DType)
		}
		all[name] = vector{dt, h.Shape, file[8+int(n):][h.Offsets[0]:h.Offsets[1]]}
	}
	return all
}

// same fails at the first element of size bytes that differs.
func same(t testing.TB, what string, got, want []byte, size int) {
	t.Helper()
	if bytes.Equal(got, want) {
		return
	}
	if len(got) != len(want) {
		t.Errorf("%s: %d bytes, want %d", what, len(got), len(want))
		return
	}
	for i := 0; i < len(got); i += size {
		if !bytes.Equal(got[i:i+size], want[i:i+size]) {
			t.Errorf("%s: element %d is %x, want %x", what, i/size, got[i:i+size], want[i:i+size])
			return
		}
	}
}

// paths are the devices every test must pass on: plain Go, and what New picks.
func paths(t *testing.T, test func(t *testing.T, d Device)) {
	t.Run("reference", func(t *testing.T) { test(t, Reference()) })
	t.Run("fastest", func(t *testing.T) { test(t, New()) })
}

func cast(t testing.TB, d Device, to tensor.DType, src []byte, from tensor.DType) []byte {
	t.Helper()
	dst := make([]byte, len(src)/size(from)*size(to))
	if err := d.Cast(dst, to, src, from); err != nil {
		t.Fatal(err)
	}
	return dst
}

func TestCastEqualsMLX(t *testing.T) {
	v, f := vectors(t, "cast"), vectors(t, "fp8")
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	paths(t, func(t *testing.T, d Device) {
		same(t, "f32 to bf16", cast(t, d, tensor.BF16, v["u32"].data, tensor.F32), v["to_bf16"].data, 2)
		same(t, "f32 to f16", cast(t, d, tensor.F16, v["u32"].data, tensor.F32), v["to_f16"].data, 2)
		for _, to := range []tensor.DType{tensor.BF16, tensor.F16, tensor.F32} {
			same(t, "e4m3 to "+to.String(), cast(t, d, to, every, tensor.F8E4M3), f["all_bytes_"+to.String()].data, size(to))
		}
	})
}

func TestDequantFP8EqualsMLX(t *testing.T) {
	v := vectors(t, "fp8")
	rows, cols := v["w"].shape[0], v["w"].shape[1]
	paths(t, func(t *testing.T, d Device) {
		for _, scale := range []string{"f32", "bf16"} {
			s, want := v["scale_"+scale], v["out_"+scale+"scale"].data
			for _, tile := range []int{rows, 1, 7, 127, 129} { // rows at once
				got := make([]byte, 2*rows*cols)
				for r := 0; r < rows; r += tile {
					n := min(tile, rows-r)
					if err := d.DequantFP8(got[2*r*cols:2*(r+n)*cols], v["w"].data[r*cols:(r+n)*cols], r, n, cols, s.data, s.dt, 128, 128); err != nil {
						t.Fatal(err)
					}
				}
				same(t, scale+" scales", got, want, 2)
			}
		}
	})
}
