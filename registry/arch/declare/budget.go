package declare

import (
	"context"
	"fmt"
)

// Limits of one application of an architecture to a config and a checkpoint, none of
// which is trusted: a config may ask for 10^18 layers. Names bound the memory, steps
// the time of products of loops, rules and tensors.
const (
	maxNames  = 1 << 19 // loop rounds, tensors and the steps that make them; the largest models take half as many
	maxSteps  = 1 << 28 // nodes evaluated, rules tried, bytes and items walked over
	maxDepth  = 32      // blocks in blocks
	maxNested = 1024    // steps in steps of one tensor expression
	maxPath   = 8192    // bytes of a name, as every format that is read has it
	maxKept   = 1 << 17 // names that a Config remembers
)

// stepLimit is maxSteps, but for tests, which have less time.
var stepLimit int64 = maxSteps

// Weights of what counts as more than one.
const (
	longName       = 128 // bytes of a name that counts as one; a longer one counts for several
	statementSteps = 64
	roundSteps     = 16
	lookEvery      = 256 * roundSteps // between two looks at the context
	parsedSteps    = 256              // steps for a byte of an expression in a name
	manyWays       = 16               // names for each further way that a pattern multiplies out to
)

// Budget counts what an application uses.
type Budget struct {
	ctx    context.Context
	names  int64
	steps  int64
	looked int64 // the steps at which the context was last looked at
	over   error
	what   func() string // is applied
}

func (b *Budget) start(ctx context.Context, what func() string) { b.ctx, b.what = ctx, what }

// Spend counts names.
func (b *Budget) Spend(names int64) error {
	if b.names += min(names, maxNames+1); b.names > maxNames {
		return fmt.Errorf("architecture and config ask for more than %d names", maxNames)
	}
	return b.Round()
}

// SpendName counts some names of a length.
func (b *Budget) SpendName(count int64, length int) error {
	if length > maxPath {
		return fmt.Errorf("a name of %d bytes: at most %d are allowed", length, maxPath)
	}
	return b.Spend(count * int64(1+length/longName))
}

// Work counts steps and checks the context from time to time. Code that cannot return
// its error may ignore it: Over keeps it.
func (b *Budget) Work(steps int64) error {
	if b.steps += steps; b.over == nil && b.steps-b.looked >= lookEvery {
		b.looked, b.over = b.steps, b.ctx.Err()
	}
	if b.over == nil && b.steps > stepLimit {
		b.over = fmt.Errorf("applying %s takes more than %d steps", b.what(), stepLimit)
	}
	return b.over
}

// Round counts a round of a loop over outputs or tensors.
func (b *Budget) Round() error { return b.Work(roundSteps) }

// Over is the error of an exhausted budget or context, nil while there is none.
func (b *Budget) Over() error { return b.over }

// LimitSteps sets a lower limit of steps, for tests; what it returns puts the limit
// back.
func LimitSteps(n int64) (restore func()) {
	before := stepLimit
	stepLimit = n
	return func() { stepLimit = before }
}
