package expr

import (
	"errors"
	"fmt"
	"strings"

	"github.com/alecthomas/participle/v2"
	"github.com/alecthomas/participle/v2/lexer"
)

// shownColumns bounds how much of a long line an error quotes.
const shownColumns = 100

// SyntaxError says where a text stops making sense.
type SyntaxError struct {
	File         string // may be empty
	Line, Column int    // from 1; columns count characters
	Text         string // the line it is on
	Message      string // "unexpected \"by\""
	Expected     string // what could have stood there; may be empty
}

// Error shows the place, the line, a caret under the column and what was
// expected.
func (e *SyntaxError) Error() string { return strings.Join(e.Lines(), "\n") }

// Lines are the lines of Error; a line break within one is a name's.
func (e *SyntaxError) Lines() []string {
	head := fmt.Sprintf("%d:%d: %s", e.Line, e.Column, e.Message)
	if e.File != "" {
		head = e.File + ":" + head
	}
	if e.Expected != "" {
		head += ", expected " + e.Expected
	}
	if e.Text == "" {
		return []string{head}
	}
	text, caret := window([]rune(e.Text), e.Column-1)
	return []string{head, "  " + text, "  " + strings.Repeat(" ", caret) + "^"}
}

// window cuts a long line around the column and gives the column's new place.
// Tabs become spaces so that the caret is in the right place.
func window(line []rune, column int) (string, int) {
	start := 0
	if len(line) > shownColumns && column > shownColumns/2 {
		start = min(column-shownColumns/2, len(line)-shownColumns/2)
	}
	end := min(len(line), start+shownColumns)
	text := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, string(line[start:end]))
	return text, max(0, column-start)
}

func newError(text string, at lexer.Position, message string) *SyntaxError {
	e := &SyntaxError{File: at.Filename, Line: max(at.Line, 1), Column: max(at.Column, 1), Message: message}
	for n, line := 1, text; ; n++ {
		head, rest, more := strings.Cut(line, "\n")
		if n == e.Line {
			e.Text = strings.TrimSuffix(head, "\r")
			return e
		}
		if !more {
			return e
		}
		line = rest
	}
}

// Explain turns an error of a participle parser that was given text into a
// *SyntaxError; a nil error stays nil. names says in words what a grammar's
// productions stand for, where expr does not know it: {"Pattern": "a pattern"}.
func Explain(err error, text string, names map[string]string) error {
	if syntax, ok := errors.AsType[*SyntaxError](err); ok {
		return syntax
	}
	where, ok := errors.AsType[participle.Error](err)
	if !ok {
		return err
	}
	e := newError(text, where.Position(), where.Message())
	if unexpected, ok := errors.AsType[*participle.UnexpectedTokenError](err); ok {
		e.Message = "unexpected " + describe(unexpected.Unexpected)
		message := where.Message()
		if _, expected, ok := strings.Cut(message, "(expected "); ok {
			e.Expected = inWords(strings.TrimSuffix(expected, ")"), names)
		} else {
			e.Expected = "an operator or the end"
		}
	}
	return e
}

// ErrorAt is a *SyntaxError for a fault that a grammar does not see.
func ErrorAt(text string, at lexer.Position, format string, args ...any) error {
	return newError(text, at, fmt.Sprintf(format, args...))
}

func describe(t lexer.Token) string {
	if t.EOF() {
		return "end"
	}
	return fmt.Sprintf("%q", t.Value)
}

// productions says in words what a grammar's names stand for.
var productions = map[string]string{
	"Expr": "an expression", "Chain": "an expression", "Term": "an expression", "Operand": "an expression",
	"Arg": "an expression", "Link": "an operator", "ident": "a name", "name": "a name", "number": "a number",
	"string": "a string", "glob": "a pattern", "regex": "/a regular expression/", "Subscript": "an index", "|": "or",
}

// inWords makes what participle expected readable: "<ident> | \"where\"". Of a
// sequence only the first is shown: Operand Subscript* is an expression.
func inWords(expected string, names map[string]string) string {
	var out []string
	for f := range strings.FieldsSeq(expected) {
		bare := strings.Trim(f, "<>()*+?!")
		word, known := names[bare]
		if !known {
			word, known = productions[bare]
		}
		if !known {
			word = bare
		}
		if n := len(out); n > 0 && f != "|" && out[n-1] != "or" {
			break // what follows the first of a sequence
		}
		out = append(out, word)
	}
	return strings.Join(out, " ")
}
