package fold

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"wreg/registry/tensor"
)

// maxFoldedWords is how many words one pair of braces lists: more is no line that
// a person reads.
const maxFoldedWords = 12

// maxWordSteps is how many bytes of paths and numbers are looked at, once for each
// segment of each line, to find lines that differ in a word. More lines than that
// nobody reads, folded or not: 60,000 of a large model's tensors, one on each line,
// take most of it.
const maxWordSteps = 1 << 25

// mergeWords puts lines together that differ in one segment of the path, and in
// that word in their texts: {down,gate,up}_proj.
func mergeWords(lines []line) []line {
	most, steps := 0, 0
	for i := range lines {
		l := &lines[i]
		most = max(most, len(l.segments))
		if steps += len(l.segments) * l.width(); steps > maxWordSteps {
			return lines
		}
	}
	for back := 1; back <= most; back++ {
		groups := map[string][]int{} // places of lines that differ in this segment alone
		keys, place := make([]string, len(lines)), make([]int, len(lines))
		for i, l := range lines {
			if at := len(l.segments) - back; at >= 0 && PlainWord(l.segments[at]) {
				keys[i] = l.keyWithout(at)
				place[i] = len(groups[keys[i]])
				groups[keys[i]] = append(groups[keys[i]], i)
			}
		}
		kept := make([]line, 0, len(lines))
		for i, l := range lines {
			members := groups[keys[i]]
			if place[i]%maxFoldedWords != 0 {
				continue // on an earlier line
			}
			if len(members) > place[i]+1 {
				l = l.merged(len(l.segments)-back, lines, members[place[i]:min(len(members), place[i]+maxFoldedWords)])
			}
			kept = append(kept, l)
		}
		lines = kept
	}
	return lines
}

// width is how much of the line keyWithout looks at.
func (l *line) width() (n int) {
	for _, segment := range l.segments {
		n += len(segment) + 1
	}
	for _, set := range l.numbers {
		n += len(set)
	}
	return n
}

// PlainWord says that braces and commas around the segment are not its own.
func PlainWord(segment string) bool {
	return segment != "" && !strings.ContainsFunc(segment, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' && r != '-'
	})
}

// replaceWord replaces word in a text where nothing continues it.
func replaceWord(text, word, with string) string {
	joins := func(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) }
	var b strings.Builder
	for last := rune(0); ; {
		i := strings.Index(text, word)
		if i < 0 {
			break
		}
		if i > 0 {
			last, _ = utf8.DecodeLastRuneInString(text[:i])
		}
		next, _ := utf8.DecodeRuneInString(text[i+len(word):])
		b.WriteString(text[:i])
		if joins(last) || joins(next) {
			b.WriteString(word)
		} else {
			b.WriteString(with)
		}
		last, _ = utf8.DecodeLastRuneInString(word)
		text = text[i+len(word):]
	}
	return b.String() + text
}

// keyWithout is the same for lines that differ in nothing but segment at.
func (l *line) keyWithout(at int) string {
	word := l.segments[at]
	key := fmt.Sprint(strings.Join(l.segments[:at], "."), "\x00", strings.Join(l.segments[at+1:], "."), l.numbers)
	for i, c := range l.cells {
		if text, ok := c.(string); ok && l.prose[i] {
			c = replaceWord(text, word, "\x01")
		} else if l.soft[i] {
			c = nil
		}
		key += fmt.Sprint("\x00", c)
	}
	return key
}

// merged is l, the first of the members, standing for all of them.
func (l line) merged(at int, lines []line, members []int) line {
	var words []string
	for _, m := range members {
		if w := lines[m].segments[at]; !slices.Contains(words, w) {
			words = append(words, w)
		}
	}
	folded := foldWords(words)
	out := l
	out.segments = slices.Clone(l.segments)
	out.segments[at] = folded
	out.cells = slices.Clone(l.cells)
	for i, c := range out.cells {
		switch v := c.(type) {
		case string:
			if l.prose[i] {
				out.cells[i] = replaceWord(v, words[0], folded)
			}
		case tensor.Shape:
			var texts []string
			for _, m := range members {
				if t := fmt.Sprint(lines[m].cells[i]); !slices.Contains(texts, t) {
					texts = append(texts, t)
				}
			}
			if len(texts) > 1 {
				out.cells[i] = strings.Join(texts, " or ")
			}
		}
	}
	for _, m := range members[1:] {
		out.count += lines[m].count
		out.bytes += lines[m].bytes
	}
	return out
}

// foldWords writes down_proj and up_proj as {down,up}_proj.
func foldWords(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	tail := words[0]
	for _, w := range words[1:] {
		for !strings.HasSuffix(w, tail) {
			tail = tail[1:]
		}
	}
	if i := strings.IndexAny(tail, "_-"); i >= 0 {
		tail = tail[i:]
	} else {
		tail = ""
	}
	heads := make([]string, len(words))
	for i, w := range words {
		heads[i] = strings.TrimSuffix(w, tail)
	}
	return "{" + strings.Join(heads, ",") + "}" + tail
}
