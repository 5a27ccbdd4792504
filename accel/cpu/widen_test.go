package cpu

import (
	"math"
	"testing"

	"wreg/registry/tensor"
)

// Widen gives numbers whose extremes and counts are those that Stats sees, of every type
// that has numbers.
func TestWidenAgreesWithStats(t *testing.T) {
	p := make([]byte, 3*8*512)
	for i := range p {
		p[i] = byte(i*i*31 + i>>8*7)
	}
	for dt := range tensor.DType(255) {
		if !Scannable(dt) {
			if err := Widen(nil, dt, nil); err == nil {
				t.Errorf("%v: it has no numbers, and no error", dt)
			}
			continue
		}
		elems, size := dt.Block()
		dst := make([]float64, int64(len(p))/size*elems)
		if err := Widen(dst, dt, p); err != nil {
			t.Fatal(err)
		}
		var want, got tensor.Stats
		if err := New().Stats(&want, dt, p, true); err != nil {
			t.Fatal(err)
		}
		got.Min, got.Max = math.Inf(1), math.Inf(-1)
		for _, x := range dst {
			switch {
			case x != x:
				got.NaNs++
				continue
			case math.IsInf(x, 0):
				got.Infs++
				continue
			case x == 0:
				got.Zeros++
			}
			got.Min, got.Max = min(got.Min, x), max(got.Max, x)
		}
		got.AbsMax = max(math.Abs(got.Min), math.Abs(got.Max))
		if got != want {
			t.Errorf("%v: %+v, want %+v", dt, got, want)
		}
		if err := Widen(dst[:len(dst)-1], dt, p); err == nil {
			t.Errorf("%v: more bytes than numbers, and no error", dt)
		}
	}
}
