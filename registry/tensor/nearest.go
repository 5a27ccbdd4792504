package tensor

import "math"

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
