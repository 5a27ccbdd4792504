package pickle

import (
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"unicode/utf8"
)

// maxLong bounds integers, in bytes: no size of a tensor needs more than eight,
// random states and hashes a few dozen. The machine behind is quadratic in it.
const maxLong = 64

// validText reports whether b is UTF-8, lone surrogates let through as Python's
// surrogatepass does: torch writes them for keys that hold them.
func validText(b []byte) bool {
	for len(b) > 0 {
		if b[0] < utf8.RuneSelf {
			b = b[1:]
			continue
		}
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n <= 1 {
			if !isSurrogate(b) {
				return false
			}
			n = 3
		}
		b = b[n:]
	}
	return true
}

// isSurrogate reports that b begins with a surrogate in three bytes.
func isSurrogate(b []byte) bool {
	return len(b) >= 3 && b[0] == 0xed && b[1] >= 0xa0 && b[1] <= 0xbf && b[2] >= 0x80 && b[2] <= 0xbf
}

// appendRune is utf8.AppendRune with surrogates in three bytes.
func appendRune(b []byte, r rune) []byte {
	if r >= 0xd800 && r <= 0xdfff {
		return append(b, 0xe0|byte(r>>12), 0x80|byte(r>>6)&0x3f, 0x80|byte(r)&0x3f)
	}
	return utf8.AppendRune(b, r)
}

// unquote reads the argument of STRING: a Python 2 string literal.
func unquote(s []byte) ([]byte, error) {
	if len(s) < 2 || s[0] != s[len(s)-1] || s[0] != '\'' && s[0] != '"' {
		return nil, errors.New("a string without its quotes")
	}
	s = s[1 : len(s)-1]
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			out = append(out, s[i])
			continue
		}
		if i++; i >= len(s) {
			return nil, errors.New("a string that ends in a backslash")
		}
		switch c := s[i]; c {
		case '\\', '\'', '"':
			out = append(out, c)
		case 'a', 'b', 'f', 'n', 'r', 't', 'v':
			out = append(out, map[byte]byte{'a': 7, 'b': 8, 'f': 12, 'n': 10, 'r': 13, 't': 9, 'v': 11}[c])
		case 'x':
			v, err := strconv.ParseUint(string(s[min(i+1, len(s)):min(i+3, len(s))]), 16, 8)
			if err != nil || i+2 >= len(s) {
				return nil, errors.New(`a string with a bad \x escape`)
			}
			out = append(out, byte(v))
			i += 2
		case '0', '1', '2', '3', '4', '5', '6', '7':
			v, n := 0, 0
			for ; n < 3 && i+n < len(s) && s[i+n] >= '0' && s[i+n] <= '7'; n++ {
				v = v*8 + int(s[i+n]-'0')
			}
			out = append(out, byte(v))
			i += n - 1
		default:
			out = append(out, '\\', c)
		}
	}
	return out, nil
}

// rawUnicode reads the argument of UNICODE: Latin-1 with \u and \U escapes.
func rawUnicode(s []byte) ([]byte, error) {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		digits := 0
		if s[i] == '\\' && i+1 < len(s) {
			digits = map[byte]int{'u': 4, 'U': 8}[s[i+1]]
		}
		if digits == 0 {
			out = appendRune(out, rune(s[i]))
			continue
		}
		if i+2+digits > len(s) {
			return nil, errors.New(`text with a short \u escape`)
		}
		v, err := strconv.ParseUint(string(s[i+2:i+2+digits]), 16, 32)
		if err != nil || v > utf8.MaxRune {
			return nil, errors.New(`text with a bad \u escape`)
		}
		out = appendRune(out, rune(v))
		i += 1 + digits
	}
	return out, nil
}

// decimal reads the argument of INT and LONG.
func decimal(s []byte) (*big.Int, error) {
	digits := s
	if len(s) > 0 && (s[0] == '-' || s[0] == '+') {
		digits = s[1:]
	}
	if len(digits) == 0 || len(digits) > maxLong*2 {
		return nil, fmt.Errorf("a number of %d digits", len(digits))
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return nil, errors.New("a number with something other than digits")
		}
	}
	v, ok := new(big.Int).SetString(string(s), 10)
	if !ok {
		return nil, errors.New("not a number")
	}
	return v, nil
}

// twosComplement is the little-endian argument of LONG1 that stands for v.
func twosComplement(v *big.Int) []byte {
	n := v.BitLen()/8 + 1 // one bit more than the magnitude, for the sign
	if v.Sign() < 0 {
		v = new(big.Int).Add(v, new(big.Int).Lsh(big.NewInt(1), uint(8*n)))
	}
	be := v.FillBytes(make([]byte, n))
	for i, j := 0, n-1; i < j; i, j = i+1, j-1 {
		be[i], be[j] = be[j], be[i]
	}
	return be
}
