package fold

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// grid is a product of sets of numbers, one per placeholder.
type grid [][]int64

// path writes the template with each set as {0..3,8}.
func (g grid) path(template string) string {
	k := 0
	var b strings.Builder
	for i, seg := range strings.Split(template, ".") {
		if i > 0 {
			b.WriteByte('.')
		}
		if k < len(g) && (seg == "{layer}" || seg == "{expert}" || seg == "{n}") {
			seg = numbers(g[k])
			k++
		}
		b.WriteString(seg)
	}
	return b.String()
}

// numbers writes 3, {0..63} or {0..3,8}.
func numbers(list []int64) string {
	if len(list) == 1 {
		return strconv.FormatInt(list[0], 10)
	}
	var parts []string
	for i := 0; i < len(list); {
		j := i
		for j+1 < len(list) && list[j+1] == list[j]+1 {
			j++
		}
		switch {
		case j == i:
			parts = append(parts, strconv.FormatInt(list[i], 10))
		case j == i+1:
			parts = append(parts, strconv.FormatInt(list[i], 10), strconv.FormatInt(list[j], 10))
		default:
			parts = append(parts, fmt.Sprintf("%d..%d", list[i], list[j]))
		}
		i = j + 1
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// foldIndices covers index tuples with few grids that do not overlap: first
// numbers that are followed by the same rests are put together. It takes steps for
// each number of each tuple, and no more: rests that are the same have one place.
func foldIndices(tuples [][]int64) []grid {
	tuples = slices.Clone(tuples)
	slices.SortFunc(tuples, slices.Compare[[]int64])
	tuples = slices.CompactFunc(tuples, slices.Equal[[]int64])
	f := &indexFolder{places: map[string]int{}}
	return f.grids(f.fold(tuples, 0), nil, nil)
}

// indexFolder keeps what was made of rests, each once.
type indexFolder struct {
	rests  []rest
	places map[string]int // key → place in rests
	key    []byte
}

// rest is what follows some first numbers: one tuple, or branches.
type rest struct {
	tuple    []int64
	branches []branch
}

// branch is first numbers that the same rest follows.
type branch struct {
	firsts []int64
	rest   int
}

// fold is the place of what the tuples, sorted and all different, have from number
// depth on.
func (f *indexFolder) fold(tuples [][]int64, depth int) int {
	if len(tuples) == 1 {
		tuple := tuples[0][depth:]
		f.key = append(f.key[:0], 0)
		for _, n := range tuple {
			f.key = binary.AppendVarint(f.key, n)
		}
		return f.place(rest{tuple: tuple})
	}
	var branches []branch
	known := map[int]int{} // rest → its branch
	for i := 0; i < len(tuples); {
		first, j := tuples[i][depth], i+1
		for j < len(tuples) && tuples[j][depth] == first {
			j++
		}
		at := f.fold(tuples[i:j], depth+1)
		b, ok := known[at]
		if !ok {
			b = len(branches)
			known[at] = b
			branches = append(branches, branch{rest: at})
		}
		branches[b].firsts = append(branches[b].firsts, first)
		i = j
	}
	f.key = append(f.key[:0], 1)
	for _, b := range branches {
		f.key = binary.AppendUvarint(f.key, uint64(b.rest))
		f.key = binary.AppendUvarint(f.key, uint64(len(b.firsts)))
		for _, n := range b.firsts {
			f.key = binary.AppendVarint(f.key, n)
		}
	}
	return f.place(rest{branches: branches})
}

// place finds f.key's rest, or keeps r there.
func (f *indexFolder) place(r rest) int {
	at, ok := f.places[string(f.key)]
	if !ok {
		at = len(f.rests)
		f.places[string(f.key)] = at
		f.rests = append(f.rests, r)
	}
	return at
}

// grids appends to out the grids of a rest, each behind the numbers before it.
func (f *indexFolder) grids(at int, before grid, out []grid) []grid {
	r := &f.rests[at]
	for _, b := range r.branches {
		out = f.grids(b.rest, append(before, b.firsts), out)
	}
	if r.branches == nil {
		g := append(make(grid, 0, len(before)+len(r.tuple)), before...)
		for i := range r.tuple {
			g = append(g, r.tuple[i:i+1:i+1])
		}
		out = append(out, g)
	}
	return out
}
