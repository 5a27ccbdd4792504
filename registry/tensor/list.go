package tensor

import (
	"slices"
	"sort"
	"strings"
)

// List is tensors sorted by path.
type List []Info

// Sort sorts the list.
func (l List) Sort() {
	slices.SortFunc(l, func(a, b Info) int { return strings.Compare(a.Path, b.Path) })
}

// Find is where the tensor of a path is; where it would be when ok is false.
func (l List) Find(path string) (at int, ok bool) {
	at = sort.Search(len(l), func(i int) bool { return l[i].Path >= path })
	return at, at < len(l) && l[at].Path == path
}

// Lookup finds a tensor by its path.
func (l List) Lookup(path string) (Info, bool) {
	if i, ok := l.Find(path); ok {
		return l[i], true
	}
	return Info{}, false
}

// All yields every tensor, sorted by path.
func (l List) All(yield func(Info) bool) {
	for _, t := range l {
		if !yield(t) {
			return
		}
	}
}
