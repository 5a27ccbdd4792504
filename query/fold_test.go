package query

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"wreg/registry/tensor"
)

// Every folded path is a pattern that finds the line's tensors and no others.
func TestFoldedPathsArePatterns(t *testing.T) {
	whole := testModels()["moe"]
	random := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		var rows [][]any
		for _, i := range whole {
			if random.IntN(3) > 0 {
				rows = append(rows, []any{i.Path, "missing", i.Bytes})
			}
		}
		folded := (&Result{Columns: []string{"path", "status", "bytes"}, Rows: rows}).Fold()
		found, bytes := map[string]int{}, int64(0)
		for _, line := range folded.Rows {
			p, err := tensor.ParsePattern("^" + line[0].(string))
			if err != nil {
				t.Fatal(err)
			}
			n := int64(0)
			for _, i := range whole {
				if p.Match(i.Path) {
					found[i.Path]++
					n++
				}
			}
			if count := line[folded.column("tensors")]; count != n {
				t.Errorf("%v stands for %v tensors and matches %d", line[0], count, n)
			}
			bytes += line[folded.column("bytes")].(int64)
		}
		want := int64(0)
		for _, row := range rows {
			if found[row[0].(string)] != 1 {
				t.Errorf("%v is on %d lines", row[0], found[row[0].(string)])
			}
			want += row[2].(int64)
		}
		if len(found) != len(rows) || bytes != want {
			t.Errorf("%d paths, want %d; %d bytes, want %d", len(found), len(rows), bytes, want)
		}
	}
}

func TestFold(t *testing.T) {
	path := func(lines ...string) string {
		var rows [][]any
		for _, l := range lines {
			p, reason, _ := strings.Cut(l, " ")
			rows = append(rows, []any{p, reason})
		}
		var out []string
		for _, row := range (&Result{Columns: []string{"path", "reason"}, Rows: rows}).Fold().Rows {
			out = append(out, strings.TrimSpace(row[0].(string)+" "+row[1].(string)))
		}
		return strings.Join(out, "; ")
	}
	for _, c := range []struct {
		want  string
		lines []string
	}{
		{"a.{0..2}.w", []string{"a.0.w", "a.1.w", "a.2.w"}},
		{"a.{0,1,5}.w", []string{"a.5.w", "a.0.w", "a.1.w"}},
		{"layers.{0,1}.{down,up}_proj.w", []string{"layers.0.up_proj.w", "layers.0.down_proj.w", "layers.1.up_proj.w", "layers.1.down_proj.w"}},
		{"layers.0.a.w; layers.1.b.w", []string{"layers.0.a.w", "layers.1.b.w"}},
		{"layers.{0,1}.w missing in layer {0,1}", []string{"layers.0.w missing in layer 0", "layers.1.w missing in layer 1"}},
		{"layers.0.w missing in layer 1; layers.1.w missing in layer 0", []string{"layers.0.w missing in layer 1", "layers.1.w missing in layer 0"}},
		{"{q,k}.w from {q,k}", []string{"q.w from q", "k.w from k"}},
		{"q.w from k; k.w from q", []string{"q.w from k", "k.w from q"}},
		{"layers.3.experts.{0,2}.w expert {0,2} of 4 missing in layer 3", []string{"layers.3.experts.0.w expert 0 of 4 missing in layer 3", "layers.3.experts.2.w expert 2 of 4 missing in layer 3"}},
		{"layers.{0,1}.w", []string{"layers.0.w", "layers.1.w"}},
		{"{a,b}.w absent", []string{"a.w absent", "b.w absent"}}, // a and b stand in the reason, but not as words
		{"; .", []string{"", "."}},
		{"a,b.w; c.w", []string{"a,b.w", "c.w"}},
		{"a.{b1,b10,b11,b12,b2,b3,b4,b5,b6,b7,b8,b9}.w; a.c.w", []string{"a.b1.w", "a.b2.w", "a.b3.w", "a.b4.w", "a.b5.w", "a.b6.w", "a.b7.w", "a.b8.w", "a.b9.w", "a.b10.w", "a.b11.w", "a.b12.w", "a.c.w"}},
		{"", nil},
	} {
		lines := slices.Clone(c.lines)
		got := path(lines...)
		slices.Sort(lines)
		if got != c.want && path(lines...) != c.want {
			t.Errorf("%q fold to %q, want %q", c.lines, got, c.want)
		}
	}
}

// What does not differ in the path alone is never written as if it did.
func TestFoldKeepsValuesApart(t *testing.T) {
	r := &Result{Columns: []string{"path", "dtype", "bytes"}, Rows: [][]any{
		{"", "f32", int64(8)}, {".", "f32", int64(8)},
		{"x.f32.w", "f32", int64(8)}, {"x.f16.w", "f16", int64(8)},
		{"layers.0.w", "f32", int64(4)}, {"layers.1.w", "f32", int64(12)}, {"layers.3.w", "f32", int64(4)},
		{"layers.0.w", "f32", int64(4)}, {"y", "f32", int64(1)}, {"y", "f32", int64(1)},
	}}
	bytes, count := int64(0), int64(0)
	for _, row := range r.Fold().Rows {
		if dtype := row[1]; dtype != "f32" && dtype != "f16" {
			t.Errorf("%v: dtype %v", row[0], dtype)
		}
		if p := row[0].(string); strings.Contains(p, "f32,") || strings.Contains(p, "{,") {
			t.Errorf("folded to %q", p)
		}
		bytes, count = bytes+row[2].(int64), count+row[3].(int64)
	}
	if bytes != 58 || count != 10 {
		t.Errorf("%d tensors of %d bytes, want 10 of 58: %v", count, bytes, r.Fold().Rows)
	}
}
