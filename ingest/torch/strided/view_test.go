package strided

import (
	"testing"

	"wreg/registry/tensor"
)

// Views are the same when they show the same bytes, and not when anything makes other
// bytes of them.
func TestCompare(t *testing.T) {
	view := func(change func(v *View)) *View {
		v := &View{Storage: &Storage{DType: tensor.F32, Bytes: 1 << 20, Numel: 1 << 18}, DType: tensor.F32, Offset: 8,
			Shape: tensor.Shape{1, 2, 3}, Stride: []int64{6, 3, 1}}
		change(v)
		return v
	}
	one := view(func(*View) {})
	for name, c := range map[string]struct {
		change func(v *View)
		same   bool
	}{
		"the stride of a single row": {func(v *View) { v.Stride[0] = 77 }, true},
		"a part from where it began": {func(v *View) { v.Storage.Base, v.Offset = 16, 4 }, true},
		"offset":                     {func(v *View) { v.Offset++ }, false},
		"dtype":                      {func(v *View) { v.DType = tensor.I32 }, false},
		"shape":                      {func(v *View) { v.Shape = tensor.Shape{1, 3, 2} }, false},
		"stride":                     {func(v *View) { v.Stride = []int64{6, 1, 2} }, false},
		"negated":                    {func(v *View) { v.Neg = true }, false},
		"conjugated":                 {func(v *View) { v.Conj = true }, false},
		"untyped storage":            {func(v *View) { v.Storage.DType = tensor.Invalid }, false},
	} {
		other := view(c.change)
		if a, b := one.Compare(other), other.Compare(one); (a == 0) != c.same || a != -b {
			t.Errorf("%s: %d, %d", name, a, b)
		}
	}
}
