package receipt

import "testing"

// What Steps writes tells which tensors are made of whole sources only.
func TestCopies(t *testing.T) {
	for steps, want := range map[string]bool{
		"load": true, "stack(16 load)": true, "concat(load, load)": true, "reshape [8, 16](load)": true,
		"view u32(load)": true, "stack(2 concat(load, reshape [1](view u8(load))))": true, "reshape [](stack(8 load))": true,
		"": false, "cast f16(load)": false, "stack(2 cast f16(load), 3 load)": false, "permute [1,0](load)": false, "quantize(load)": false,
		"add 1(load)": false, "slice(load)": false, "stack(slice(load), load)": false, "fp8(load, load)": false, "dequantize 64/4(load, load, load)": false,
	} {
		if got := (&Tensor{Steps: steps}).copies(); got != want {
			t.Errorf("%q: %v", steps, got)
		}
	}
}
