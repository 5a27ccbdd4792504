// Package wrap recognizes by names what stands between a checkpoint and the names that an
// architecture has: a prefix too many or too few, an adapter that was not merged.
//
// Most users need [Guess] and [Adapted].
//
// Invariants: a guess is one until it was tried: nothing is advised on it alone. What a
// prefix is follows from the names; only segments that wrap inside of names are a table.
package wrap

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"wreg/registry/tensor"
)

// Names visits the names of a checkpoint's tensors; it ends where visit is false.
type Names func(visit func(path string) bool)

// A Guess is how the names of a checkpoint may become those that are expected.
type Guess struct {
	tensor.Naming
	Fit, Of int // how many names begin so and become expected ones, and all there are
}

const (
	maxGuesses  = 1 << 10 // prefixes that are told apart
	maxExpected = 1 << 12 // names without their numbers, expected ones and those there
	maxSegments = 64      // of a name; one with more fits nothing
)

// Expected are names that are looked for, without their numbers.
type Expected struct {
	before map[string][]string // the end of a name → what may stand before it
	seen   map[string]bool
}

// Add adds a name.
func (e *Expected) Add(path string) {
	if e.seen == nil {
		e.before, e.seen = map[string][]string{}, map[string]bool{}
	}
	template, _ := tensor.SplitPath(path)
	if e.seen[template] || len(e.seen) == maxExpected {
		return
	}
	e.seen[template] = true
	for at, n := 0, 0; n < maxSegments; n++ {
		end := template[at:]
		if prefix := template[:at]; !strings.Contains(prefix, "{") { // what is added is one text for all
			e.before[end] = append(e.before[end], prefix)
		}
		next := strings.IndexByte(end, '.')
		if next < 0 {
			break
		}
		at += next + 1
	}
}

// Guess says how names may become expected ones, the likeliest first; nothing where
// most of those that could are expected as they are.
func (e *Expected) Guess(names Names) []Guess {
	found := map[tensor.Naming]int{}
	of, asIs := 0, 0
	ends := map[string][]end{}
	names(func(path string) bool {
		of++
		short := tensor.Unwrapped(path)
		template, _ := tensor.SplitPath(short)
		known, ok := ends[template]
		if !ok {
			known = e.ends(template)
			if len(ends) < maxExpected {
				ends[template] = known
			}
		}
		for _, end := range known {
			n := tensor.Naming{Strip: prefixOf(path, end.before), Add: end.add}
			if n.IsZero() {
				if short == path {
					asIs++
					continue
				}
				n.Strip = wrapper(path)
			}
			if _, known := found[n]; known || len(found) < maxGuesses {
				found[n]++
			}
		}
		return true
	})
	var list []Guess
	for n, fit := range found {
		if fit > asIs || n.Inside() || n.Add == "" { // those that lack the prefix may stay
			list = append(list, Guess{n, fit, of})
		}
	}
	slices.SortFunc(list, func(a, b Guess) int {
		return cmp.Or(b.Fit-a.Fit, aside(a.Strip)-aside(b.Strip), len(a.Add)-len(b.Add), strings.Compare(a.Strip, b.Strip), strings.Compare(a.Add, b.Add))
	})
	return list
}

// end is a part of a name that is expected: so many segments stand before it here, and
// add there.
type end struct {
	before int
	add    string
}

// ends are the longest end of a template that is expected, whatever stands before it
// there, and those that are whole names.
func (e *Expected) ends(template string) (list []end) {
	for n := range maxSegments {
		for _, add := range e.before[template] {
			if add == "" || len(list) == 0 || list[0].before == n {
				list = append(list, end{n, add})
			}
		}
		_, rest, more := strings.Cut(template, ".")
		if !more {
			break
		}
		template = rest
	}
	return list
}

// prefixOf is the beginning of a path with so many segments and those that wrap around
// and between them.
func prefixOf(path string, n int) string {
	at := 0
	for {
		segment, _, more := strings.Cut(path[at:], ".")
		if !more || n == 0 && !wraps(segment) {
			return path[:at]
		}
		if !wraps(segment) {
			n--
		}
		at += len(segment) + 1
	}
}

func wraps(segment string) bool { return segment != "" && tensor.Unwrapped(segment) == "" }

// wrapper is the first segment of a path that only wraps.
func wrapper(path string) string {
	for segment := range strings.SplitSeq(path, ".") {
		if wraps(segment) {
			return segment + "."
		}
	}
	return ""
}

// besides are words for a second set of weights that training keeps: others go first.
var besides = []string{"ema", "teacher", "target", "shadow", "best", "avg", "swa", "ref"}

func aside(prefix string) int {
	for segment := range strings.FieldsFuncSeq(prefix, func(r rune) bool { return r == '.' || r == '_' }) {
		if slices.Contains(besides, segment) {
			return 1
		}
	}
	return 0
}

// rivals are prefixes of as many names that fit: a second set of weights.
func rivals(g *Guess, all []Guess) (strips []string) {
	for _, o := range all {
		if o.Fit == g.Fit && o.Strip != g.Strip && !slices.Contains(strips, o.Strip) && len(strips) < 3 {
			strips = append(strips, o.Strip)
		}
	}
	return strips
}

// Says words what a guess that was tried comes to: the pattern of the names it is
// about, why they are not found, and what to do. missing is what is missing then.
func (g *Guess) Says(list tensor.List, arch, missing string, all []Guess) (path, reason, remedy string) {
	remedy = "ingest again with " + g.Flags()
	if g.Strip == "" {
		return g.Add + "*", fmt.Sprintf("the names lack %s, which those of %s begin with; with it %s", g.Add, arch, missing), remedy
	}
	begin := 0
	for i := range list {
		name := list[i].Path
		if strings.HasPrefix(name, g.Strip) || g.Inside() && tensor.Unwrapped(name) != name {
			begin++
		}
	}
	_, _, left, _ := g.Renamed(list)
	count := fmt.Sprintf("%d of %d names", begin, len(list))
	if begin == len(list) {
		count = fmt.Sprintf("all %d names", begin)
	}
	where := "begin with " + g.Strip
	if g.Inside() && begin < len(list) {
		where = "hold " + g.Strip
	}
	if g.Add != "" {
		reason = fmt.Sprintf("%s %s where those of %s begin with %s; with that %s", count, where, arch, g.Add, missing)
	} else {
		reason = fmt.Sprintf("%s %s; without it %s", count, where, missing)
	}
	if len(left) > 0 {
		reason += fmt.Sprintf("; outside of it %d would be left out (%s)", len(left), left[0].Path)
	}
	for _, strip := range rivals(g, all) {
		reason += fmt.Sprintf("; as many names fit without %s", strip)
	}
	return g.Strip + "*", reason, remedy
}
