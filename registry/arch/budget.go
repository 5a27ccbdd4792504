package arch

import (
	"fmt"
	"slices"
	"strings"

	"wreg/registry/expr"
	"wreg/registry/tensor"
)

// Limits of one application of an architecture to a config and a checkpoint: any of
// them may come from anywhere, and ask for 10^18 layers. Names bound what is kept,
// steps the time: products of loops, rules and tensors.
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

// What counts for more than one.
const (
	longName       = 128 // bytes of a name that counts as one; a longer one counts for several
	statementSteps = 64
	roundSteps     = 16
	lookEvery      = 256 * roundSteps // between two looks at the context
	parsedSteps    = 256              // steps for a byte of an expression in a name
	manyWays       = 16               // names for each further way that a pattern multiplies out to
)

// spend counts names.
func (r *run) spend(n *expr.Node, names int64) error {
	if r.names += min(names, maxNames+1); r.names > maxNames {
		return fault(n, fmt.Errorf("architecture and config ask for more than %d names", maxNames))
	}
	return r.interrupted()
}

// spendName counts some names of a length.
func (r *run) spendName(n *expr.Node, count int64, length int) error {
	if length > maxPath {
		return fault(n, fmt.Errorf("a name of %d bytes: at most %d are allowed", length, maxPath))
	}
	return r.spend(n, count*int64(1+length/longName))
}

// work counts steps, and looks at the context now and then. What cannot report its error may go on: whoever asked for it
// finds the error in r.over.
func (r *run) work(steps int64) error {
	if r.steps += steps; r.over == nil && r.steps-r.looked >= lookEvery {
		r.looked, r.over = r.steps, r.ctx.Err()
	}
	if r.over == nil && r.steps > stepLimit {
		r.over = fmt.Errorf("%s: %d tensors, %d rules about names and %d renamings take more than %d steps", r.arch.File, len(r.items), r.rulesMade(), len(r.renames.list), stepLimit)
	}
	return r.over
}

// interrupted counts a round of a loop over items or tensors.
func (r *run) interrupted() error { return r.work(roundSteps) }

func (r *run) rulesMade() int {
	return len(r.drops.list) + len(r.keeps.list) + len(r.quants.list) + len(r.reads.list)
}

// matchSteps is about what it takes to match a pattern with a path.
func matchSteps(p *tensor.Pattern, path string) int64 {
	return 8 + int64(len(p.String()))*int64(len(path))/128
}

// byRoot holds rules in order, and finds those that may concern a path: a config
// can ask for as many rules as tensors, so that trying each is out of the question.
type byRoot[R any] struct {
	list  []R
	roots map[string][]int
}

// add keeps a rule about root and what lies under it.
func (b *byRoot[R]) add(root string, rule R) {
	if b.roots == nil {
		b.roots = map[string][]int{}
	}
	b.roots[root] = append(b.roots[root], len(b.list))
	b.list = append(b.list, rule)
}

// near gives the rules about a path, in order.
func (b *byRoot[R]) near(path string) []int {
	if len(b.list) == 0 {
		return nil
	}
	found := b.roots[""]
	shared := true
	for end := 1; end <= len(path); end++ {
		if next := strings.IndexByte(path[end:], '.'); next >= 0 {
			end += next
		} else {
			end = len(path)
		}
		if more := b.roots[path[:end]]; len(more) > 0 {
			if shared {
				found, shared = slices.Clone(found), false
			}
			found = append(found, more...)
		}
	}
	if !shared {
		slices.Sort(found)
	}
	return found
}

// matching visits the rules about names that match a path, in order, until visit
// says it has seen enough.
func matching[R interface{ glob() *tensor.Pattern }](r *run, rules *byRoot[R], path string, visit func(R) (enough bool)) {
	for _, k := range rules.near(path) {
		p := rules.list[k].glob()
		if r.work(matchSteps(p, path)) != nil || p.Match(path) && visit(rules.list[k]) {
			return
		}
	}
}

func matches[R interface{ glob() *tensor.Pattern }](r *run, rules *byRoot[R], path string) (found bool) {
	matching(r, rules, path, func(R) bool { found = true; return true })
	return found
}
