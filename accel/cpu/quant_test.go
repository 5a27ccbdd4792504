package cpu

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"wreg/registry/tensor"
)

var floats = []tensor.DType{tensor.F32, tensor.F16, tensor.BF16}

// TestQuantizeEqualsMLX goes through all the vectors: <mode>.<type> or
// affine.<type>.g<group>.b<bits>, each with .weight, .scales and, some, .biases and
// .dequant.
func TestQuantizeEqualsMLX(t *testing.T) {
	for file, least := range map[string]int{"quant": 63, "odd": 24} {
		v := vectors(t, file)
		tests := 0
		for _, key := range slices.Sorted(maps.Keys(v)) {
			name, ok := strings.CutSuffix(key, ".weight")
			if !ok {
				continue
			}
			tests++
			parts := strings.Split(name, ".")
			spec := QuantSpec{Mode: parts[0]}
			if spec.Mode == Affine {
				spec.Group, _ = strconv.Atoi(parts[2][1:])
				spec.Bits, _ = strconv.Atoi(parts[3][1:])
			}
			t.Run(file+"/"+name, func(t *testing.T) {
				paths(t, func(t *testing.T, d Device) { equalsMLX(t, d, v, name, spec, v["in."+parts[1]]) })
			})
		}
		if tests < least {
			t.Errorf("%s: %d tests, want at least %d", file, tests, least)
		}
	}
}

func equalsMLX(t *testing.T, d Device, v map[string]vector, name string, spec QuantSpec, in vector) {
	rows, cols := in.shape[0], in.shape[1]
	np, ns, nb, err := spec.Sizes(rows, cols, in.dt)
	if err != nil {
		t.Fatal(err)
	}
	packed, scales, biases := make([]byte, np), make([]byte, ns), make([]byte, nb)
	if err := d.Quantize(packed, scales, biases, in.data, in.dt, rows, cols, spec); err != nil {
		t.Fatal(err)
	}
	same(t, "codes", packed, v[name+".weight"].data, 4)
	same(t, "scales", scales, v[name+".scales"].data, size(v[name+".scales"].dt))
	same(t, "biases", biases, v[name+".biases"].data, size(in.dt))
	want, ok := v[name+".dequant"]
	if !ok {
		return
	}
	back := make([]byte, len(want.data))
	if err := d.Dequantize(back, packed, scales, biases, want.dt, rows, cols, spec); err != nil {
		t.Fatal(err)
	}
	same(t, "elements", back, want.data, size(want.dt))
}
