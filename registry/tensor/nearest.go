package tensor

import (
	"math"
	"slices"
)

// maxCompared bounds the names that are compared letter by letter.
const maxCompared = 255

// EditDistance is the number of letters to insert, delete or replace, or of
// neighbours to swap, that makes b of a. Overlong names are far from all others.
func EditDistance(a, b string) int {
	x, y := []rune(a), []rune(b)
	if len(x) > maxCompared || len(y) > maxCompared {
		return math.MaxInt32
	}
	var before, last []int
	for j := range len(y) + 1 {
		last = append(last, j)
	}
	for i, c := range x {
		row := []int{i + 1}
		for j, e := range y {
			d := last[j]
			if c != e {
				d++
			}
			d = min(d, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && c == y[j-1] && x[i-1] == e {
				d = min(d, before[j-1]+1)
			}
			row = append(row, d)
		}
		before, last = last, row
	}
	return last[len(y)]
}

// Nearest lists the names of the least distance, at most so many; those of one distance
// keep their order, and a negative distance leaves a name out.
func Nearest(names []string, most int, distance func(name string) int) (nearest []string) {
	distances := make(map[string]int, len(names))
	for _, n := range names {
		if d := distance(n); d >= 0 {
			distances[n] = d
			nearest = append(nearest, n)
		}
	}
	slices.SortStableFunc(nearest, func(a, b string) int { return distances[a] - distances[b] })
	return nearest[:min(len(nearest), most)]
}
