package strictjson

import (
	"strings"
)

// maxDepth bounds the nesting of a value that is skipped.
const maxDepth = 64

// Skip passes over one value of any kind.
func (s *Scanner) Skip() error {
	var open []byte // the closers that are awaited
	for {
		switch c := s.Peek(); c {
		case '{', '[':
			if len(open) == maxDepth {
				return s.Fail("values nest deeper than %d", maxDepth)
			}
			s.Pos++
			open = append(open, c+2) // '{'+2 is '}', '['+2 is ']'
			if s.Peek() == c+2 {
				break
			}
			if c == '{' {
				if _, err := s.Key(); err != nil {
					return err
				}
			}
			continue
		case '"':
			if _, err := s.Str(); err != nil {
				return err
			}
		default:
			if err := s.literal(); err != nil {
				return err
			}
		}
		for {
			if len(open) == 0 {
				return nil
			}
			end := open[len(open)-1]
			more, err := s.More(end, false)
			if err != nil {
				return err
			}
			if !more {
				open = open[:len(open)-1]
				continue
			}
			if end == '}' {
				if _, err := s.Key(); err != nil {
					return err
				}
			}
			break
		}
	}
}

// literal passes over a number, true, false or null.
func (s *Scanner) literal() error {
	rest := s.Text[s.Pos:]
	for _, word := range []string{"true", "false", "null"} {
		if strings.HasPrefix(rest, word) {
			s.Pos += len(word)
			return nil
		}
	}
	i := 0
	digits := func() int {
		from := i
		for i < len(rest) && '0' <= rest[i] && rest[i] <= '9' {
			i++
		}
		return i - from
	}
	at := func(set string) bool { return i < len(rest) && strings.IndexByte(set, rest[i]) >= 0 }
	if at("-") {
		i++
	}
	start := i
	n := digits()
	ok := n == 1 || n > 1 && rest[start] != '0'
	if ok && at(".") {
		i++
		ok = digits() > 0
	}
	if ok && at("eE") {
		i++
		if at("+-") {
			i++
		}
		ok = digits() > 0
	}
	if !ok {
		return s.Fail("want a value, have %s", s.Here())
	}
	s.Pos += i
	return nil
}
