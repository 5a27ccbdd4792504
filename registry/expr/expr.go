// Package expr is the one expression language of wreg: what follows where in a
// query and what stands in an .arch file. It owns the lexer, the participle
// grammar and the evaluation of scalars; query and arch embed Expr in their own
// grammars.
package expr
