package words

import (
	"bytes"
	"encoding/json"
	"strings"
)

// Indented lays JSON out as json.Indent does, but makes no more than the first most bytes of
// it; whole says that this is all. What is not JSON stays as it is.
func Indented(data []byte, most int) (text string, whole bool) {
	var flat bytes.Buffer
	if json.Compact(&flat, data) != nil {
		return string(data[:min(most, len(data))]), len(data) <= most
	}
	var b strings.Builder
	depth, quoted, rest := 0, false, flat.Bytes()
	line := func() { b.WriteString("\n" + strings.Repeat("  ", depth)) }
	for i, c := range rest {
		empty := i > 0 && (rest[i-1] == '{' || rest[i-1] == '[')
		if b.Len() >= most {
			return b.String()[:most], false
		}
		switch {
		case quoted:
			b.WriteByte(c)
			quoted = c != '"' || escaping(rest[:i])
			continue
		case c == '}' || c == ']':
			if depth--; !empty {
				line()
			}
		case empty:
			line()
		}
		b.WriteByte(c)
		switch c {
		case '"':
			quoted = true
		case '{', '[':
			depth++
		case ',':
			line()
		case ':':
			b.WriteByte(' ')
		}
	}
	return b.String()[:min(most, b.Len())], b.Len() <= most
}

// escaping says that text ends in a backslash that is not one's own escape.
func escaping(text []byte) bool {
	return (len(text)-len(bytes.TrimRight(text, `\`)))%2 == 1
}
