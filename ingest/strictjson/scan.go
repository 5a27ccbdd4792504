// Package strictjson scans JSON written by nobody in particular: token by token,
// without recursion, mending nothing.
//
// encoding/json is not used for headers and indexes because it keeps the last of
// two equal keys, folds the case of field names, replaces broken escapes and turns
// integers into floats; and because the header of 100,000 tensors must be read in
// tens of milliseconds.
//
// Most users need a [Scanner], which they drive: Object with what reads each value, or
// Take('['), then More(']', first) before each item; and one of Str, Integer or Skip.
//
// Invariants: Text must be known to be UTF-8 ([Check] says so); strings without escapes
// share Text's memory; numbers are plain integers from 0 up.
package strictjson

import (
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"wreg/ingest/interrupt"
	"wreg/registry/pyjson"
)

// Scanner reads JSON tokens of Text from Pos on.
type Scanner struct {
	Text string
	Pos  int

	// Unusual says that a string was read with an escape, or a byte over '~' in it.
	Unusual bool

	// Steps are the items that More stepped to: it fails once their context is done.
	Steps interrupt.Steps
}

// Error is a token that is not what was wanted, or text that is not UTF-8.
type Error struct {
	Pos     int // in Text
	Message string
}

func (e *Error) Error() string { return fmt.Sprintf("offset %d: %s", e.Pos, e.Message) }

// Fail is an Error at Pos.
func (s *Scanner) Fail(format string, args ...any) error {
	return &Error{s.Pos, fmt.Sprintf(format, args...)}
}

// Space passes over white space.
func (s *Scanner) Space() {
	for s.Pos < len(s.Text) {
		switch s.Text[s.Pos] {
		case ' ', '\n', '\r', '\t':
			s.Pos++
		default:
			return
		}
	}
}

// Peek is the next byte that is not space, 0 at the end.
func (s *Scanner) Peek() byte {
	s.Space()
	if s.Pos == len(s.Text) {
		return 0
	}
	return s.Text[s.Pos]
}

// Take consumes c, skipping space before it.
func (s *Scanner) Take(c byte) error {
	if s.Pos < len(s.Text) && s.Text[s.Pos] == c { // no space: nearly always
		s.Pos++
		return nil
	}
	if s.Peek() != c || s.Pos == len(s.Text) {
		return s.Fail("want %q, have %s", c, s.Here())
	}
	s.Pos++
	return nil
}

// Here quotes the text at the position.
func (s *Scanner) Here() string {
	rest := s.Text[s.Pos:]
	if rest == "" {
		return "the end"
	}
	if len(rest) > 20 {
		rest = strings.ToValidUTF8(rest[:20], "")
	}
	return fmt.Sprintf("%q", rest)
}

// More steps to the next item of an object or array: it takes a comma and says
// yes, or takes end and says no. first is true before the first item.
func (s *Scanner) More(end byte, first bool) (bool, error) {
	if err := s.Steps.Next(); err != nil {
		return false, err
	}
	switch c := s.Peek(); {
	case c == end && s.Pos < len(s.Text):
		s.Pos++
		return false, nil
	case first:
		return true, nil
	case c == ',':
		s.Pos++
		return true, nil
	}
	return false, s.Fail("want ',' or %q, have %s", end, s.Here())
}

// Key reads a string and the colon after it.
func (s *Scanner) Key() (string, error) {
	k, err := s.Str()
	if err != nil {
		return "", err
	}
	return k, s.Take(':')
}

// Object reads an object: value reads what stands behind each key.
func (s *Scanner) Object(value func(key string) error) error {
	if err := s.Take('{'); err != nil {
		return err
	}
	for first := true; ; first = false {
		more, err := s.More('}', first)
		if err != nil || !more {
			return err
		}
		key, err := s.Key()
		if err == nil {
			err = value(key)
		}
		if err != nil {
			return err
		}
	}
}

// Str reads a string. Without escapes it is a part of text, not a copy.
func (s *Scanner) Str() (string, error) {
	if err := s.Take('"'); err != nil {
		return "", err
	}
	rest := s.Text[s.Pos:]
	for i := 0; i < len(rest); i++ {
		if !special[rest[i]] {
			continue
		}
		switch c := rest[i]; c {
		case '"':
			s.Pos += i + 1
			return rest[:i], nil
		case '\\':
			return s.escaped(i)
		default:
			if c >= 0x7f {
				s.Unusual = true
				continue
			}
			s.Pos += i
			return "", s.Fail("control character %#02x in a string", c)
		}
	}
	s.Pos--
	return "", s.Fail("string without end")
}

// special are the bytes that a string does not hold as they are, and the unusual.
var special = func() (t [256]bool) {
	for c := range ' ' {
		t[c] = true
	}
	for c := 0x7f; c < len(t); c++ {
		t[c] = true
	}
	t['"'], t['\\'] = true, true
	return t
}()

// escaped reads the rest of a string whose first escape is i bytes on.
func (s *Scanner) escaped(i int) (string, error) {
	s.Unusual = true
	b := []byte(s.Text[s.Pos : s.Pos+i])
	s.Pos += i
	for s.Pos < len(s.Text) {
		c := s.Text[s.Pos]
		switch {
		case c == '"':
			s.Pos++
			return string(b), nil
		case c < ' ':
			return "", s.Fail("control character %#02x in a string", c)
		case c != '\\':
			b = append(b, c)
			s.Pos++
		default:
			var err error
			if b, err = s.escape(b); err != nil {
				return "", err
			}
		}
	}
	return "", s.Fail("string without end")
}

func (s *Scanner) escape(b []byte) ([]byte, error) {
	r, n := pyjson.Escape(s.Text, s.Pos)
	switch {
	case s.Pos+1 == len(s.Text):
		return nil, s.Fail("string without end")
	case n == 0:
		return nil, s.Fail("bad escape %s", s.Here())
	case utf16.IsSurrogate(r):
		return nil, s.Fail("lone surrogate %s", s.Here())
	}
	s.Pos += n
	return utf8.AppendRune(b, r), nil
}

// Integer reads a plain non-negative integer that fits int64: no sign, fraction,
// exponent or leading zero.
func (s *Scanner) Integer() (int64, error) {
	s.Space()
	start := s.Pos
	var n int64
	i := start
	for ; i < len(s.Text) && '0' <= s.Text[i] && s.Text[i] <= '9'; i++ {
		d := int64(s.Text[i] - '0')
		if i-start >= 18 && n > (1<<63-1-d)/10 {
			return 0, s.Fail("number %s overflows 64 bits", s.Here())
		}
		n = n*10 + d
	}
	switch {
	case i == start:
		return 0, s.Fail("want a plain integer from 0 up, have %s", s.Here())
	case s.Text[start] == '0' && i > start+1:
		return 0, s.Fail("number %s has a leading zero", s.Here())
	case i < len(s.Text) && strings.IndexByte(".eE", s.Text[i]) >= 0:
		return 0, s.Fail("want a plain integer, have %s", s.Here())
	}
	s.Pos = i
	return n, nil
}

// End fails unless only white space is left.
func (s *Scanner) End() error {
	if s.Space(); s.Pos < len(s.Text) {
		return s.Fail("text goes on after its end: %s", s.Here())
	}
	return nil
}

// Check fails at the first byte of text that is not UTF-8.
func Check(text string) error {
	if utf8.ValidString(text) {
		return nil
	}
	for i, r := range text {
		if _, n := utf8.DecodeRuneInString(text[i:]); r == utf8.RuneError && n == 1 {
			return &Error{i, fmt.Sprintf("byte %#02x is not UTF-8", text[i])}
		}
	}
	return nil
}
