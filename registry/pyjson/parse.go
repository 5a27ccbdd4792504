package pyjson

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Parse reads a file that holds one object.
func Parse(data []byte) (*Object, error) {
	p := parser{text: string(data), keep: true}
	v, err := p.file()
	if err != nil {
		return nil, err
	}
	o, ok := v.(*Object)
	if !ok {
		return nil, errors.New("want an object")
	}
	return o, nil
}

// Check reads a file of any size and says whether Python can: nothing is kept.
func Check(data []byte) error {
	p := parser{text: string(data)}
	_, err := p.file()
	return err
}

// Instead recognises what is often found in place of a file: what git leaves of a
// large one, or a page that a server sent. It is "" for anything else.
func Instead(data []byte) string {
	head := bytes.ToLower(bytes.TrimLeft(data[:min(len(data), 1024)], "\ufeff \t\r\n"))
	switch {
	case bytes.HasPrefix(head, []byte("version https://git-lfs.github.com/spec/")):
		return "a Git LFS pointer in place of the file; run git lfs pull"
	case bytes.HasPrefix(head, []byte("<!doctype")), bytes.HasPrefix(head, []byte("<html")), bytes.HasPrefix(head, []byte("<?xml")):
		return "a web page in place of the file; download it again, logged in where that is needed"
	}
	return ""
}

// Encoding recognises by its byte order mark a text that is not UTF-8, "" for any other.
func Encoding(head []byte) string {
	for _, mark := range []struct{ bytes, name string }{ // that of UTF-32 begins as UTF-16's
		{"\xff\xfe\x00\x00", "UTF-32"}, {"\x00\x00\xfe\xff", "UTF-32"}, {"\xff\xfe", "UTF-16"}, {"\xfe\xff", "UTF-16"},
	} {
		if bytes.HasPrefix(head, []byte(mark.bytes)) {
			return "is " + mark.name + ", by its byte order mark; save the file as UTF-8"
		}
	}
	return ""
}

type parser struct {
	text   string
	pos    int
	keep   bool // a tree is made; else the text is only looked at
	values int
}

func (p *parser) fail(format string, args ...any) error {
	return fmt.Errorf("offset %d: %s", p.pos, fmt.Sprintf(format, args...))
}

// file reads the whole text as one value.
func (p *parser) file() (any, error) {
	head := []byte(p.text[:min(len(p.text), 1024)])
	if what := Instead(head); what != "" {
		return nil, errors.New(what)
	}
	switch {
	case p.keep && len(p.text) > MaxBytes:
		return nil, fmt.Errorf("%d bytes exceed the limit of %d", len(p.text), MaxBytes)
	case strings.HasPrefix(p.text, "\ufeff"):
		return nil, errors.New("begins with a byte order mark (BOM), where Python's json stops; save the file as UTF-8 without one")
	case Encoding(head) != "":
		return nil, errors.New(Encoding(head))
	case !utf8.ValidString(p.text):
		for p.pos < len(p.text) {
			r, n := utf8.DecodeRuneInString(p.text[p.pos:])
			if r == utf8.RuneError && n == 1 {
				return nil, p.fail("byte %#02x is not UTF-8", p.text[p.pos])
			}
			p.pos += n
		}
	}
	v, err := p.value(0)
	if err != nil {
		return nil, err
	}
	if p.peek(); p.pos < len(p.text) {
		return nil, p.fail("something follows the value: %s", p.here())
	}
	return v, nil
}

// peek is the next byte that is not white space, 0 at the end.
func (p *parser) peek() byte {
	for p.pos < len(p.text) {
		switch c := p.text[p.pos]; c {
		case ' ', '\t', '\n', '\r':
			p.pos++
		default:
			return c
		}
	}
	return 0
}

// here quotes the text at the position.
func (p *parser) here() string {
	rest := p.text[p.pos:]
	if rest == "" {
		return "unexpected EOF"
	}
	return fmt.Sprintf("unexpected %q", strings.ToValidUTF8(rest[:min(len(rest), 20)], ""))
}

// take consumes c after white space.
func (p *parser) take(c byte) error {
	if p.peek() != c || p.pos == len(p.text) {
		return p.fail("want %q: %s", c, p.here())
	}
	p.pos++
	return nil
}

// words are the values that are names.
var words = []struct {
	text  string
	value any
}{
	{"null", nil}, {"true", true}, {"false", false},
	{"NaN", Number("NaN")}, {"Infinity", Number("Infinity")}, {"-Infinity", Number("-Infinity")},
}

func (p *parser) value(depth int) (any, error) {
	if p.values++; p.keep && p.values > maxValues {
		return nil, p.fail("more than %d values", maxValues)
	}
	c := p.peek()
	switch {
	case c == '{' || c == '[':
		if depth >= maxDepth {
			return nil, p.fail("nests deeper than %d", maxDepth)
		}
		if c == '{' {
			return p.object(depth)
		}
		return p.list(depth)
	case c == '"':
		return p.str()
	}
	for _, w := range words {
		if strings.HasPrefix(p.text[p.pos:], w.text) {
			p.pos += len(w.text)
			return w.value, nil
		}
	}
	return p.number()
}

// more steps to the next item of a list or object: it takes a comma and says yes,
// or takes end and says no.
func (p *parser) more(end byte, first bool) (bool, error) {
	switch c := p.peek(); {
	case c == end:
		p.pos++
		return false, nil
	case first:
		return true, nil
	case c == ',':
		p.pos++
		return true, nil
	}
	return false, p.fail("want ',' or %q: %s", end, p.here())
}

func (p *parser) object(depth int) (any, error) {
	p.pos++
	var o *Object
	if p.keep {
		o = New()
	}
	for first := true; ; first = false {
		more, err := p.more('}', first)
		if err != nil || !more {
			return o, err
		}
		if p.peek() != '"' {
			return nil, p.fail("want a key: %s", p.here())
		}
		key, err := p.str()
		if err != nil {
			return nil, err
		}
		if err := p.take(':'); err != nil {
			return nil, err
		}
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		if p.keep {
			o.Set(key.(string), v)
		}
	}
}

func (p *parser) list(depth int) (any, error) {
	p.pos++
	list := []any{}
	for first := true; ; first = false {
		more, err := p.more(']', first)
		if err != nil || !more {
			return list, err
		}
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		if p.keep {
			list = append(list, v)
		}
	}
}

// number reads -?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?; what follows is for others.
func (p *parser) number() (any, error) {
	start, i := p.pos, p.pos
	at := func(i int) byte {
		if i < len(p.text) {
			return p.text[i]
		}
		return 0
	}
	digits := func(i int) int {
		for c := at(i); '0' <= c && c <= '9'; c = at(i) {
			i++
		}
		return i
	}
	if at(i) == '-' {
		i++
	}
	switch whole := digits(i); {
	case whole == i:
		return nil, p.fail("want a value: %s", p.here())
	case at(i) == '0':
		i++
	case whole-i > maxDigits:
		return nil, p.fail("an integer of %d digits; Python reads at most %d", whole-i, maxDigits)
	default:
		i = whole
	}
	if at(i) == '.' {
		if end := digits(i + 1); end > i+1 {
			i = end
		}
	}
	if c := at(i); c == 'e' || c == 'E' {
		from := i + 1
		if s := at(from); s == '+' || s == '-' {
			from++
		}
		if end := digits(from); end > from {
			i = end
		}
	}
	p.pos = i
	return Number(p.text[start:i]), nil
}

func (p *parser) str() (any, error) {
	open := p.pos
	p.pos++
	start := p.pos
	var b []byte // with escapes: what was read of it
	for p.pos < len(p.text) {
		switch c := p.text[p.pos]; {
		case c == '"':
			rest := p.text[start:p.pos]
			p.pos++
			switch {
			case !p.keep:
				return "", nil
			case b == nil:
				return strings.Clone(rest), nil // not the whole file with it
			}
			return string(append(b, rest...)), nil
		case c < ' ':
			return nil, p.fail("control character %#02x in a string", c)
		case c == '\\':
			b = append(b, p.text[start:p.pos]...)
			var err error
			if b, err = p.escape(b); err != nil {
				return nil, err
			}
			start = p.pos
		default:
			p.pos++
		}
	}
	p.pos = open
	return nil, p.fail("string without end: unexpected EOF")
}

func (p *parser) escape(b []byte) ([]byte, error) {
	r, n := Escape(p.text, p.pos)
	if n == 0 {
		return nil, p.fail("bad escape: %s", p.here())
	}
	p.pos += n
	if utf16.IsSurrogate(r) {
		return append(b, 0xe0|byte(r>>12), 0x80|byte(r>>6&0x3f), 0x80|byte(r&0x3f)), nil
	}
	return utf8.AppendRune(b, r), nil
}

// Escape reads the escape at byte i of a JSON text: the character, or the lone
// surrogate, that it stands for, and its length, which is 0 when it is none.
func Escape(text string, i int) (r rune, n int) {
	if i+1 < len(text) {
		if at := strings.IndexByte(`"\/bfnrt`, text[i+1]); at >= 0 {
			return rune("\"\\/\b\f\n\r\t"[at]), 2
		}
	}
	r, ok := unit(text, i)
	if !ok {
		return 0, 0
	}
	low, _ := unit(text, i+6)
	if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
		return pair, 12
	}
	return r, 6
}

// unit reads the \uXXXX at i.
func unit(text string, i int) (r rune, ok bool) {
	if i+6 > len(text) || text[i] != '\\' || text[i+1] != 'u' {
		return 0, false
	}
	for _, c := range []byte(text[i+2 : i+6]) {
		switch {
		case '0' <= c && c <= '9':
			r = r<<4 | rune(c-'0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return r, true
}
