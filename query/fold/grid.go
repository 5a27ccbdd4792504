package fold

import (
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
// numbers that are followed by the same rests are put together.
func foldIndices(tuples [][]int64) []grid {
	if len(tuples) == 0 || len(tuples[0]) == 0 {
		return []grid{nil}
	}
	rests := map[int64][][]int64{}
	var firsts []int64
	for _, t := range tuples {
		if _, known := rests[t[0]]; !known {
			firsts = append(firsts, t[0])
		}
		rests[t[0]] = append(rests[t[0]], t[1:])
	}
	slices.Sort(firsts)
	var out []grid
	groups := map[string]int{} // the grids of the rests: which entry of list
	type entry struct {
		firsts []int64
		grids  []grid
	}
	var list []entry
	for _, first := range firsts {
		grids := foldIndices(rests[first])
		key := fmt.Sprint(grids)
		i, known := groups[key]
		if !known {
			i = len(list)
			groups[key] = i
			list = append(list, entry{grids: grids})
		}
		list[i].firsts = append(list[i].firsts, first)
	}
	for _, e := range list {
		for _, g := range e.grids {
			out = append(out, append(grid{e.firsts}, g...))
		}
	}
	return out
}
