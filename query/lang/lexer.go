package lang

import (
	"io"
	"maps"
	"strings"

	"github.com/alecthomas/participle/v2/lexer"

	"wreg/registry/expr"
)

// clauseToken is a word that begins a clause. Its value is in capitals, so that
// the clause IN is never taken for the operator in.
const clauseToken lexer.TokenType = -100

// shouted are the words that people who know SQL may write in capitals.
var shouted = map[string]lexer.TokenType{
	"BY": expr.TokenIdent, "ASC": expr.TokenIdent, "DESC": expr.TokenIdent, "AND": expr.TokenKeyword, "OR": expr.TokenKeyword,
	"NOT": expr.TokenKeyword, "IN": expr.TokenKeyword, "NULL": expr.TokenKeyword, "TRUE": expr.TokenKeyword, "FALSE": expr.TokenKeyword,
}

// queryLexer is expr's lexer, which also learns where bare words are allowed. It is a participle
// lexer.Definition.
type queryLexer struct{}

func (queryLexer) Symbols() map[string]lexer.TokenType {
	all := map[string]lexer.TokenType{"Clause": clauseToken}
	maps.Copy(all, (&expr.Lexer{}).Symbols())
	return all
}

func (l queryLexer) Lex(file string, r io.Reader) (lexer.Lexer, error) {
	return expr.LexReader(l, file, r)
}

func (queryLexer) LexString(file, text string) (lexer.Lexer, error) {
	c := &follower{text: text, clauses: map[int]bool{}}
	tokens, err := (&expr.Lexer{Bare: c.bare}).Tokens(file, text)
	if err != nil {
		return nil, err
	}
	for i, t := range tokens {
		if c.clauses[t.Pos.Offset] && !t.EOF() {
			tokens[i].Type, tokens[i].Value = clauseToken, strings.ToUpper(t.Value)
		} else if kind, known := shouted[t.Value]; known && t.Type == expr.TokenIdent {
			tokens[i].Type, tokens[i].Value = kind, strings.ToLower(t.Value)
		}
	}
	return &expr.TokenReader{Rest: tokens}, nil
}

// follower follows a query's tokens and knows what kind of word comes next.
type follower struct {
	text       string
	seen       int  // tokens already followed
	expression bool // in a clause of expressions
	depth      int  // open brackets there
	wantWord   bool // a word must follow: after in, against, as and a comma
	clauses    map[int]bool
}

// bare tells the lexer whether a bare word comes next. It is asked before each
// token, and notes the words that begin a clause.
func (c *follower) bare(before []lexer.Token) bool {
	if len(before) == 0 {
		return false // the verb
	}
	for ; c.seen < len(before); c.seen++ {
		c.follow(before[c.seen])
	}
	last := before[len(before)-1]
	at := skipSpace(c.text, last.Pos.Offset+len(last.Value))
	word := strings.ToLower(wordAt(c.text, at))
	if _, known := Clauses[word]; known && !c.wantWord && c.depth == 0 &&
		(word != "in" || !c.expression || modelFollows(last, c.text[at+len(word):])) {
		c.clauses[at] = true
		return false
	}
	return !c.expression && at < len(c.text) && !strings.ContainsRune(",()[]", rune(c.text[at]))
}

func (c *follower) follow(t lexer.Token) {
	if c.clauses[t.Pos.Offset] {
		c.expression = Clauses[strings.ToLower(t.Value)]
		c.wantWord, c.depth = !c.expression, 0
		return
	}
	c.wantWord = !c.expression && t.Type == expr.TokenPunct && t.Value == ","
	if c.expression && t.Type == expr.TokenPunct {
		switch t.Value {
		case "(", "[":
			c.depth++
		case ")", "]":
			c.depth--
		}
	}
}

// modelFollows distinguishes the clause in from the operator in: the operator is followed
// by a list or a range.
func modelFollows(last lexer.Token, rest string) bool {
	if last.Value == "not" {
		return false
	}
	rest = rest[skipSpace(rest, 0):]
	if rest == "" || rest[0] == '(' || rest[0] == '[' {
		return false
	}
	word := rest
	if end := strings.IndexAny(rest, " \t\r\n,"); end >= 0 {
		word = rest[:end]
	}
	digits := strings.TrimLeft(word, "-0123456789")
	return !strings.Contains(word, "..") && digits != "" && !strings.HasPrefix(strings.TrimSpace(rest[len(word):]), "..")
}

func skipSpace(text string, at int) int {
	for at < len(text) {
		switch text[at] {
		case ' ', '\t', '\r', '\n':
			at++
		case '#':
			end := strings.IndexByte(text[at:], '\n')
			if end < 0 {
				return len(text)
			}
			at += end
		default:
			return at
		}
	}
	return at
}

// wordAt is the plain word at a place, "" when it is part of a longer one: in.proj
// is a pattern.
func wordAt(text string, at int) string {
	end := at
	for end < len(text) && (text[end]|0x20 >= 'a' && text[end]|0x20 <= 'z') {
		end++
	}
	if end < len(text) && !strings.ContainsRune(" \t\r\n,()#\"'", rune(text[end])) {
		return ""
	}
	return text[at:end]
}
