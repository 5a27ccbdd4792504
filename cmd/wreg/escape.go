package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// escape makes text from a file safe to print on one line: control characters,
// invisible and direction-changing ones, invalid UTF-8 and the backslash itself
// become backslash escapes, so that two different names never print alike; so does
// the first character of what a runner of continuous integration would obey.
func escape(s string) string { return escaped(s, true) }

// escapeLine is escape for talk, whose own backslashes stay.
func escapeLine(s string) string { return escaped(s, false) }

// escapeLines is escapeLine for text whose line breaks are its own.
func escapeLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = escapeLine(l)
	}
	return strings.Join(lines, "\n")
}

func escaped(s string, backslash bool) string {
	if clean(s) && !(backslash && strings.Contains(s, `\`)) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '\\' && backslash:
			b.WriteString(`\\`)
		case r == utf8.RuneError && n == 1 || commands(s, i):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case safe(r):
			b.WriteRune(r)
		default:
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
		}
		i += n
	}
	return b.String()
}

// clean says that text shows as it is.
func clean(s string) bool {
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 || !safe(r) || commands(s, i) {
			return false
		}
		i += n
	}
	return true
}

// commands says that what GitHub's runner takes for a command begins at s[i]:
// "::" after nothing but spaces, "##[" anywhere.
func commands(s string, i int) bool {
	return s[i] == '#' && strings.HasPrefix(s[i:], "##[") ||
		s[i] == ':' && strings.HasPrefix(s[i:], "::") && strings.TrimLeft(s[:i], " ") == ""
}

// unseen are the graphic characters that show as nothing, change the look of the
// one before them, or look the same as other characters by Unicode's own word:
// default-ignorable ones, marks, conjoining Hangul, blanks, and those that
// normalization replaces. What only resembles another (Cyrillic а) is not here.
var unseen = []*unicode.RangeTable{
	unicode.M, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector,
	{
		R16: []unicode.Range16{
			{0x0374, 0x0374, 1}, {0x037e, 0x037e, 1}, {0x0387, 0x0387, 1}, {0x0958, 0x095f, 1}, {0x09dc, 0x09df, 1},
			{0x0a33, 0x0a36, 3}, {0x0a59, 0x0a5e, 1}, {0x0b5c, 0x0b5d, 1}, {0x0f43, 0x0f4d, 10}, {0x0f52, 0x0f5c, 5},
			{0x0f69, 0x0f69, 1}, {0x1100, 0x11ff, 1}, {0x1f71, 0x1f7d, 2}, {0x1fbb, 0x1fbe, 3}, {0x1fc9, 0x1fcb, 2},
			{0x1fd3, 0x1fdb, 8}, {0x1fe3, 0x1feb, 8}, {0x1fee, 0x1fef, 1}, {0x1ff9, 0x1ffd, 2}, {0x2126, 0x2126, 1},
			{0x212a, 0x212b, 1}, {0x2329, 0x232a, 1}, {0x2800, 0x2800, 1}, {0x2adc, 0x2adc, 1}, {0xa960, 0xa97f, 1},
			{0xd7b0, 0xd7ff, 1}, {0xf900, 0xfaff, 1}, {0xfb1d, 0xfb4e, 1},
		},
		R32: []unicode.Range32{{0x1d159, 0x1d164, 1}, {0x1d1bb, 0x1d1c0, 1}, {0x2f800, 0x2fa1f, 1}},
	},
}

// safe says that a rune shows as itself and moves nothing else about.
func safe(r rune) bool {
	if r < utf8.RuneSelf {
		return r >= ' ' && r < 0x7f
	}
	return unicode.IsGraphic(r) && !unicode.IsSpace(r) && !unicode.In(r, unseen...)
}

// errorText is an error as it is printed. Lines end where errors are joined and
// where an error has Lines; a line break anywhere else was in a name. Workers that
// only stopped because of another's error say nothing beside it.
func errorText(err error) string {
	var causes []error
	joined := false
	switch e := err.(type) {
	case interface{ Lines() []string }:
		lines := e.Lines()
		for i, l := range lines {
			lines[i] = escapeLine(l)
		}
		return strings.Join(lines, "\n")
	case interface{ Unwrap() []error }:
		causes = e.Unwrap()
		texts := make([]string, len(causes))
		for i, c := range causes {
			texts[i] = c.Error()
		}
		joined = err.Error() == strings.Join(texts, "\n")
	case interface{ Unwrap() error }:
		if c := e.Unwrap(); c != nil {
			causes = []error{c}
		}
	}
	if joined {
		var texts []string
		for _, c := range causes {
			if t := errorText(c); !errors.Is(c, context.Canceled) {
				texts = append(texts, t)
			}
		}
		if texts == nil {
			return errorText(causes[0])
		}
		return strings.Join(texts, "\n")
	}
	// What wraps an error puts it last, so a name before it that holds the same text
	// is not taken for it.
	head, tail := err.Error(), ""
	for _, c := range slices.Backward(causes) {
		if at := strings.LastIndex(head, c.Error()); at >= 0 {
			tail = errorText(c) + escapeLine(head[at+len(c.Error()):]) + tail
			head = head[:at]
		}
	}
	return escapeLine(head) + tail
}
