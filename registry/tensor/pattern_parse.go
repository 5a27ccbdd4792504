package tensor

import (
	"fmt"
	"strings"
)

// parseSegments reads the segments of one branch. offset is where text starts in
// whole; exact says that text stands there unchanged.
func parseSegments(whole, text string, offset int, exact bool) ([]segment, error) {
	p := &patternParser{whole: whole, text: text, offset: offset, exact: exact}
	var segs []segment
	for {
		start := p.pos
		atoms, err := p.atoms(".", 0)
		if err != nil {
			return nil, err
		}
		s := segment{atoms: atoms}
		switch raw := text[start:p.pos]; {
		case raw == "":
			return nil, p.fail(start, "an empty segment; write * for any")
		case raw == "**":
			s = segment{kind: anySegments}
		case raw == "*" && p.pos == len(text):
			s = segment{kind: restSegments}
		}
		segs = append(segs, s)
		if p.pos == len(text) {
			return segs, nil
		}
		p.pos++ // the dot
	}
}

type patternParser struct {
	whole, text string
	offset, pos int
	exact       bool
}

func (p *patternParser) fail(at int, format string, args ...any) error {
	if !p.exact {
		at = 0
	}
	return &PatternError{p.whole, p.offset + at, fmt.Sprintf(format, args...)}
}

// atoms reads up to one of the stop characters, or the end.
func (p *patternParser) atoms(stop string, depth int) (atoms []atom, err error) {
	var lit strings.Builder
	flush := func() {
		if lit.Len() > 0 {
			atoms = append(atoms, atom{kind: literal, text: lit.String()})
			lit.Reset()
		}
	}
	for p.pos < len(p.text) && !strings.ContainsRune(stop, rune(p.text[p.pos])) {
		switch c := p.text[p.pos]; c {
		case '*', '?':
			flush()
			kind := star
			if c == '?' {
				kind = anyChar
			}
			if kind != star || len(atoms) == 0 || atoms[len(atoms)-1].kind != star {
				atoms = append(atoms, atom{kind: kind})
			}
		case '{':
			flush()
			a, err := p.braces(depth + 1)
			if err != nil {
				return nil, err
			}
			atoms = append(atoms, a)
			continue
		case '^':
			return nil, p.fail(p.pos, "^ is allowed only at the start")
		case '\\':
			if p.pos++; p.pos == len(p.text) {
				return nil, p.fail(p.pos-1, `nothing follows \`)
			}
			lit.WriteByte(p.text[p.pos])
		default:
			lit.WriteByte(c)
		}
		p.pos++
	}
	flush()
	return atoms, nil
}

// braces reads {a,b}, {0..15}, {0..3,8} or {layer}; pos is at the brace.
func (p *patternParser) braces(depth int) (atom, error) {
	open := p.pos
	p.pos++
	a := atom{kind: branches}
	for {
		start := p.pos
		end := strings.IndexAny(p.text[start:], ",}{")
		if end < 0 {
			return a, p.fail(open, "{ is not closed")
		}
		if lo, hi, isRange := strings.Cut(p.text[start:start+end], ".."); isRange && p.text[start+end] != '{' {
			r, err := p.numbers(start, lo, hi)
			if err != nil {
				return a, err
			}
			a.either = append(a.either, []atom{r})
			p.pos = start + end
		} else {
			branch, err := p.atoms(",}", depth)
			if err != nil {
				return a, err
			}
			a.either = append(a.either, branch)
		}
		if p.pos == len(p.text) {
			return a, p.fail(open, "{ is not closed")
		}
		p.pos++
		if p.text[p.pos-1] == '}' {
			break
		}
	}
	if isPlaceholder(p.text[open:p.pos]) {
		return atom{kind: digits, hi: maxNumber}, nil
	}
	if len(a.either) == 1 && len(a.either[0]) == 1 {
		return a.either[0][0], nil
	}
	return a, nil
}

func (p *patternParser) numbers(at int, lo, hi string) (atom, error) {
	a := atom{kind: digits, hi: maxNumber}
	ok := true
	if lo != "" {
		a.lo, ok = number(lo)
	}
	if hi != "" && ok {
		a.hi, ok = number(hi)
	}
	switch {
	case !ok || lo == "" && hi == "":
		return a, p.fail(at, "{%s..%s}: want numbers, as in {0..15}", lo, hi)
	case a.lo > a.hi:
		return a, p.fail(at, "{%s..%s} is empty: %d is above %d", lo, hi, a.lo, a.hi)
	}
	return a, nil
}
