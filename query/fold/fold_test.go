package fold

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// Folding takes a few times what the rows' own bytes take: not for each number of
// each row all the others again.
func TestFoldIsLinear(t *testing.T) {
	const (
		most = 16 << 10 // bytes for each row, whose path has some 130
		n    = 16000
	)
	random := rand.New(rand.NewPCG(1, 2))
	var rows [][]any
	for range n {
		var path strings.Builder
		for k := range 31 {
			fmt.Fprintf(&path, "%c.%d.", 'a'+k%26, random.IntN(100))
		}
		rows = append(rows, []any{path.String() + "w", "f32"})
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, folded := Rows([]string{"path", "dtype"}, rows)
	runtime.ReadMemStats(&after)
	if len(folded) != n {
		t.Errorf("%d rows of nothing alike are %d lines", n, len(folded))
	}
	if got := (after.TotalAlloc - before.TotalAlloc) / n; got > most {
		t.Errorf("a row took %d bytes, at most %d are fine", got, most)
	}
}

// A table of more numbers than people read is not folded.
func TestFoldEnds(t *testing.T) {
	path := strings.Repeat("1.", 1000)
	for rows, want := range map[int]int{maxNumbers / 1001: 1, maxNumbers/1001 + 2: maxNumbers/1001 + 2} {
		table := make([][]any, rows)
		for i := range table {
			table[i] = []any{fmt.Sprint(path, i)}
		}
		if _, got := Rows([]string{"path"}, table); len(got) != want {
			t.Errorf("%d rows of 1001 numbers are %d lines, want %d", rows, len(got), want)
		}
	}
}

// Where rests are kept once, the grids are those of comparing whole rests.
func TestFoldIndicesReference(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		width, most := 1+random.IntN(4), 1+random.Int64N(4)
		tuples := make([][]int64, 1+random.IntN(40))
		for i := range tuples {
			for range width {
				tuples[i] = append(tuples[i], random.Int64N(most))
			}
		}
		if got, want := foldIndices(tuples), compareRests(tuples); !reflect.DeepEqual(got, want) {
			t.Fatalf("%v: %v, want %v", tuples, got, want)
		}
	}
}

// compareRests is foldIndices without thrift.
func compareRests(tuples [][]int64) []grid {
	if len(tuples[0]) == 0 {
		return []grid{{}}
	}
	rests := map[int64][][]int64{}
	for _, t := range tuples {
		rests[t[0]] = append(rests[t[0]], t[1:])
	}
	var firsts [][]int64
	var grids [][]grid
	for first := range int64(10) {
		if rests[first] == nil {
			continue
		}
		g := compareRests(rests[first])
		i := slices.IndexFunc(grids, func(known []grid) bool { return reflect.DeepEqual(known, g) })
		if i < 0 {
			i = len(grids)
			firsts, grids = append(firsts, nil), append(grids, g)
		}
		firsts[i] = append(firsts[i], first)
	}
	var out []grid
	for i, list := range grids {
		for _, g := range list {
			out = append(out, append(grid{firsts[i]}, g...))
		}
	}
	return out
}
