package text

import (
	"strings"
	"unicode/utf8"

	"github.com/jedib0t/go-pretty/v6/text"
)

// Width is how many columns of a terminal s takes.
func Width(s string) int { return text.StringWidthWithoutEscSequences(s) }

// Break breaks s between words so that no line takes more than width columns, the lines
// after the first indented. What is in single quotes is typed as it is, and stays whole
// where a line can hold it; a word that no line can hold is cut, a path behind a segment.
func Break(s string, width, indent int) []string {
	if width <= 0 || Width(s) <= width {
		return []string{s}
	}
	if indent > width/2 {
		indent = 0
	}
	var lines []string
	line, margin := "", ""
	end := func() {
		lines = append(lines, margin+line)
		line, margin = "", strings.Repeat(" ", indent)
	}
	for _, w := range wordsOf(s, width-indent) {
		if line != "" && Width(margin)+Width(line)+1+Width(w) > width {
			end()
		}
		if line != "" {
			line += " "
		}
		line += w
		for Width(margin)+Width(line) > width {
			rest := line
			line = head(line, width-Width(margin))
			if at := strings.LastIndexAny(line, "./") + 1; at > len(line)/2 {
				line = line[:at]
			}
			rest = rest[len(line):]
			end()
			line = rest
		}
	}
	if line != "" {
		end()
	}
	return lines
}

// wordsOf splits s at spaces, but for quoted words that take at most most columns.
func wordsOf(s string, most int) (words []string) {
	for s = strings.TrimLeft(s, " "); s != ""; s = strings.TrimLeft(s, " ") {
		n := strings.IndexByte(s+" ", ' ')
		if quote := strings.IndexByte(s[:n], '\''); quote == 0 || quote > 0 && s[quote-1] == '(' {
			if end := strings.IndexByte(s[quote+1:], '\''); end >= 0 {
				end += quote + 1
				end += strings.IndexByte(s[end:]+" ", ' ')
				if Width(s[:end]) <= most {
					n = end
				}
			}
		}
		words = append(words, s[:n])
		s = s[n:]
	}
	return words
}

// head is the beginning of s that takes at most width columns, one character at least.
func head(s string, width int) string {
	at := 0
	for room := width; at < len(s); {
		r, n := utf8.DecodeRuneInString(s[at:])
		if room -= text.RuneWidth(r); room < 0 && at > 0 {
			break
		}
		at += n
	}
	return s[:at]
}

// Middle takes out of s what does not fit width columns; its end says more than its
// beginning.
func Middle(s string, width int) string {
	if Width(s) <= width || width < 3 {
		return s
	}
	end := Tail(s, (width+1)*3/5) // has the ellipsis
	return head(s, width-Width(end)) + end
}

// Tail is the end of s that takes at most width columns.
func Tail(s string, width int) string {
	if Width(s) <= width {
		return s
	}
	if width <= 0 {
		return ""
	}
	end := len(s)
	for room := width - 1; end > 0; {
		r, n := utf8.DecodeLastRuneInString(s[:end])
		if room -= text.RuneWidth(r); room < 0 {
			break
		}
		end -= n
	}
	return "…" + s[end:]
}
