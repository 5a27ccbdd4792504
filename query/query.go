// Package query answers questions about the tensors of a registry: what is there
// (find), what should be there and is not (missing), what should not be (extra),
// what is there but otherwise (changed), and all three at once (gaps).
//
//	missing mlp.switch_mlp.* where layer<64
//	find * group by hash select hash, count(), min(path) having count() > 1
//
// Most users need Parse, Query.Run and Result.Fold.
//
// Rules that bite: a pattern matches at any segment boundary and must reach the
// end of the path; an absent value makes a comparison false, so not (nans > 0)
// holds where no statistics were taken; a question about gaps for which there is
// no expectation is an error, never an empty answer; a Result owns its values and
// may outlive the Snapshot.
package query

import (
	"wreg/registry/arch"

	"wreg/query/lang"
)

// Query is a parsed question. It may be run many times, also concurrently.
type Query struct{ *lang.Query }

// Options of Run. The zero value works where the registry holds one model.
type Options struct {
	Model string     // the model asked about where the query has no in
	Arch  *arch.Arch // used instead of the one that config.json's model_type names
}

// Parse reads a query. Errors are *expr.SyntaxError: line, caret, and what was
// expected or is nearest.
func Parse(text string) (*Query, error) {
	p, err := lang.Parse(text)
	if err != nil {
		return nil, err
	}
	return &Query{p}, nil
}

// Grammar is the language's grammar, as the README shows it.
func Grammar() string { return lang.Grammar() }
