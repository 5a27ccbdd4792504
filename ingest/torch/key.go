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

// keyText writes a key as Python's str does, text as it is. Surrogates, which no
// UTF-8 has, are written \udXXX. What is longer than any path may be is cut, but
// stays too long.
func keyText(k any) string {
	switch k := k.(type) {
	case string:
		return plain(k[:min(len(k), maxPathBytes+1)])
	case int:
		return strconv.Itoa(k)
	case *big.Int:
		return k.String()
	case bool:
		if k {
			return "True"
		}
		return "False"
	case nil:
		return "None"
	case float64:
		return floatText(k)
	case []byte:
		return fmt.Sprintf("b%+q", k[:min(len(k), maxPathBytes)])
	case *pickle.Tuple:
		return tupleText(*k)
	}
	return "<" + globals.KindOf(k) + ">"
}

// floatText writes a float as Python's repr does: with an exponent below 1e-4 and
// from 1e16 on, else with a point.
func floatText(k float64) string {
	switch a := math.Abs(k); {
	case math.IsNaN(k):
		return "nan"
	case math.IsInf(k, 0):
		return strings.TrimPrefix(strings.ToLower(strconv.FormatFloat(k, 'g', -1, 64)), "+")
	case a >= 1e16 || a < 1e-4 && a > 0:
		return strconv.FormatFloat(k, 'e', -1, 64)
	}
	s := strconv.FormatFloat(k, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// tupleText writes a tuple of plain keys: (1, 'x'). One inside another is left
// out, as it may be inside itself.
func tupleText(t pickle.Tuple) string {
	var b strings.Builder
	b.WriteByte('(')
	for i, x := range t {
		if i > 0 {
			b.WriteString(", ")
		}
		switch x := x.(type) {
		case string:
			b.WriteString("'" + keyText(x) + "'")
		case *pickle.Tuple:
			b.WriteString("(…)")
		default:
			b.WriteString(keyText(x))
		}
		if b.Len() > maxPathBytes {
			break
		}
	}
	if len(t) == 1 {
		b.WriteByte(',')
	}
	b.WriteByte(')')
	return b.String()
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
		if s, ok := k.(string); ok {
			b.WriteString(strconv.Quote(s))
		} else {
			b.WriteString(keyText(k))
		}
		b.WriteByte(']')
	}
	return b.String()
}
