package torch

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"

	"wreg/ingest/torch/globals"
	"wreg/ingest/torch/pickle"
)

// identity is what makes two dict keys one. Python holds 1, 1.0 and True equal.
// Keys that Go cannot compare are told apart by where they are: a writer of dicts
// has made sure that they differ.
func identity(k any) any {
	switch k := k.(type) {
	case string, int, nil:
		return k
	case bool:
		if k {
			return 1
		}
		return 0
	case float64:
		if k == math.Trunc(k) && math.Abs(k) < 1<<53 {
			return int(k)
		}
		return k
	case []byte:
		if len(k) == 0 {
			return [1]byte{}
		}
		return &k[0]
	}
	return k // pointers
}

// written is the text of a key that is an object: ColorSpace('rgb'), torch.float32.
type written string

// numbered is a key that has no text, as a Parameter has none: its number in the dict.
type numbered struct {
	n    int
	kind string
}

// keyText writes a key as Python's str does, text as it is. Surrogates, which no
// UTF-8 has, are written \udXXX. What is longer than any path may be is cut, but
// stays too long.
func keyText(k any) string {
	switch k := k.(type) {
	case string:
		return plain(k[:min(len(k), maxPathBytes+1)])
	case int:
		return strconv.Itoa(k)
	case numbered:
		return strconv.Itoa(k.n)
	case written:
		return string(k)
	}
	var b strings.Builder
	if !repr(&b, k, 0) {
		return "<" + globals.KindOf(k) + ">"
	}
	return b.String()
}

// objectText is the text of a key that is not a plain value, if it has one.
func objectText(k any) (string, bool) {
	var b strings.Builder
	ok := repr(&b, k, 0)
	return b.String(), ok
}

// maxNested is how deep a key may be nested that has a text.
const maxNested = 8

// repr writes a key as Python's repr does, as far as that can be known: an object as its
// class and what it was given and set to. It fails for what has none: a tensor, a list,
// and whatever holds one.
func repr(b *strings.Builder, k any, depth int) bool {
	if depth > maxNested || b.Len() > maxPathBytes {
		return b.Len() > maxPathBytes // too long is an error of its own
	}
	switch k := k.(type) {
	case nil:
		b.WriteString("None")
	case bool:
		b.WriteString(map[bool]string{false: "False", true: "True"}[k])
	case int:
		b.WriteString(strconv.Itoa(k))
	case *big.Int:
		b.WriteString(k.String())
	case float64:
		b.WriteString(globals.FloatText(k, 64))
	case string:
		quote(b, k[:min(len(k), maxPathBytes+1)], false)
	case []byte:
		b.WriteByte('b')
		quote(b, string(k[:min(len(k), maxPathBytes+1)]), true)
	case *globals.Scalar:
		b.WriteString(plain(k.Text))
	case *pickle.Class:
		b.WriteString(k.String())
	case *pickle.Tuple:
		b.WriteByte('(')
		if !each(b, *k, depth) {
			return false
		}
		if len(*k) == 1 {
			b.WriteByte(',')
		}
		b.WriteByte(')')
	case *pickle.Object:
		return reprObject(b, k, depth)
	default:
		return false
	}
	return true
}

func each(b *strings.Builder, list []any, depth int) bool {
	for i, x := range list {
		if i > 0 {
			b.WriteString(", ")
		}
		if !repr(b, x, depth+1) {
			return false
		}
	}
	return true
}

func reprObject(b *strings.Builder, o *pickle.Object, depth int) bool {
	class, args := o.Class, o.Args
	if class.Name == "_reconstructor" && len(args) == 3 { // (class, base, what the base is made of)
		if c, ok := args[0].(*pickle.Class); ok {
			class, args = c, nil
		}
	}
	if o.Items != nil || o.Pairs != nil || len(o.State) > 1 {
		return false
	}
	b.WriteString(class.Name)
	b.WriteByte('(')
	if !each(b, args, depth) {
		return false
	}
	if len(o.State) == 1 {
		d, ok := o.State[0].(*pickle.Dict)
		if !ok {
			return false
		}
		for i, e := range *d {
			if i > 0 || len(args) > 0 {
				b.WriteString(", ")
			}
			name, ok := e.Key.(string)
			if !ok {
				return false
			}
			b.WriteString(plain(name[:min(len(name), maxPathBytes)]))
			b.WriteByte('=')
			if !repr(b, e.Value, depth+1) {
				return false
			}
		}
	}
	b.WriteByte(')')
	return true
}

// quote writes a text or bytes within another key.
func quote(b *strings.Builder, s string, bytes bool) {
	if !bytes {
		s = plain(s)
	}
	q := byte('\'')
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		q = '"'
	}
	b.WriteByte(q)
	for i := range len(s) {
		switch c := s[i]; {
		case c == q || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\r':
			b.WriteString(`\r`)
		case c == '\t':
			b.WriteString(`\t`)
		case c < ' ' || c == 0x7f || bytes && c >= 0x80:
			fmt.Fprintf(b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte(q)
}

// plain is s as UTF-8.
func plain(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r != utf8.RuneError || n > 1:
			b.WriteString(s[i : i+n])
		case i+2 < len(s) && s[i] == 0xed: // a surrogate, as pickles encode it
			fmt.Fprintf(&b, `\ud%x%02x`, s[i+1]>>2&0xf, s[i+1]<<6|s[i+2]&0x3f)
			n = 3
		default:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		}
		i += n
	}
	return b.String()
}

// join writes keys as a path: with dots between.
func join(keys []any) string {
	if len(keys) == 1 {
		return keyText(keys[0])
	}
	var b strings.Builder
	for i, k := range keys {
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(keyText(k))
	}
	return b.String()
}

// brackets writes keys so that they can be told apart and read back: ["a.b"][0].
func brackets(keys []any) string {
	var b strings.Builder
	for _, k := range keys {
		b.WriteByte('[')
		switch k := k.(type) {
		case string:
			b.WriteString(strconv.Quote(k))
		case numbered:
			fmt.Fprintf(&b, "<%s %d>", k.kind, k.n)
		default:
			b.WriteString(keyText(k))
		}
		b.WriteByte(']')
	}
	return b.String()
}
