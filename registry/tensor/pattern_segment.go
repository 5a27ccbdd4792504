package tensor

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxNumber is the largest number SplitPath takes out of a path: 18 digits.
const maxNumber = 999_999_999_999_999_999

type segmentKind uint8

const (
	oneSegment   segmentKind = iota // matches one segment, atom by atom
	anySegments                     // **
	restSegments                    // a final *
)

// segment is the part of a pattern between two dots.
type segment struct {
	kind  segmentKind
	atoms []atom
}

type atomKind uint8

const (
	literal  atomKind = iota
	star              // any characters
	anyChar           // one character
	digits            // lo..hi, as a canonical decimal number
	branches          // {a,b}
)

type atom struct {
	kind   atomKind
	text   string
	lo, hi int64
	either [][]atom
}

// anyNumber reports that every number matches, noNumber that none does: what can
// be told without the number. Else a condition remains.
func (s *segment) anyNumber() bool {
	for _, a := range s.atoms {
		if a.kind != star && (a.kind != digits || len(s.atoms) > 1 || a.lo != 0 || a.hi != maxNumber) {
			return false
		}
	}
	return len(s.atoms) > 0
}

func (s *segment) noNumber() bool {
	return slices.ContainsFunc(s.atoms, func(a atom) bool {
		return a.kind == literal && strings.ContainsFunc(a.text, func(r rune) bool { return r < '0' || r > '9' })
	})
}

// match reports whether the segment matches the whole of text. It keeps the set
// of positions reached after each atom, so no input makes it backtrack.
func (s *segment) match(text string) bool {
	switch {
	case s.kind != oneSegment:
		return true
	case len(s.atoms) == 1 && s.atoms[0].kind == literal:
		return s.atoms[0].text == text
	case len(s.atoms) == 1 && s.atoms[0].kind == star:
		return true
	}
	at := make([]bool, len(text)+1)
	at[0] = true
	return advance(s.atoms, text, at)[len(text)]
}

// advance gives the positions of text that atoms reach from those in at.
func advance(atoms []atom, text string, at []bool) []bool {
	for i := range atoms {
		a := &atoms[i]
		next := make([]bool, len(at))
		switch a.kind {
		case star:
			if first := slices.Index(at, true); first >= 0 {
				for p := first; p < len(next); p++ {
					next[p] = true
				}
			}
		case branches:
			for _, branch := range a.either {
				for p, ok := range advance(branch, text, at) {
					next[p] = next[p] || ok
				}
			}
		default:
			for p, ok := range at {
				if ok {
					a.step(text, p, next)
				}
			}
		}
		at = next
	}
	return at
}

// step marks in next where a match of a starting at p ends.
func (a *atom) step(text string, p int, next []bool) {
	rest := text[p:]
	switch a.kind {
	case literal:
		if strings.HasPrefix(rest, a.text) {
			next[p+len(a.text)] = true
		}
	case anyChar:
		if rest != "" {
			_, size := utf8.DecodeRuneInString(rest)
			next[p+size] = true
		}
	case digits:
		for end := 1; end <= len(rest) && end <= 18; end++ {
			n, ok := number(rest[:end])
			if !ok {
				return
			}
			if a.lo <= n && n <= a.hi {
				next[p+end] = true
			}
		}
	}
}

// multiplyOut rewrites {x,a.b}.c, whose braces hold dots, as x.c and a.b.c, so
// that dots separate segments everywhere else.
func multiplyOut(whole, text string, offset int, out []string) ([]string, error) {
	open, end, err := dottedBraces(whole, text, offset)
	if err != nil {
		return nil, err
	}
	if open < 0 {
		if len(out) == maxBranches {
			return nil, &PatternError{whole, offset, fmt.Sprintf("its braces multiply out to more than %d patterns; split it, or use *", maxBranches)}
		}
		return append(out, text), nil
	}
	for _, alternative := range splitTop(text[open+1 : end]) {
		if out, err = multiplyOut(whole, text[:open]+alternative+text[end+1:], offset, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// dottedBraces finds the first outermost braces that hold a dot outside a range;
// open is -1 when there are none. It checks that all braces are balanced.
func dottedBraces(whole, text string, offset int) (open, end int, err error) {
	var stack []int
	dotted := false
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '{':
			if stack = append(stack, i); len(stack) > maxNesting {
				return 0, 0, &PatternError{whole, offset + i, fmt.Sprintf("braces nest deeper than %d", maxNesting)}
			}
			if len(stack) == 1 {
				dotted = false
			}
		case '}':
			if len(stack) == 0 {
				return 0, 0, &PatternError{whole, offset + i, "} without {"}
			}
			open = stack[len(stack)-1]
			if stack = stack[:len(stack)-1]; len(stack) == 0 && dotted {
				return open, i, nil
			}
		case '.':
			if i+1 < len(text) && text[i+1] == '.' {
				i++ // a range
			} else if len(stack) > 0 {
				dotted = true
			}
		}
	}
	if len(stack) > 0 {
		return 0, 0, &PatternError{whole, offset + stack[0], "{ is not closed"}
	}
	return -1, 0, nil
}

// splitTop splits at the commas outside inner braces.
func splitTop(text string) (parts []string) {
	depth, start := 0, 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '{':
			depth++
		case '}':
			depth--
		case ',':
			if depth == 0 {
				parts, start = append(parts, text[start:i]), i+1
			}
		}
	}
	return append(parts, text[start:])
}
