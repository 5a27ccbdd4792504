package tensor

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Limits of a pattern. Matching takes at most len(pattern) x len(path) steps, so
// these bound the time any pattern can take.
const (
	MaxPatternBytes = 1024 // of a pattern's text
	maxBranches     = 256  // a.b alternatives that braces may multiply out to
	maxNesting      = 8    // braces in braces
	maxConditions   = 64   // ways one template may match before rows are tested one by one
)

// Pattern is a dotted glob over paths. It matches at any segment boundary and
// must reach the end of the path: mlp.switch_mlp.* matches
// model.layers.7.mlp.switch_mlp.up_proj.weight.
//
//   - one segment, or part of one (up_*); as the last segment, one or more
//     **       any number of segments, none included
//     ?        one character
//     {a,b}    either; {q_proj,mlp.up_proj} may hold dots
//     {0..15}  a number, both ends included; {4..} and {..3} are open
//     {layer}  any number, as templates write it; {expert} and {n} too
//     ^        at the start: only from the root of the path
//     \        the next character stands for itself
type Pattern struct {
	text     string
	anchored bool
	branches [][]segment
}

// PatternError says what is wrong with a pattern, and where.
type PatternError struct {
	Text    string
	Offset  int // in bytes
	Message string
}

func (e *PatternError) Error() string {
	text := e.Text
	if len(text) > 80 {
		text = text[:80] + "…"
	}
	return fmt.Sprintf("pattern %q: %s", text, e.Message)
}

// ParsePattern reads a pattern; errors are *PatternError.
func ParsePattern(text string) (*Pattern, error) {
	if len(text) > MaxPatternBytes {
		return nil, &PatternError{text, MaxPatternBytes, fmt.Sprintf("%d bytes exceed the limit of %d", len(text), MaxPatternBytes)}
	}
	p := &Pattern{text: text}
	body, start := text, 0
	if strings.HasPrefix(body, "^") {
		p.anchored, body, start = true, body[1:], 1
	}
	texts, err := multiplyOut(text, body, start, nil)
	if err != nil {
		return nil, err
	}
	for _, t := range texts {
		segs, err := parseSegments(text, t, start, len(texts) == 1)
		if err != nil {
			return nil, err
		}
		p.branches = append(p.branches, segs)
	}
	return p, nil
}

// String is the pattern as it was written.
func (p *Pattern) String() string { return p.text }

// Root is the path that everything lies at or under that an anchored pattern
// matches: its leading segments without a wildcard. "" when there are none.
func (p *Pattern) Root() string {
	if !p.anchored || len(p.branches) != 1 {
		return ""
	}
	var root []string
	for _, s := range p.branches[0] {
		if s.kind != oneSegment || len(s.atoms) != 1 || s.atoms[0].kind != literal {
			break
		}
		root = append(root, s.atoms[0].text)
	}
	return strings.Join(root, ".")
}

// Ways is how many paths without braces around dots the pattern multiplies out to.
func (p *Pattern) Ways() int { return len(p.branches) }

// Match reports whether the pattern matches path.
func (p *Pattern) Match(path string) bool {
	for _, segs := range p.branches {
		if matchSegments(segs, p.anchored, path) {
			return true
		}
	}
	return false
}

// matchSegments runs the segments as a state machine over the path's segments:
// live[i] says that segs[:i] matched up to here.
func matchSegments(segs []segment, anchored bool, path string) bool {
	n := len(segs)
	var short [2][16]bool
	live, next := short[0][:], short[1][:]
	if n < len(live) {
		live, next = live[:n+1], next[:n+1]
	} else {
		live, next = make([]bool, n+1), make([]bool, n+1)
	}
	live[0] = true
	closeOver(segs, live)
	for rest, more := path, true; more; {
		var text string
		text, rest, more = strings.Cut(rest, ".")
		clear(next)
		if !anchored && more { // may start at the next boundary as well
			next[0] = true
		}
		for i := range n {
			if !live[i] {
				continue
			}
			switch s := &segs[i]; {
			case s.kind == anySegments:
				next[i] = true
			case s.kind == restSegments:
				next[i], next[i+1] = true, true
			case s.match(text):
				next[i+1] = true
			}
		}
		closeOver(segs, next)
		live, next = next, live
	}
	return live[n]
}

// closeOver lets ** match no segment.
func closeOver(segs []segment, live []bool) {
	for i := range segs {
		if live[i] && segs[i].kind == anySegments {
			live[i+1] = true
		}
	}
}

// Condition is what a pattern asks of one number of a template.
type Condition struct {
	Slot int // which placeholder, from 0
	seg  *segment
}

// Allows reports whether the number may be n.
func (c Condition) Allows(n int64) bool { return c.seg.match(strconv.FormatInt(n, 10)) }

// Range gives the condition as one range, both ends included, when it is one:
// {0..15} or a plain 7.
func (c Condition) Range() (lo, hi int64, ok bool) {
	if len(c.seg.atoms) != 1 {
		return 0, 0, false
	}
	switch a := c.seg.atoms[0]; a.kind {
	case digits:
		return a.lo, a.hi, true
	case literal:
		n, ok := number(a.text)
		return n, n, ok
	}
	return 0, 0, false
}

// TemplateMatch says which tensors of a template a pattern matches: all, none,
// or those whose numbers meet every condition of at least one alternative.
type TemplateMatch struct {
	all          bool
	alternatives [][]Condition
	pattern      *Pattern // set when there are too many alternatives to list
	template     string
}

// None reports that no tensor of the template matches.
func (m *TemplateMatch) None() bool {
	return !m.all && len(m.alternatives) == 0 && m.pattern == nil
}

// All reports that every tensor of the template matches.
func (m *TemplateMatch) All() bool { return m.all }

// Alternatives lists the conditions under which a tensor matches. ok is false
// when they are too many to list: Allows must then be asked for each row.
func (m *TemplateMatch) Alternatives() (alternatives [][]Condition, ok bool) {
	return m.alternatives, m.pattern == nil
}

// Allows reports whether the tensor with these numbers matches.
func (m *TemplateMatch) Allows(index []int64) bool {
	if m.all {
		return true
	}
	if m.pattern != nil {
		return m.pattern.Match(JoinPath(m.template, index))
	}
	return slices.ContainsFunc(m.alternatives, func(conditions []Condition) bool {
		return !slices.ContainsFunc(conditions, func(c Condition) bool {
			return c.Slot >= len(index) || !c.Allows(index[c.Slot])
		})
	})
}

// MatchTemplate matches the pattern against all tensors of a template at once.
// A query then tests a few dozen templates instead of a million paths.
func (p *Pattern) MatchTemplate(template string) *TemplateMatch {
	m := &TemplateMatch{}
	for _, segs := range p.branches {
		alternatives, ok := p.symbolic(segs, template)
		if !ok {
			return &TemplateMatch{pattern: p, template: template}
		}
		for _, a := range alternatives {
			if len(a) == 0 {
				return &TemplateMatch{all: true}
			}
			m.alternatives, ok = addAlternative(m.alternatives, a)
			if !ok {
				return &TemplateMatch{pattern: p, template: template}
			}
		}
	}
	return m
}

// symbolic is matchSegments with a list of alternatives in place of each bool.
func (p *Pattern) symbolic(segs []segment, template string) (_ [][]Condition, ok bool) {
	n, slot := len(segs), 0
	live, next := make([][][]Condition, n+1), make([][][]Condition, n+1)
	live[0] = [][]Condition{nil}
	ok = true
	add := func(to [][][]Condition, i int, alternatives [][]Condition, c ...Condition) {
		for _, a := range alternatives {
			var fits bool
			to[i], fits = addAlternative(to[i], append(slices.Clip(a), c...))
			ok = ok && fits
		}
	}
	closure := func(live [][][]Condition) {
		for i := range segs {
			if segs[i].kind == anySegments {
				add(live, i+1, live[i])
			}
		}
	}
	closure(live)
	for rest, more := template, true; more && ok; {
		var text string
		text, rest, more = strings.Cut(rest, ".")
		placeholder := isPlaceholder(text)
		clear(next)
		if !p.anchored && more {
			next[0] = [][]Condition{nil}
		}
		for i := range n {
			if len(live[i]) == 0 {
				continue
			}
			switch s := &segs[i]; {
			case s.kind == anySegments:
				add(next, i, live[i])
			case s.kind == restSegments:
				add(next, i, live[i])
				add(next, i+1, live[i])
			case placeholder && s.anyNumber():
				add(next, i+1, live[i])
			case placeholder && s.noNumber():
			case placeholder:
				add(next, i+1, live[i], Condition{slot, s})
			case s.match(text):
				add(next, i+1, live[i])
			}
		}
		closure(next)
		live, next = next, live
		if placeholder {
			slot++
		}
	}
	return live[n], ok
}

// addAlternative adds a to list unless it is there; an alternative without
// conditions makes the others needless. ok is false when the list is full.
func addAlternative(list [][]Condition, a []Condition) (_ [][]Condition, ok bool) {
	if len(list) == 1 && len(list[0]) == 0 {
		return list, true
	}
	if len(a) == 0 {
		return append(list[:0:0], nil), true
	}
	if slices.ContainsFunc(list, func(b []Condition) bool { return slices.Equal(a, b) }) {
		return list, true
	}
	if len(list) >= maxConditions {
		return list, false
	}
	return append(list, a), true
}
