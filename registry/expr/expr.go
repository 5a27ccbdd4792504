// Package expr is the one expression language of wreg: what follows where in a
// query and what stands in an .arch file. It owns the lexer, the participle
// grammar and the evaluation of scalars; query and arch embed Expr in their own
// grammars.
//
// Most users need Parse and Eval; a grammar embeds *Expr as a field tagged @@,
// is built with participle.Lexer(&expr.Lexer{…}), turns what was parsed into a
// Node with Tree, and its errors into *SyntaxError with Explain.
//
// Rules that bite: texts are bounded (MaxText, MaxNesting) before they are
// parsed; integers are exact and overflow is an error; comparing with null is
// false. A range a..b holds both ends as a condition (layer in 0..3, like {0..3}
// in a pattern) but leaves b out where it counts (for e in 0..n). { begins a name
// only when no space follows it: {p}.weight is a name, { tensor … } a block.
package expr
