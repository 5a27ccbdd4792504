package declare

import (
	"slices"
	"strings"

	"wreg/registry/tensor"
)

// MatchSteps is about what it takes to match a pattern with a path.
func MatchSteps(p *tensor.Pattern, path string) int64 {
	return 8 + int64(len(p.String()))*int64(len(path))/128
}

// ByRoot holds rules in order, and finds those that may concern a path: a config
// can ask for as many rules as tensors, so that trying each is out of the question.
type ByRoot[R any] struct {
	List     []R
	patterns []*tensor.Pattern
	roots    map[string][]int
}

// Add keeps a rule about what a pattern matches.
func (b *ByRoot[R]) Add(p *tensor.Pattern, rule R) {
	b.patterns = append(b.patterns, p)
	b.AddUnder(p.Root(), rule)
}

// AddUnder keeps a rule about root and what lies under it.
func (b *ByRoot[R]) AddUnder(root string, rule R) {
	if b.roots == nil {
		b.roots = map[string][]int{}
	}
	b.roots[root] = append(b.roots[root], len(b.List))
	b.List = append(b.List, rule)
}

// Near gives the rules about a path, in order.
func (b *ByRoot[R]) Near(path string) []int {
	if len(b.List) == 0 {
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

// Matching visits the rules whose patterns match a path, in order, until visit says
// it has seen enough.
func (b *ByRoot[R]) Matching(budget *Budget, path string, visit func(k int, rule R) (enough bool)) {
	near := b.Near(path)
	if budget.Work(int64(len(near))) != nil {
		return
	}
	for _, k := range near {
		if p := b.patterns[k]; budget.Work(MatchSteps(p, path)) != nil || p.Match(path) && visit(k, b.List[k]) {
			return
		}
	}
}

// Any reports that a rule's pattern matches a path.
func (b *ByRoot[R]) Any(budget *Budget, path string) (found bool) {
	b.Matching(budget, path, func(int, R) bool { found = true; return true })
	return found
}
