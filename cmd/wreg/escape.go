package main

import (
	"context"
	"errors"
	"slices"
	"strings"

	"wreg/view/words"
)

// escape makes text from a file safe to print on one line; escapeLine is escape for talk,
// whose own backslashes stay.
func escape(s string) string { return words.Inert(s) }

func escapeLine(s string) string { return words.Line(s) }

func clean(s string) bool { return words.Clean(s) }

func safe(r rune) bool { return words.Safe(r) }

func commands(s string, i int) bool { return words.Commands(s, i) }

// escapeLines is escapeLine for text whose line breaks are its own.
func escapeLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = escapeLine(l)
	}
	return strings.Join(lines, "\n")
}

// errorText is an error as it is printed. Lines end where errors are joined and
// where an error has Lines; a line break anywhere else was in a name. Workers that
// only stopped because of another's error say nothing beside it.
func errorText(err error) string {
	var causes []error
	joined := false
	switch e := err.(type) {
	case interface{ Lines() []string }:
		lines := e.Lines()
		for i, l := range lines {
			lines[i] = escapeLine(l)
		}
		return strings.Join(lines, "\n")
	case interface{ Unwrap() []error }:
		causes = e.Unwrap()
		texts := make([]string, len(causes))
		for i, c := range causes {
			texts[i] = c.Error()
		}
		joined = err.Error() == strings.Join(texts, "\n")
	case interface{ Unwrap() error }:
		if c := e.Unwrap(); c != nil {
			causes = []error{c}
		}
	}
	if joined {
		var texts []string
		for _, c := range causes {
			if t := errorText(c); !errors.Is(c, context.Canceled) {
				texts = append(texts, t)
			}
		}
		if texts == nil {
			return errorText(causes[0])
		}
		return strings.Join(texts, "\n")
	}
	// What wraps an error puts it last, so a name before it that holds the same text
	// is not taken for it.
	head, tail := err.Error(), ""
	for _, c := range slices.Backward(causes) {
		if at := strings.LastIndex(head, c.Error()); at >= 0 {
			tail = errorText(c) + escapeLine(head[at+len(c.Error()):]) + tail
			head = head[:at]
		}
	}
	return escapeLine(head) + tail
}
