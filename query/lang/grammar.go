package lang

import (
	"errors"
	"fmt"
	"strings"

	"github.com/alecthomas/participle/v2"
	"github.com/alecthomas/participle/v2/lexer"

	"wreg/registry/expr"
)

// maxQuery bounds a query's text in bytes.
const maxQuery = 64 << 10

// sentence is the grammar of a query. Words that begin a clause are in capitals:
// see clauseToken.
type sentence struct {
	Pos      lexer.Position
	Verb     string    `parser:"@Ident"`
	Patterns []*word   `parser:"( @@ ( ',' @@ )* )?"`
	Clauses  []*clause `parser:"@@*"`
}

type clause struct {
	Pos     lexer.Position
	In      []*word    `parser:"  'IN' @@ ( ',' @@ )*"`
	Against *word      `parser:"| 'AGAINST' @@"`
	As      *word      `parser:"| 'AS' @@"`
	Where   *expr.Expr `parser:"| 'WHERE' @@"`
	Select  *selection `parser:"| 'SELECT' @@"`
	Group   []*item    `parser:"| 'GROUP' 'by' @@ ( ',' @@ )*"`
	Having  *expr.Expr `parser:"| 'HAVING' @@"`
	Order   []*ordered `parser:"| 'ORDER' 'by' @@ ( ',' @@ )*"`
	Limit   *count     `parser:"| 'LIMIT' @@"`
}

type word struct {
	Pos  lexer.Position
	Text string `parser:"@( Glob | String )"`
}

type selection struct {
	Pos   lexer.Position
	All   bool    `parser:"  @'*'"`
	Items []*item `parser:"| @@ ( ',' @@ )*"`
}

type item struct {
	Pos    lexer.Position
	Value  *expr.Expr `parser:"@@"`
	EndPos lexer.Position
}

type ordered struct {
	Pos       lexer.Position
	Value     *expr.Expr `parser:"@@"`
	Direction string     `parser:"@( 'asc' | 'desc' )?"`
}

type count struct {
	Pos    lexer.Position
	Number string `parser:"@Number"`
}

var parser = participle.MustBuild[sentence](participle.Lexer(queryLexer{}))

// productions say in words what the grammar's names stand for, for errors.
var productions = map[string]string{"Word": "a pattern or name", "Item": "a column", "Ordered": "a column", "Count": "a number", "Selection": "a column"}

// parseSentence reads the text; errors are *expr.SyntaxError.
func parseSentence(text string) (*sentence, error) {
	if len(text) > maxQuery {
		return nil, &expr.SyntaxError{Line: 1, Column: 1, Message: fmt.Sprintf("the query has %d bytes; the limit is %d", len(text), maxQuery)}
	}
	if strings.TrimSpace(text) == "" {
		return nil, &expr.SyntaxError{Line: 1, Column: 1, Message: "the query is empty", Expected: strings.Join(VerbNames(), ", ")}
	}
	s, err := parser.ParseString("", text)
	if err == nil {
		return s, nil
	}
	err = expr.Explain(err, text, productions)
	if syntax, ok := errors.AsType[*expr.SyntaxError](err); ok {
		lower := *syntax
		for word := range Clauses {
			capital := strings.ToUpper(word)
			lower.Message = strings.ReplaceAll(lower.Message, `"`+capital+`"`, `"`+word+`"`)
			lower.Expected = strings.ReplaceAll(lower.Expected, `"`+capital+`"`, `"`+word+`"`)
		}
		if strings.HasPrefix(lower.Expected, `"by"`) {
			lower.Expected = `"by"`
		}
		if lower.Expected == "an operator or the end" {
			lower.Expected = "an operator, a clause (" + strings.Join(clauseNames(), ", ") + ") or the end"
			var word string
			if _, err := fmt.Sscanf(lower.Message, "unexpected %q", &word); err == nil {
				if near := nearestOnly(word, clauseNames()); near != "" {
					lower.Message += " (" + strings.TrimPrefix(near, "; ") + ")"
				}
			}
		}
		return nil, &lower
	}
	return nil, err
}
