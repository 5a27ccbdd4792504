package pyjson

import (
	"bytes"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// Python writes the object as json.dump(indent=4) does, after what mlx_lm and
// transformers do to floats that are not finite: {"__float__": "Infinity"}.
func (o *Object) Python() ([]byte, error) { return appendPython(nil, o, "\n") }

func appendPython(dst []byte, v any, line string) (_ []byte, err error) {
	const indent = "    "
	switch v := v.(type) {
	case *Object:
		if len(v.keys) == 0 {
			return append(dst, "{}"...), nil
		}
		dst = append(dst, '{')
		for i, k := range v.keys {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendASCII(append(append(dst, line...), indent...), k), ": "...)
			if dst, err = appendPython(dst, v.values[k], line+indent); err != nil {
				return nil, err
			}
		}
		return append(append(dst, line...), '}'), nil
	case []any:
		if len(v) == 0 {
			return append(dst, "[]"...), nil
		}
		dst = append(dst, '[')
		for i, item := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			if dst, err = appendPython(append(append(dst, line...), indent...), item, line+indent); err != nil {
				return nil, err
			}
		}
		return append(append(dst, line...), ']'), nil
	case string:
		return appendASCII(dst, v), nil
	case Number:
		return appendNumber(dst, v, line)
	case int64:
		return strconv.AppendInt(dst, v, 10), nil
	case bool:
		return strconv.AppendBool(dst, v), nil
	case nil:
		return append(dst, "null"...), nil
	}
	return nil, fmt.Errorf("%T is not a JSON value", v)
}

// appendASCII writes a string with everything outside printable ASCII escaped.
func appendASCII(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && n == 1 && len(s) >= 3 && s[0] == 0xed { // a lone surrogate
			r, n = rune(s[0]&0xf)<<12|rune(s[1]&0x3f)<<6|rune(s[2]&0x3f), 3
		}
		s = s[n:]
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r == '\n':
			dst = append(dst, `\n`...)
		case r == '\r':
			dst = append(dst, `\r`...)
		case r == '\t':
			dst = append(dst, `\t`...)
		case r == '\f':
			dst = append(dst, `\f`...)
		case r == '\b':
			dst = append(dst, `\b`...)
		case ' ' <= r && r <= '~':
			dst = append(dst, byte(r))
		case r > 0xffff:
			hi, lo := utf16.EncodeRune(r)
			dst = fmt.Appendf(dst, `\u%04x\u%04x`, hi, lo)
		default:
			dst = fmt.Appendf(dst, `\u%04x`, r)
		}
	}
	return append(dst, '"')
}

// appendNumber writes an integer exactly and a float as Python's repr.
func appendNumber(dst []byte, n Number, line string) ([]byte, error) {
	if n.Whole() {
		i, ok := new(big.Int).SetString(string(n), 10)
		if !ok {
			return nil, fmt.Errorf("%q is not a number", n)
		}
		return i.Append(dst, 10), nil
	}
	f, tag := n.Float(), ""
	switch {
	case math.IsNaN(f):
		tag = "NaN"
	case math.IsInf(f, 1):
		tag = "Infinity"
	case math.IsInf(f, -1):
		tag = "-Infinity"
	}
	if tag != "" {
		tagged := New()
		tagged.Set("__float__", tag)
		return appendPython(dst, tagged, line)
	}
	// repr: the shortest digits that read back, as an exponent below 1e-4 and from
	// 1e16 on.
	if a := math.Abs(f); a != 0 && (a < 1e-4 || a >= 1e16) {
		return strconv.AppendFloat(dst, f, 'e', -1, 64), nil
	}
	at := len(dst)
	dst = strconv.AppendFloat(dst, f, 'f', -1, 64)
	if !bytes.Contains(dst[at:], []byte(".")) {
		dst = append(dst, ".0"...)
	}
	return dst, nil
}
