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

// What is trusted of a file is kept; of a record from before there was such a thing it follows from
// whether hashes were taken, and such a record is written as it was.
func TestTrustIsKept(t *testing.T) {
	digest := tensor.Hash{1}.String()
	v := &Revision{Model: "m", Number: 1, Root: "/m", Hashed: true, Files: []tensor.File{
		{Name: "config.json", Format: "json"}, {Name: "a", Format: "safetensors"},
	}}
	before := Encode(v)
	for _, c := range []struct {
		file   tensor.File
		hashed bool
		want   tensor.Trust
		same   bool // as before
	}{
		{tensor.File{}, true, tensor.TrustHashed, true},
		{tensor.File{}, false, tensor.TrustHeader, false},
		{tensor.File{Trust: tensor.TrustHashed}, true, tensor.TrustHashed, true},
		{tensor.File{Trust: tensor.TrustHeader}, true, tensor.TrustHeader, false},
		{tensor.File{Digest: digest}, false, tensor.TrustHeader, false},
		{tensor.File{Digest: digest, Trust: tensor.TrustInherited}, true, tensor.TrustInherited, false},
		{tensor.File{Digest: digest, Trust: tensor.TrustVerified}, true, tensor.TrustVerified, false},
	} {
		w := *v
		w.Hashed = c.hashed
		c.file.Name, c.file.Format = "a", "safetensors"
		w.Files = []tensor.File{v.Files[0], c.file}
		raw := Encode(&w)
		got, wrong := Decode(raw)
		if wrong != "" {
			t.Fatalf("%+v: %s", c, wrong)
		}
		if f := got.Files[1]; f.Trust != c.want || f.Digest != c.file.Digest || got.Files[0].Trust != tensor.TrustUnset {
			t.Errorf("%+v comes back as %+v, config.json as %+v", c, f, got.Files[0])
		}
		if same := string(raw) == string(before); same != c.same {
			t.Errorf("%+v: written as before is %v", c, same)
		}
		if again := Encode(got); string(again) != string(raw) {
			t.Errorf("%+v is written differently after it was read", c)
		}
	}
	for _, f := range []tensor.File{
		{Name: "a", Trust: tensor.TrustVerified}, {Name: "a", Trust: tensor.TrustSummed}, {Name: "a", Trust: tensor.TrustInherited}, {Name: "a", Trust: 6}, {Name: "a", Trust: 255, Digest: digest},
		{Name: "a", Digest: "sha256:12"}, {Name: "a", Digest: digest[7:]}, {Name: "a", Digest: "md5:" + digest[7:]},
	} {
		w := *v
		w.Files = []tensor.File{f}
		if wrong := w.Fault(); wrong == "" {
			t.Errorf("%+v is taken", f)
		}
		if got, wrong := Decode(Encode(&w)); wrong == "" {
			t.Errorf("%+v is read as %+v", f, got.Files[0])
		}
	}
}
