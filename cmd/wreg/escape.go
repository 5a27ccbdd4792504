package main

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// escape makes text from a file safe to print on one line: control characters,
// invisible and direction-changing ones, invalid UTF-8 and the backslash itself
// become backslash escapes, so that two different names never print alike.
func escape(s string) string {
	if clean(s, false) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '\\':
			b.WriteString(`\\`)
		case r == utf8.RuneError && n == 1:
			b.WriteString(`\x` + hex2(s[i]))
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

// escapeLines is escape for talk: line breaks and backslashes stay.
func escapeLines(s string) string {
	if clean(s, true) {
		return s
	}
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		parts := strings.Split(l, `\`)
		for j := range parts {
			parts[j] = escape(parts[j])
		}
		lines[i] = strings.Join(parts, `\`)
	}
	return strings.Join(lines, "\n")
}

func clean(s string, talk bool) bool {
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 || !safe(r) && !(talk && r == '\n') || r == '\\' && !talk {
			return false
		}
		i += n
	}
	return true
}

// safe says that a rune shows as itself and moves nothing else about.
func safe(r rune) bool { return r == ' ' || unicode.IsGraphic(r) && !unicode.IsSpace(r) }

func hex2(b byte) string {
	const digits = "0123456789abcdef"
	return string([]byte{digits[b>>4], digits[b&15]})
}
