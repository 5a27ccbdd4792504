package ingest

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"wreg/ingest/ingesttest"
)

// floats are the bytes of n f32, made by at.
func floats(n int, at func(i int) float64) []byte {
	var out []byte
	for i := range n {
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(float32(at(i))))
	}
	return out
}

// TestValueFindings holds what is said of values: once for each kind and file, whatever
// else is sound, and of no tensor in which it is usual.
func TestValueFindings(t *testing.T) {
	sound := func(i int) float64 { return float64(i%7) + 1 }
	for _, c := range []struct {
		name  string
		shape []int64
		n     int
		at    func(i int) float64
		rule  string
		says  string
	}{
		{"sound", []int64{4, 16}, 64, sound, "", ""},
		{"NaN", []int64{4, 16}, 64, func(i int) float64 { return math.Sqrt(float64(i - 2)) }, "not-finite", `tensor "w" (2 NaN, 0 infinite)`},
		{"infinite", []int64{64}, 64, func(i int) float64 { return 1 / float64(i) }, "not-finite", `tensor "w" (0 NaN, 1 infinite)`},
		{"zero", []int64{4, 16}, 64, func(int) float64 { return 0 }, "all-zero", `every value is 0 in tensor "w"`},
		{"zero bias", []int64{64}, 64, func(int) float64 { return 0 }, "", ""},
		{"zero column", []int64{64, 1}, 64, func(int) float64 { return 0 }, "", ""},
		{"rows", []int64{4, 16}, 64, func(i int) float64 { return max(float64(i)-31, 0) }, "constant-rows", `tensor "w" (2 of 4, the first is row 0)`},
		{"a row of ones", []int64{4, 16}, 64, func(i int) float64 {
			if i/16 == 2 {
				return 1
			}
			return sound(i)
		}, "constant-rows", `tensor "w" (1 of 4, the first is row 2)`},
		{"one off at its end", []int64{4, 16}, 64, func(i int) float64 {
			if i/16 == 2 && i%16 != 15 {
				return 1
			}
			return sound(i)
		}, "", ""},
		{"rows over buffers", []int64{3, 400000}, 1_200_000, func(i int) float64 {
			if i/400_000 == 1 {
				return 0.5
			}
			return sound(i)
		}, "constant-rows", "(1 of 3, the first is row 1)"},
		{"short rows", []int64{16, 4}, 64, func(i int) float64 { return float64(i/4) + 1 }, "", ""},
		{"one row", []int64{1, 64}, 64, func(int) float64 { return 1 }, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "w.npz")
			array := ingesttest.NPY("<f4", false, c.shape, floats(c.n, c.at))
			if err := os.WriteFile(path, ingesttest.Zip(ingesttest.Record{Name: "w.npy", Data: array}), 0o666); err != nil {
				t.Fatal(err)
			}
			ck, err := Open(t.Context(), path, Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer ck.Close()
			if _, err := ck.Hash(t.Context(), HashOptions{}); err != nil {
				t.Fatal(err)
			}
			if _, err := ck.Hash(t.Context(), HashOptions{}); err != nil { // says it once
				t.Fatal(err)
			}
			var rules []string
			for _, f := range ck.Findings() {
				rules = append(rules, f.Rule)
				if !strings.Contains(f.Message, c.says) || f.Tensor != "w" {
					t.Errorf("%s of %q: %s", f.Rule, f.Tensor, f.Message)
				}
			}
			want := slices.DeleteFunc([]string{c.rule}, func(s string) bool { return s == "" })
			if !slices.Equal(rules, want) {
				t.Errorf("rules %q, want %q", rules, want)
			}
		})
	}
}
