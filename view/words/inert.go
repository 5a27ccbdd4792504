package words

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Inert makes text from a file safe to show on one line: control characters,
// invisible and direction-changing ones, invalid UTF-8 and the backslash itself
// become backslash escapes, so that two different names never print alike; so does
// the first character of what a runner of continuous integration would obey.
func Inert(s string) string { return escaped(bounded(s, maxData), true) }

// Line is Inert for talk, whose own backslashes stay.
func Line(s string) string { return escaped(bounded(s, maxLine), false) }

// What a file or a server has written is shown as far as it is of use. A name has 8 KiB at
// most, and is never cut where it is data.
const (
	maxData = 16 << 10
	maxLine = 4 << 10
)

// bounded takes the middle out of what is too long to be read.
func bounded(s string, most int) string {
	if len(s) <= most {
		return s
	}
	head, tail := s[:most/2], s[len(s)-most/2:]
	for len(head) > 0 && !utf8.RuneStart(s[len(head)]) {
		head = head[:len(head)-1]
	}
	for len(tail) > 0 && !utf8.RuneStart(tail[0]) {
		tail = tail[1:]
	}
	return fmt.Sprintf("%s…(%s bytes left out)…%s", head, Number(int64(len(s)-len(head)-len(tail))), tail)
}

func escaped(s string, backslash bool) string {
	if Clean(s) && !(backslash && strings.Contains(s, `\`)) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '\\' && backslash:
			b.WriteString(`\\`)
		case r == utf8.RuneError && n == 1 || Commands(s, i):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case Safe(r):
			b.WriteRune(r)
		default:
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
		}
		i += n
	}
	return b.String()
}

// Clean says that text shows as it is.
func Clean(s string) bool {
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 || !Safe(r) || Commands(s, i) {
			return false
		}
		i += n
	}
	return true
}

// Commands says that what GitHub's runner takes for a command begins at s[i]:
// "::" after nothing but spaces, "##[" anywhere.
func Commands(s string, i int) bool {
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

// Safe says that a rune shows as itself and moves nothing else about.
func Safe(r rune) bool {
	if r < utf8.RuneSelf {
		return r >= ' ' && r < 0x7f
	}
	return unicode.IsGraphic(r) && !unicode.IsSpace(r) && !unicode.In(r, unseen...)
}
