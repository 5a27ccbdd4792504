// Package lang is the language of .arch files, as docs/arch-language.md describes it:
// its grammar, what is wrong with a file whatever the config, and the architectures
// that come with the program.
//
// Most users need [ByName], [Names] and [Parse]; an [Arch] is a list of [Statement]s,
// which package declare runs. [Arch.Notes] and [Arch.Steps] describe one for people.
//
// Invariants: a file is parsed once, and an [Arch] never changes after that; the limits
// of a text are those of package expr.
package lang

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/alecthomas/participle/v2"
	"github.com/alecthomas/participle/v2/lexer"

	"wreg/registry/expr"
)

// The layouts that an architecture can make, each what one consumer loads.
const (
	MLX    = "mlx"     // mlx_lm: stacked, the language model alone
	MLXVLM = "mlx-vlm" // mlx_vlm: towers and all
)

// Layouts are those, the first being made where nobody says.
var Layouts = []string{MLX, MLXVLM}

// file is an .arch file: an architecture, or blocks for architectures to use.
type file struct {
	Names  []string     `parser:"('arch' @Glob (',' @Glob)*"`
	Layout string       `parser:"('as' @Glob)?)?"`
	Body   []*Statement `parser:"@@*"`
}

// Arch is one parsed architecture.
type Arch struct {
	Name    string   // "hunyuan"
	Aliases []string // further model_types it serves
	Layout  string   // what it makes: one of Layouts
	File    string   // "hunyuan.arch", for errors
	Body    []*Statement

	text string
}

// Statement is one of its fields.
type Statement struct {
	Pos    lexer.Position
	Let    *Let    `parser:"  @@"`
	Tensor *Tensor `parser:"| @@"`
	For    *Loop   `parser:"| @@"`
	At     *At     `parser:"| @@"`
	Under  *Under  `parser:"| @@"`
	When   *When   `parser:"| @@"`
	Use    *Use    `parser:"| @@"`
	With   *With   `parser:"| @@"`
	Source *Source `parser:"| @@"`
	Rename *Rename `parser:"| @@"`
	Rule   *Rule   `parser:"| @@"`
	Read   *Read   `parser:"| @@"`
	Refuse *Refuse `parser:"| @@"`
	Block  *Block  `parser:"| @@"`
	Note   string  `parser:"| 'note' @String"`
}

// Body is statements in braces.
type Body struct {
	Statements []*Statement `parser:"'{' @@* '}'"`
}

// Formula is an expression and, once parsed, its tree.
type Formula struct {
	Expr *expr.Expr `parser:"@@"`
	Tree *expr.Node
}

// Arguments of a use or a codec; name = value is parsed as a comparison.
type Arguments struct {
	Args []*Formula `parser:"'(' (@@ (',' @@)*)? ')'"`
}

type Let struct {
	Name  string   `parser:"'let' @Ident '='"`
	Value *Formula `parser:"@@"`
}

type Tensor struct {
	Optional bool       `parser:"@'optional'?"`
	Name     string     `parser:"'tensor' @Glob"`
	Shape    []*Formula `parser:"'[' (@@ (',' @@)*)? ']'"`
	DType    string     `parser:"('as' @Ident)?"`
	From     []*Formula `parser:"('from' @@ ('|' @@)*)?"`
}

type Loop struct {
	Var  string   `parser:"'for' @Ident"`
	In   *Formula `parser:"'in' @@"`
	At   string   `parser:"('at' @Glob)?"`
	When *Formula `parser:"('when' @@)?"`
	Body *Body    `parser:"@@"`
}

type At struct {
	Path string   `parser:"'at' @Glob"`
	When *Formula `parser:"('when' @@)?"`
	Body *Body    `parser:"@@"`
}

// Under gives what is made inside longer names, and what it is made of not.
type Under struct {
	Path string `parser:"'under' @Glob"`
	Body *Body  `parser:"@@"`
}

type When struct {
	If       *Formula `parser:"'when' @@"`
	Then     *Body    `parser:"@@"`
	ElseWhen *When    `parser:"('else' (@@"`
	Else     *Body    `parser:" | @@))?"`
}

type Use struct {
	Name string     `parser:"'use' @(Ident | Name)"`
	Args *Arguments `parser:"@@?"`
}

type With struct {
	Key  string `parser:"'with' @(Ident | Name)"`
	Body *Body  `parser:"@@"`
}

type Source struct {
	Name  string     `parser:"'source' @Glob"`
	Shape []*Formula `parser:"'[' (@@ (',' @@)*)? ']'"`
}

type Rename struct {
	From string `parser:"'rename' @Glob"`
	To   string `parser:"'to' @Glob"`
}

// Rule is a statement about names: which to drop, to keep from a cast or, after all, to
// cast, to quantize in a way of their own.
type Rule struct {
	Word     string   `parser:"@('drop' | 'keep' | 'cast' | 'quant')"`
	Patterns []string `parser:"@Glob (',' @Glob)*"`
	Because  string   `parser:"(  'because' @String"`
	No       string   `parser:" | @('no' | 'never')"`
	Bits     int      `parser:" | @Number"`
	Group    int      `parser:"   ('/' @Number)?"`
	Mode     string   `parser:"   ('as' @Ident)? )?"`
}

type Read struct {
	Pattern string     `parser:"'read' @Glob 'as'"`
	Codec   string     `parser:"@Ident"`
	Args    *Arguments `parser:"@@?"`
}

type Refuse struct {
	When    *Formula `parser:"'refuse' 'when' @@"`
	Because string   `parser:"'because' @String"`
}

type Block struct {
	Name   string   `parser:"'block' @Ident '('"`
	Params []*Param `parser:"(@@ (',' @@)*)? ')'"`
	Body   *Body    `parser:"@@"`
}

type Param struct {
	Name    string   `parser:"@Ident"`
	Default *Formula `parser:"('=' @@)?"`
}

// bareAnywhere and bareAtStart are the words after which a bare name or pattern
// stands; the second kind only where a statement can start, as they are good
// names for a parameter too. The patterns of bareLists go on after a comma.
var (
	bareAnywhere = map[string]bool{"tensor": true, "at": true}
	bareAtStart  = map[string]bool{"arch": true, "under": true, "source": true, "rename": true, "drop": true, "keep": true, "cast": true, "quant": true, "read": true}
	bareLists    = map[string]bool{"arch": true, "drop": true, "keep": true, "cast": true, "quant": true}
)

func bare(before []lexer.Token) bool {
	k := len(before) - 1
	if k < 0 {
		return false
	}
	if before[k].Value == "as" && before[0].Value == "arch" && before[k].Pos.Line == before[0].Pos.Line {
		return true
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
	return participle.MustBuild[file](participle.Lexer(&expr.Lexer{Bare: bare, Prefix: map[string]bool{"from": true, "when": true, "use": true}}))
})

// words says in errors what the grammar's productions are.
var words = map[string]string{
	"Statement": "a statement", "Body": "{", "When": "when", "Expr": "an expression", "Chain": "an expression", "Param": "a parameter", "Formula": "an expression",
}

// parse reads an .arch text and resolves the precedence in its expressions.
func parse(name, text string) (*Arch, error) {
	f, err := parser().ParseString(name, text)
	if err != nil {
		return nil, expr.Explain(err, text, words)
	}
	a := &Arch{File: name, Body: f.Body, text: text, Layout: cmp.Or(f.Layout, MLX)}
	if !slices.Contains(Layouts, a.Layout) {
		return nil, fmt.Errorf("%s: arch … as %s: want one of %s", name, a.Layout, strings.Join(Layouts, ", "))
	}
	if len(f.Names) > 0 {
		a.Name, a.Aliases = f.Names[0], f.Names[1:]
	}
	trees := func(fs ...*Formula) {
		for _, x := range fs {
			if x != nil && err == nil {
				x.Tree, err = x.Expr.Tree(text)
			}
		}
	}
	walk(a.Body, func(s *Statement) { s.formulas(trees) })
	return a, err
}

// formulas visits the formulas of a statement, not of those inside it.
func (s *Statement) formulas(visit func(...*Formula)) {
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
		for w := s.When; w != nil; w = w.ElseWhen {
			visit(w.If)
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
