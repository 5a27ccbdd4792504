package arch

import (
	"sync"

	"github.com/alecthomas/participle/v2"
	"github.com/alecthomas/participle/v2/lexer"

	"wreg/registry/expr"
)

// file is an .arch file: an architecture, or blocks for architectures to use.
type file struct {
	Names []string     `parser:"('arch' @Glob (',' @Glob)*)?"`
	Body  []*statement `parser:"@@*"`

	text string
}

// statement is one of its fields.
type statement struct {
	Pos    lexer.Position
	Let    *let    `parser:"  @@"`
	Tensor *declar `parser:"| @@"`
	For    *loop   `parser:"| @@"`
	At     *at     `parser:"| @@"`
	When   *when   `parser:"| @@"`
	Use    *use    `parser:"| @@"`
	With   *with   `parser:"| @@"`
	Source *source `parser:"| @@"`
	Rename *rename `parser:"| @@"`
	Rule   *rule   `parser:"| @@"`
	Read   *read   `parser:"| @@"`
	Refuse *refuse `parser:"| @@"`
	Block  *block  `parser:"| @@"`
	Note   string  `parser:"| 'note' @String"`
}

// body is statements in braces.
type body struct {
	Statements []*statement `parser:"'{' @@* '}'"`
}

// formula is an expression and, once parsed, its tree.
type formula struct {
	Expr *expr.Expr `parser:"@@"`
	tree *expr.Node
}

// arguments of a use or a codec; name = value is parsed as a comparison.
type arguments struct {
	Args []*formula `parser:"'(' (@@ (',' @@)*)? ')'"`
}

type let struct {
	Name  string   `parser:"'let' @Ident '='"`
	Value *formula `parser:"@@"`
}

type declar struct {
	Optional bool       `parser:"@'optional'?"`
	Name     string     `parser:"'tensor' @Glob"`
	Shape    []*formula `parser:"'[' (@@ (',' @@)*)? ']'"`
	DType    string     `parser:"('as' @Ident)?"`
	From     []*formula `parser:"('from' @@ ('|' @@)*)?"`
}

type loop struct {
	Var  string   `parser:"'for' @Ident"`
	In   *formula `parser:"'in' @@"`
	At   string   `parser:"('at' @Glob)?"`
	When *formula `parser:"('when' @@)?"`
	Body *body    `parser:"@@"`
}

type at struct {
	Path string   `parser:"'at' @Glob"`
	When *formula `parser:"('when' @@)?"`
	Body *body    `parser:"@@"`
}

type when struct {
	If   *formula   `parser:"'when' @@"`
	Then *body      `parser:"@@"`
	Else *otherwise `parser:"('else' @@)?"`
}

type otherwise struct {
	When *when `parser:"  @@"`
	Body *body `parser:"| @@"`
}

type use struct {
	Name string     `parser:"'use' @Ident"`
	Args *arguments `parser:"@@?"`
}

type with struct {
	Key  string `parser:"'with' @(Ident | Name)"`
	Body *body  `parser:"@@"`
}

type source struct {
	Name  string     `parser:"'source' @Glob"`
	Shape []*formula `parser:"'[' (@@ (',' @@)*)? ']'"`
}

type rename struct {
	From string `parser:"'rename' @Glob"`
	To   string `parser:"'to' @Glob"`
}

// rule is a statement about names: which to drop, to keep from a cast, to
// quantize in a way of their own.
type rule struct {
	Word     string   `parser:"@('drop' | 'keep' | 'quant')"`
	Patterns []string `parser:"@Glob (',' @Glob)*"`
	Because  string   `parser:"(  'because' @String"`
	No       string   `parser:" | @('no' | 'never')"`
	Bits     int      `parser:" | @Number"`
	Group    int      `parser:"   ('/' @Number)? )?"`
}

type read struct {
	Pattern string     `parser:"'read' @Glob 'as'"`
	Codec   string     `parser:"@Ident"`
	Args    *arguments `parser:"@@?"`
}

type refuse struct {
	When    *formula `parser:"'refuse' 'when' @@"`
	Because string   `parser:"'because' @String"`
}

type block struct {
	Name   string   `parser:"'block' @Ident '('"`
	Params []*param `parser:"(@@ (',' @@)*)? ')'"`
	Body   *body    `parser:"@@"`
}

type param struct {
	Name    string   `parser:"@Ident"`
	Default *formula `parser:"('=' @@)?"`
}

// bareAnywhere and bareAtStart are the words after which a bare name or pattern
// stands; the second kind only where a statement can start, as they are good
// names for a parameter too. The patterns of bareLists go on after a comma.
var (
	bareAnywhere = map[string]bool{"tensor": true, "at": true}
	bareAtStart  = map[string]bool{"arch": true, "source": true, "rename": true, "drop": true, "keep": true, "quant": true, "read": true}
	bareLists    = map[string]bool{"arch": true, "drop": true, "keep": true, "quant": true}
)

func bare(before []lexer.Token) bool {
	k := len(before) - 1
	if k < 0 {
		return false
	}
	if before[k].Value == "to" && k >= 2 && before[k-1].Type == expr.TokenGlob && before[k-2].Value == "rename" {
		return true
	}
	inList := false
	for k >= 1 && before[k].Value == "," && before[k-1].Type == expr.TokenGlob {
		k, inList = k-2, true
	}
	if k < 0 || before[k].Type != expr.TokenIdent {
		return false
	}
	word := before[k].Value
	switch {
	case bareAnywhere[word]:
		return !inList
	case !bareAtStart[word] || inList && !bareLists[word]:
		return false
	}
	return k == 0 || before[k-1].Value == "{" || before[k-1].Value == "}" || before[k-1].Pos.Line < before[k].Pos.Line
}

var parser = sync.OnceValue(func() *participle.Parser[file] {
	return participle.MustBuild[file](participle.Lexer(&expr.Lexer{Bare: bare, Prefix: map[string]bool{"from": true, "when": true}}))
})

// words says in errors what the grammar's productions are.
var words = map[string]string{
	"Statement": "a statement", "Body": "{", "Expr": "an expression", "Chain": "an expression", "Param": "a parameter", "Formula": "an expression",
}

// parse reads an .arch text and resolves the precedence in its expressions.
func parse(name, text string) (*file, error) {
	f, err := parser().ParseString(name, text)
	if err != nil {
		return nil, expr.Explain(err, text, words)
	}
	f.text = text
	trees := func(fs ...*formula) {
		for _, x := range fs {
			if x != nil && err == nil {
				x.tree, err = x.Expr.Tree(text)
			}
		}
	}
	f.walk(func(s *statement) { s.formulas(trees) })
	return f, err
}

// formulas visits the formulas of a statement, not of those inside it.
func (s *statement) formulas(visit func(...*formula)) {
	switch {
	case s.Let != nil:
		visit(s.Let.Value)
	case s.Tensor != nil:
		visit(s.Tensor.Shape...)
		visit(s.Tensor.From...)
	case s.For != nil:
		visit(s.For.In, s.For.When)
	case s.At != nil:
		visit(s.At.When)
	case s.When != nil:
		for w := s.When; w != nil && w.If != nil; {
			visit(w.If)
			if w.Else == nil {
				break
			}
			w = w.Else.When
		}
	case s.Use != nil && s.Use.Args != nil:
		visit(s.Use.Args.Args...)
	case s.Source != nil:
		visit(s.Source.Shape...)
	case s.Read != nil && s.Read.Args != nil:
		visit(s.Read.Args.Args...)
	case s.Refuse != nil:
		visit(s.Refuse.When)
	case s.Block != nil:
		for _, p := range s.Block.Params {
			visit(p.Default)
		}
	}
}
