// Package expr is the expression language that queries and .arch files share. It owns
// the lexer, the participle grammar, and the evaluation of scalars; query/lang and arch
// embed [Expr] in their own grammars.
//
// Most users need [Parse] and [Eval]; whoever evaluates by columns needs [Arithmetic],
// [Apply] and [Compare]. A grammar embeds *Expr as a field tagged @@, is built with
// participle.Lexer(&expr.Lexer{…}), turns what was parsed into a [Node] with
// [Expr.Tree], and its errors into [SyntaxError] with [Explain].
//
// Invariants:
//   - Texts are bounded (MaxText, MaxNesting) before they are parsed.
//   - Integers are exact, and overflow is an error.
//   - A comparison with null is false.
//   - A range a..b includes both ends in a condition (layer in 0..3, like {0..3} in a
//     pattern) but not b in a count (for e in 0..n).
//   - { begins a name only when no space follows it: {p}.weight is a name, { tensor … }
//     a block.
package expr
