package lang

import (
	"errors"
	"slices"
	"strings"

	"wreg/query/rows"
	"wreg/registry/expr"
)

// Part is what a piece of a query is, for whoever shows it.
type Part uint8

// The parts that are shown apart. All else is Plain.
const (
	Plain Part = iota
	Keyword
	Literal // a number or quoted text
	Name    // a column or function
	Wrong   // not part of a query
)

// Span is a piece of a query's text: bytes From to To.
type Span struct {
	From, To int
	Part     Part
}

// Spans tells what the pieces of a query are, in order and without overlap. A query that is
// still being written is not wrong: what is wrong lies before its last word.
func Spans(text string) (spans []Span) {
	lexed := text
	var tokens []span
	for {
		list, err := lexTokens(lexed)
		if err == nil {
			tokens = list
			break
		}
		at := offsetOf(err, lexed)
		if at <= 0 || at >= len(lexed) {
			break
		}
		lexed = lexed[:at]
	}
	for i, t := range tokens {
		part := Plain
		low := strings.ToLower(t.text)
		switch {
		case i == 0 && slices.Contains(VerbNames(), low), t.clause, slices.Contains([]string{"by", "asc", "desc", "and", "or", "not", "in", "not in", "if", "else", "null", "true", "false"}, low) && !t.bare:
			part = Keyword
		case i == 0 && t.to < len(text):
			part = Wrong
		case t.literal:
			part = Literal
		case t.name && (slices.Contains(rows.ColumnNames(true), low) || slices.Contains(FunctionNames(), low)):
			part = Name
		}
		if part != Plain {
			spans = append(spans, Span{t.from, t.to, part})
		}
	}
	if len(lexed) < len(text) {
		return append(spans, Span{len(lexed), len(text), Wrong})
	}
	_, err := Parse(text)
	if at := offsetOf(err, text); at >= 0 {
		end := at
		for end < len(text) && text[end] != ' ' {
			end++
		}
		if end < len(strings.TrimRight(text, " ")) && end > at {
			spans = slices.DeleteFunc(spans, func(s Span) bool { return s.From < end && s.To > at })
			spans = append(spans, Span{at, end, Wrong})
			slices.SortFunc(spans, func(a, b Span) int { return a.From - b.From })
		}
	}
	return spans
}

// span is a token with what decides how it is shown.
type span struct {
	from, to                    int
	text                        string
	clause, literal, name, bare bool
}

func lexTokens(text string) (list []span, err error) {
	l, err := queryLexer{}.LexString("", text)
	if err != nil {
		return nil, err
	}
	for {
		t, err := l.Next()
		if err != nil || t.EOF() {
			return list, err
		}
		list = append(list, span{from: t.Pos.Offset, to: t.Pos.Offset + len(t.Value), text: t.Value, clause: t.Type == clauseToken,
			literal: t.Type == expr.TokenNumber || t.Type == expr.TokenString || t.Type == expr.TokenRegex,
			name:    t.Type == expr.TokenIdent, bare: t.Type == expr.TokenGlob})
	}
}

// offsetOf is where an error lies in a text of one line, in bytes; -1 when it does not say.
func offsetOf(err error, text string) int {
	syntax, ok := errors.AsType[*expr.SyntaxError](err)
	if !ok || syntax.Line != 1 {
		return -1
	}
	at := 0
	for n := 1; n < syntax.Column && at < len(text); n++ {
		at++
		for at < len(text) && text[at]&0xc0 == 0x80 {
			at++
		}
	}
	return at
}
