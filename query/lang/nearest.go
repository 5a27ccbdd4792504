package lang

import "strings"

// didYouMean is `; did you mean "layer"?`, or the whole list when nothing is near.
func didYouMean(word string, names []string) string {
	if near := nearestOnly(word, names); near != "" {
		return near
	}
	return "; known are " + strings.Join(names, " ")
}

// nearestOnly is didYouMean without the list.
func nearestOnly(word string, names []string) string {
	best, least := "", max(2, len(word)/2)+1
	for _, n := range names {
		if d := distance(word, n); d < least {
			best, least = n, d
		}
	}
	if best != "" && least < len(word) {
		return `; did you mean "` + best + `"?`
	}
	return ""
}

// distance is the number of letters to insert, delete, replace or swap.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	var before, row, next [65]int
	for j := range len(b) + 1 {
		row[j] = j
	}
	for i := range len(a) {
		next[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next[j+1] = min(row[j+1]+1, next[j]+1, row[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}
