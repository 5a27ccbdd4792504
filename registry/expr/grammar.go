package expr

import (
	"sync"

	"github.com/alecthomas/participle/v2"
	"github.com/alecthomas/participle/v2/lexer"
)

// Expr is the grammar of an expression; a grammar embeds it as a field tagged
// @@. Operators are read as one flat chain, which keeps nesting shallow and
// parsing fast; Tree applies their precedence, loosest first:
//
//	x if c else y
//	or
//	and
//	not
//	= == != < <= > >= ~ in not-in     (these do not chain)
//	a..b
//	??
//	+ -
//	* / // %
//	-x
//	x[…] f(…)
type Expr struct {
	Pos   lexer.Position
	Value *Chain    `parser:"@@"`
	Else  []*Branch `parser:"@@*"`
}

// Branch is one "if c else y".
type Branch struct {
	If   *Chain `parser:"'if' @@"`
	Else *Chain `parser:"'else' @@"`
}

// Chain is operands with operators between them.
type Chain struct {
	First *Term   `parser:"@@"`
	Rest  []*Link `parser:"@@*"`
}

// Link is an operator and the operand after it.
type Link struct {
	Pos  lexer.Position
	Op   string `parser:"@(Operator | 'not' 'in')"`
	Term *Term  `parser:"@@"`
}

// Term is an operand with its signs before and its indices behind.
type Term struct {
	Pos     lexer.Position
	Signs   []string     `parser:"@('not' | '-' | '+')*"`
	Operand *Operand     `parser:"@@"`
	Index   []*Subscript `parser:"@@*"`
}

// Operand is a value, a name, a call or a bracketed expression. (a, b) is a list
// as [a, b] is.
type Operand struct {
	Pos     lexer.Position
	Name    *Mention `parser:"  @@"`
	Number  string   `parser:"| @Number"`
	String  string   `parser:"| @String"`
	Literal string   `parser:"| @('true' | 'false' | 'null')"`
	Glob    string   `parser:"| @Glob"`
	Regex   string   `parser:"| @Regex"`
	List    *Listing `parser:"| @@"`
	Group   *Group   `parser:"| @@"`
}

// Mention is a name, or a call of it.
type Mention struct {
	Name string `parser:"@(Ident | Name)"`
	Call *Call  `parser:"@@?"`
}

// Call is what a function is applied to.
type Call struct {
	Open string `parser:"@'('"`
	Args []*Arg `parser:"(@@ (',' @@)*)? ','? ')'"`
}

// Arg is an expression, or one for each value of a variable.
type Arg struct {
	Value *Expr  `parser:"@@"`
	For   *ForIn `parser:"@@?"`
}

// ForIn gives a variable's values: a..b without b, or a list.
type ForIn struct {
	Pos lexer.Position
	Var string `parser:"'for' @Ident"`
	In  *Chain `parser:"'in' @@"`
}

// Listing is [a, b, c].
type Listing struct {
	Open  string  `parser:"@'['"`
	Items []*Expr `parser:"(@@ (',' @@)*)? ','? ']'"`
}

// Group is (a) or (a, b).
type Group struct {
	Open  string  `parser:"@'('"`
	Items []*Expr `parser:"@@ (',' @@)* ','? ')'"`
}

// Subscript is [i], [a:b, ::2].
type Subscript struct {
	Pos  lexer.Position
	Axes []*Axis `parser:"'[' @@ (',' @@)* ']'"`
}

// Axis is an index, or a slice when it contains a colon.
type Axis struct {
	Start *Expr `parser:"@@?"`
	Stop  *Stop `parser:"@@?"`
}

// Stop is the part of a slice from its first colon.
type Stop struct {
	Colon string `parser:"@':'"`
	Stop  *Expr  `parser:"@@?"`
	Step  *Step  `parser:"@@?"`
}

// Step is the part of a slice from its second colon.
type Step struct {
	Colon string `parser:"@':'"`
	Step  *Expr  `parser:"@@?"`
}

// parser is built on first use: start-up is part of every query's time.
var parser = sync.OnceValue(func() *participle.Parser[Expr] {
	return participle.MustBuild[Expr](participle.Lexer(&Lexer{}))
})

// Parse reads one expression; errors are *SyntaxError.
func Parse(text string) (*Node, error) {
	e, err := parser().ParseString("", text)
	if err != nil {
		return nil, Explain(err, text, nil)
	}
	return e.Tree(text)
}
