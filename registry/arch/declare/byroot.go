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
	List  []R
	roots map[string][]int
}

// Add keeps a rule about root and what lies under it.
func (b *ByRoot[R]) Add(root string, rule R) {
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

// Patterned is a rule that concerns the paths that a pattern matches.
type Patterned interface{ glob() *tensor.Pattern }

// Matching visits the rules about names that match a path, in order, until visit
// says it has seen enough.
func Matching[R Patterned](b *Budget, rules *ByRoot[R], path string, visit func(R) (enough bool)) {
	for _, k := range rules.Near(path) {
		if Matches(b, rules.List[k], path) && visit(rules.List[k]) {
			return
		}
	}
}

// Matches reports that a rule concerns a path.
func Matches(b *Budget, rule Patterned, path string) bool {
	p := rule.glob()
	return b.Work(MatchSteps(p, path)) == nil && p.Match(path)
}

// Any reports that one of the rules concerns a path.
func Any[R Patterned](b *Budget, rules *ByRoot[R], path string) (found bool) {
	Matching(b, rules, path, func(R) bool { found = true; return true })
	return found
}
