package record

import (
	"math"
	"strings"
	"testing"
	"time"

	"wreg/registry/tensor"
)

// Times beyond what 64 bits of nanoseconds hold are kept as the nearest.
func TestMoments(t *testing.T) {
	far := time.Date(2500, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		time time.Time
		want int64
	}{
		{far, math.MaxInt64},
		{time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC), math.MaxInt64},
		{time.Unix(math.MaxInt64>>10, 0), math.MaxInt64},
		{time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC), math.MinInt64 + 1},
		{time.Date(1677, 1, 1, 0, 0, 0, 0, time.UTC), math.MinInt64 + 1},
		{time.Time{}, noTime},
		{time.Unix(0, -1), -1},
		{time.Unix(0, math.MaxInt64), math.MaxInt64},
	} {
		if got := unixNano(c.time); got != c.want {
			t.Errorf("%v is kept as %d, want %d", c.time, got, c.want)
		}
		if back := fromUnixNano(unixNano(c.time)); !c.time.IsZero() && !back.Equal(tensor.Moment(c.time)) {
			t.Errorf("%v comes back as %v, its moment is %v", c.time, back, tensor.Moment(c.time))
		}
	}
}

// What names were taken off and put before is kept; a record from before there was such
// a thing has none.
func TestNamingIsKept(t *testing.T) {
	v := &Revision{Model: "m", Number: 1, Root: "/m"}
	before := Encode(v)
	v.Naming = tensor.Naming{Strip: "state_dict.net.", Add: "model."}
	for _, c := range []struct {
		raw  []byte
		want tensor.Naming
	}{{before, tensor.Naming{}}, {Encode(v), v.Naming}} {
		got, wrong := Decode(c.raw)
		if wrong != "" || got.Naming != c.want {
			t.Errorf("%+v, %s, want %+v", got, wrong, c.want)
		}
	}
	v.Naming.Add = strings.Repeat("x", MaxPath+1)
	if _, wrong := Decode(Encode(v)); !strings.Contains(wrong, "bytes of a prefix") {
		t.Errorf("a prefix of %d bytes: %q", MaxPath+1, wrong)
	}
}
