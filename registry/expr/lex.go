package expr

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/alecthomas/participle/v2/lexer"
)

// Limits of a text, checked while it is split into tokens, before any grammar
// sees it: parsing is recursive, and a text may come from anyone.
const (
	MaxText    = 256 << 10 // bytes of a text
	MaxTokens  = 16_000    // of a text; participle takes time quadratic in a list's length
	MaxNesting = 100       // brackets in brackets
)

// The kinds of tokens. A grammar names them in its tags: @Ident, @String.
const (
	TokenIdent    lexer.TokenType = -(iota + 2) // one plain word that is not reserved: layer, hidden_size
	TokenName                                   // dotted, braced or rooted: text_config.vocab_size, experts.{e}.w, /lm_head.weight
	TokenKeyword                                // not if else for true false null
	TokenNumber                                 // 64 5e6 1GiB 0x1f
	TokenString                                 // "…" or '…', quotes kept
	TokenGlob                                   // a bare pattern: after ~, or where Lexer.Bare says so
	TokenRegex                                  // /…/ after ~, slashes kept
	TokenOperator                               // what may come between two operands, words included
	TokenPunct                                  // brackets, commas and the rest
)

var symbols = map[string]lexer.TokenType{
	"EOF": lexer.EOF, "Ident": TokenIdent, "Name": TokenName, "Keyword": TokenKeyword, "Number": TokenNumber, "String": TokenString,
	"Glob": TokenGlob, "Regex": TokenRegex, "Operator": TokenOperator, "Punct": TokenPunct,
}

var keywords = map[string]bool{
	"not": true, "if": true, "else": true, "for": true,
	"true": true, "false": true, "null": true,
}

// punctuation, longest first.
var punctuation = []string{"..", "//", "??", "==", "!=", "<=", ">=",
	"<", ">", "=", "~", "+", "-", "*", "/", "%", "(", ")", "[", "]", "{", "}", ",", ":", "|", ";", "^", "@"}

// Lexer splits a text into tokens; spaces and comments (# to the end of the
// line) separate them and are left out. It is a participle lexer.Definition: a
// grammar that embeds Expr is built with participle.Lexer(&expr.Lexer{…}) and
// Options.
type Lexer struct {
	// Bare says whether a bare pattern comes next, given the tokens so far.
	// Such a pattern reaches to the next space, or
	// to a comma or closing bracket outside its own braces. Nil: only after ~.
	Bare func(before []lexer.Token) bool
	// Prefix holds the embedding grammar's words that come before an operand: after
	// them / begins a rooted name, as it does after not or if.
	Prefix map[string]bool
}

// Symbols is part of lexer.Definition.
func (l *Lexer) Symbols() map[string]lexer.TokenType { return symbols }

// Lex is part of lexer.Definition.
func (l *Lexer) Lex(file string, r io.Reader) (lexer.Lexer, error) { return LexReader(l, file, r) }

// LexReader reads a bounded text for a Lexer, or one made of it.
func LexReader(l lexer.StringDefinition, file string, r io.Reader) (lexer.Lexer, error) {
	text, err := io.ReadAll(io.LimitReader(r, MaxText+1))
	if err != nil {
		return nil, err
	}
	return l.LexString(file, string(text))
}

// LexString is the path participle prefers.
func (l *Lexer) LexString(file, text string) (lexer.Lexer, error) {
	tokens, err := l.Tokens(file, text)
	if err != nil {
		return nil, err
	}
	return &TokenReader{tokens}, nil
}

// TokenReader hands out tokens; the last one, the end, again and again.
type TokenReader struct{ Rest []lexer.Token }

// Next is part of lexer.Lexer.
func (t *TokenReader) Next() (lexer.Token, error) {
	next := t.Rest[0]
	if len(t.Rest) > 1 {
		t.Rest = t.Rest[1:]
	}
	return next, nil
}

// Tokens splits text; the last token is the end of the text. Errors are
// *SyntaxError.
func (l *Lexer) Tokens(file, text string) ([]lexer.Token, error) {
	s := scanner{text: text, file: file, line: 1, bare: l.Bare, prefix: l.Prefix, out: make([]lexer.Token, 0, len(text)/4+1)}
	if len(text) > MaxText {
		return nil, &SyntaxError{File: file, Line: 1, Column: 1, Message: fmt.Sprintf("%d bytes exceed the limit of %d", len(text), MaxText)}
	}
	for {
		s.skipSpace()
		if s.pos == len(text) {
			s.emit(lexer.EOF, s.pos)
			return s.out, nil
		}
		if len(s.out) == MaxTokens {
			return nil, s.fail(s.pos, "more than %d words and signs", MaxTokens)
		}
		if err := s.next(); err != nil {
			return nil, err
		}
	}
}

type scanner struct {
	text, file string
	pos        int
	line, bol  int // line number, and where it begins
	depth      int
	bare       func([]lexer.Token) bool
	prefix     map[string]bool
	out        []lexer.Token
}

func (s *scanner) skipSpace() {
	for s.pos < len(s.text) {
		switch c := s.text[s.pos]; {
		case c == '\n':
			s.pos++
			s.line, s.bol = s.line+1, s.pos
		case c == ' ' || c == '\t' || c == '\r':
			s.pos++
		case c == '#':
			end := strings.IndexByte(s.text[s.pos:], '\n')
			if end < 0 {
				end = len(s.text) - s.pos
			}
			s.pos += end
		default:
			return
		}
	}
}

func (s *scanner) position(at int) lexer.Position {
	return lexer.Position{Filename: s.file, Offset: at, Line: s.line, Column: utf8.RuneCountInString(s.text[s.bol:at]) + 1}
}

// emit makes a token of what lies before end. A token never spans lines.
func (s *scanner) emit(kind lexer.TokenType, end int) {
	s.out = append(s.out, lexer.Token{Type: kind, Value: s.text[s.pos:end], Pos: s.position(s.pos)})
	s.pos = end
}

func (s *scanner) fail(at int, format string, args ...any) error {
	return newError(s.text, s.position(at), fmt.Sprintf(format, args...))
}

// operandNext reports that the grammar can only go on with an operand: then / is
// a root and not a division, and { begins a name.
func (s *scanner) operandNext() bool {
	if len(s.out) == 0 {
		return true
	}
	switch last := s.out[len(s.out)-1]; last.Type {
	case TokenIdent:
		return s.prefix[last.Value]
	case TokenNumber, TokenString, TokenGlob, TokenRegex, TokenName:
		return false
	case TokenKeyword:
		return last.Value != "true" && last.Value != "false" && last.Value != "null"
	default:
		return last.Value != ")" && last.Value != "]" && last.Value != "}"
	}
}

func (s *scanner) next() error {
	afterTilde := len(s.out) > 0 && s.out[len(s.out)-1].Type == TokenOperator && s.out[len(s.out)-1].Value == "~"
	c := s.text[s.pos]
	switch {
	case c == '"' || c == '\'':
		return s.quoted(c)
	case afterTilde && c == '/':
		return s.regex()
	case afterTilde && c != '(' || s.bare != nil && s.bare(s.out):
		return s.glob()
	case c >= '0' && c <= '9':
		return s.number()
	}
	if end := s.nameEnd(); end > s.pos {
		word := s.text[s.pos:end]
		switch {
		case strings.ContainsAny(word, "./{"):
			s.emit(TokenName, end)
		case precedence[word] > 0:
			s.emit(TokenOperator, end)
		case keywords[word]:
			s.emit(TokenKeyword, end)
		default:
			s.emit(TokenIdent, end)
		}
		return nil
	}
	for _, p := range punctuation {
		if strings.HasPrefix(s.text[s.pos:], p) {
			return s.punct(p)
		}
	}
	r, _ := utf8.DecodeRuneInString(s.text[s.pos:])
	return s.fail(s.pos, "unexpected %q", r)
}

func (s *scanner) punct(p string) error {
	switch p {
	case "(", "[", "{":
		if s.depth++; s.depth > MaxNesting {
			return s.fail(s.pos, "brackets nest deeper than %d", MaxNesting)
		}
	case ")", "]", "}":
		s.depth--
	}
	kind := TokenPunct
	if precedence[p] > 0 {
		kind = TokenOperator
	}
	s.emit(kind, s.pos+len(p))
	return nil
}

func isWord(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c >= utf8.RuneSelf
}

// nameEnd gives the end of the name at pos, or pos when there is none. A dot
// belongs to a name when a segment follows, braces when no space follows {.
func (s *scanner) nameEnd() int {
	t, i := s.text, s.pos
	if t[i] == '/' {
		if !s.operandNext() || i+1 == len(t) {
			return s.pos
		}
		i++
	}
	start := i
	for i < len(t) {
		switch c := t[i]; {
		case isWord(c) && (i > start || c < '0' || c > '9'):
			i++
		case c == '{':
			end := closeBrace(t, i)
			if end < 0 {
				if i == start {
					return s.pos
				}
				return i
			}
			i = end
		case c == '.' && i > start && i+1 < len(t) && (isWord(t[i+1]) || t[i+1] == '{'):
			i++
		default:
			if i == start {
				return s.pos
			}
			return i
		}
	}
	return i
}

// closeBrace gives the end of the brace group at i, -1 when it is none: a space
// after { or a line's end before } make it a block of statements.
func closeBrace(t string, i int) int {
	depth := 0
	for j := i; j < len(t); j++ {
		switch t[j] {
		case '{':
			if depth++; j+1 < len(t) && strings.IndexByte(" \t\r\n", t[j+1]) >= 0 {
				return -1
			}
		case '}':
			if depth--; depth == 0 {
				return j + 1
			}
		case '\n':
			return -1
		}
	}
	return -1
}

// number takes digits, one fraction, an exponent and a unit; what they mean is
// decided by ParseNumber.
func (s *scanner) number() error {
	t, i := s.text, s.pos
	for i < len(t) && (isWord(t[i]) || t[i] == '.' && i+1 < len(t) && t[i+1] >= '0' && t[i+1] <= '9' ||
		(t[i] == '+' || t[i] == '-') && (t[i-1] == 'e' || t[i-1] == 'E') && !strings.HasPrefix(t[s.pos:], "0x")) {
		i++
	}
	if _, err := ParseNumber(t[s.pos:i]); err != nil {
		return s.fail(s.pos, "%v", err)
	}
	s.emit(TokenNumber, i)
	return nil
}

func (s *scanner) quoted(quote byte) error {
	for i := s.pos + 1; i < len(s.text); i++ {
		switch s.text[i] {
		case '\\':
			i++
		case '\n':
			return s.fail(s.pos, "unterminated string on this line")
		case quote:
			s.emit(TokenString, i+1)
			return nil
		}
	}
	return s.fail(s.pos, "unterminated string")
}

func (s *scanner) regex() error {
	for i := s.pos + 1; i < len(s.text) && s.text[i] != '\n'; i++ {
		switch s.text[i] {
		case '\\':
			i++
		case '/':
			s.emit(TokenRegex, i+1)
			return nil
		}
	}
	return s.fail(s.pos, "unterminated regular expression: / is missing")
}

func (s *scanner) glob() error {
	depth, i := 0, s.pos
	for ; i < len(s.text); i++ {
		switch c := s.text[i]; {
		case c == '\\' && i+1 < len(s.text):
			i++
			continue
		case c == '{' || c == '[':
			depth++
			continue
		case (c == '}' || c == ']') && depth > 0:
			depth--
			continue
		case depth > 0 && c != '\n' && c != ' ', depth == 0 && !unicode.IsSpace(rune(c)) && strings.IndexByte(",()[]}", c) < 0:
			continue
		case depth > 0 && c == ' ':
			continue
		}
		break
	}
	if i == s.pos {
		return s.fail(s.pos, "expected a pattern")
	}
	s.emit(TokenGlob, i)
	return nil
}
