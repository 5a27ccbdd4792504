package cpu

import (
	"fmt"
	"testing"

	"wreg/registry/tensor"
)

var floats = []tensor.DType{tensor.F32, tensor.F16, tensor.BF16}

func TestQuantizeEqualsMLX(t *testing.T) {
	v := vectors(t, "quant")
	type test struct {
		name string
		dt   tensor.DType
		spec QuantSpec
	}
	var tests []test
	for _, dt := range floats {
		for _, group := range []int{32, 64, 128} {
			for _, bits := range []int{2, 3, 4, 5, 6, 8} {
				tests = append(tests, test{fmt.Sprintf("affine.%v.g%d.b%d", dt, group, bits), dt, QuantSpec{Affine, bits, group}})
			}
		}
		for _, mode := range []string{MXFP4, NVFP4, MXFP8} {
			tests = append(tests, test{mode + "." + dt.String(), dt, QuantSpec{Mode: mode}})
		}
	}
	paths(t, func(t *testing.T, d Device) {
		for _, c := range tests {
			in := v["in."+c.dt.String()]
			rows, cols := in.shape[0], in.shape[1]
			np, ns, nb, err := c.spec.Sizes(rows, cols, c.dt)
			if err != nil {
				t.Fatal(err)
			}
			packed, scales, biases := make([]byte, np), make([]byte, ns), make([]byte, nb)
			if err := d.Quantize(packed, scales, biases, in.data, c.dt, rows, cols, c.spec); err != nil {
				t.Fatal(err)
			}
			same(t, c.name+" codes", packed, v[c.name+".weight"].data, 4)
			same(t, c.name+" scales", scales, v[c.name+".scales"].data, size(v[c.name+".scales"].dt))
			same(t, c.name+" biases", biases, v[c.name+".biases"].data, size(c.dt))
			if want, ok := v[c.name+".dequant"]; ok {
				back := make([]byte, len(want.data))
				if err := d.Dequantize(back, packed, scales, biases, want.dt, rows, cols, c.spec); err != nil {
					t.Fatal(err)
				}
				same(t, c.name+" dequantized", back, want.data, size(c.dt))
			}
		}
	})
}
