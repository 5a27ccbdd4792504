package tensor

import (
	"math"
	"slices"
	"strings"
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

// NearPattern is a pattern that matches some of the paths and differs from one that
// matches none in few letters, numbers aside; "" when there is none.
func NearPattern(pattern string, paths []string) string {
	if rest, ok := strings.CutSuffix(pattern, ".weight"); ok && matchesSome(rest, paths) {
		return rest
	}
	core := strings.TrimLeft(pattern, "^*.")
	if _, err := ParsePattern(pattern); err != nil || core == "" {
		return ""
	}
	depth := 0
	asked := strings.FieldsFunc(core, func(c rune) bool { // dots in braces part nothing
		depth += strings.Count("{", string(c)) - strings.Count("}", string(c))
		return c == '.' && depth == 0
	})
	near, least := "", 2+len(core)/4
	seen := map[string]bool{}
	for _, path := range paths {
		segments := strings.Split(path, ".")
		if len(segments) < len(asked) {
			continue
		}
		tail := segments[len(segments)-len(asked):]
		template, _ := SplitPath(strings.Join(tail, "."))
		if seen[template] || len(seen) >= maxTails {
			continue
		}
		seen[template] = true
		d, other := 0, make([]string, len(asked))
		for i, s := range asked {
			other[i] = tail[i]
			if matchesSome(s, tail[i:i+1]) || isNumber(s) && isNumber(tail[i]) {
				other[i] = s
				continue
			}
			far := EditDistance(strings.ToLower(s), strings.ToLower(tail[i]))
			if len(s) > 2 && strings.HasPrefix(tail[i], s) {
				far = min(far, 1)
			}
			if d += far; d >= least {
				break
			}
		}
		if d >= least {
			continue
		}
		head := pattern[:len(pattern)-len(core)]
		for _, text := range []string{head + strings.Join(other, "."), head + strings.Join(tail, ".")} { // with the numbers asked for, if they are there
			if matchesSome(text, paths) {
				near, least = text, d
				break
			}
		}
	}
	return near
}

// maxTails bounds the endings of paths, numbers aside, that a pattern is compared with.
const maxTails = 1 << 12

func isNumber(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

func matchesSome(pattern string, paths []string) bool {
	p, err := ParsePattern(pattern)
	return err == nil && slices.ContainsFunc(paths, p.Match)
}
