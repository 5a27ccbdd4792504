// Package pathsort orders tensor paths bytewise.
//
// Most users need [Sort]; [Order] is for elements that stay where they are.
//
// Invariants: the order is that of strings.Compare; equal paths keep theirs.
//
// A general sort compares whole strings, and the paths of a checkpoint share long
// prefixes; this one compares eight bytes at a time from where a group of paths
// begins to differ. On 100,000 expert tensors it is several times faster.
package pathsort

import (
	"cmp"
	"slices"
	"strings"
)

// smallGroup is the length below which paths are compared whole.
const smallGroup = 12

type item struct {
	key uint64 // eight bytes of the path, the first most significant
	i   uint32
}

// Order is the order of the n paths: the indices 0 to n-1 by path, equal paths by
// index. It is nil when they are in order already. n is below 2^32.
func Order(n int, path func(i int) string) []uint32 {
	sorted := true
	for i := 1; i < n && sorted; i++ {
		sorted = path(i-1) <= path(i)
	}
	if sorted {
		return nil
	}
	s := sorter{path: path, items: make([]item, n)}
	for i := range s.items {
		s.items[i].i = uint32(i)
	}
	s.sort(0, n, 0)
	order := make([]uint32, n)
	for k := range order {
		order[k] = s.items[k].i
	}
	return order
}

// Sort sorts list by path in place. Elements may be large: each is moved once.
func Sort[T any](list []T, path func(*T) string) {
	order := Order(len(list), func(i int) string { return path(&list[i]) })
	for i := range order { // follow each cycle of the permutation
		if int(order[i]) == i {
			continue
		}
		held, at := list[i], i
		for {
			from := int(order[at])
			order[at] = uint32(at)
			if from == i {
				list[at] = held
				break
			}
			list[at], at = list[from], from
		}
	}
}

type sorter struct {
	path  func(i int) string
	items []item
	spare []item
	runs  []run
}

// run is a stretch of neighbours with one key.
type run struct {
	key      uint64
	from, to uint32
}

// byKey sorts a group by key. Paths come in the order of the model, so neighbours
// often share a key: then the runs are sorted, which are far fewer.
func (s *sorter) byKey(group []item) {
	s.runs = s.runs[:0]
	for i := range group {
		if k := group[i].key; i == 0 || k != group[i-1].key {
			s.runs = append(s.runs, run{k, uint32(i), uint32(i)})
		}
		s.runs[len(s.runs)-1].to++
		if len(s.runs) > 64 && len(s.runs) > i/4 {
			slices.SortFunc(group, func(a, b item) int { return cmp.Compare(a.key, b.key) })
			return
		}
	}
	slices.SortFunc(s.runs, func(a, b run) int { return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.from, b.from)) })
	s.spare = append(s.spare[:0], group...)
	group = group[:0]
	for _, r := range s.runs {
		group = append(group, s.spare[r.from:r.to]...)
	}
}

// sort orders the items lo to hi, whose paths are equal before depth.
func (s *sorter) sort(lo, hi, depth int) {
	group := s.items[lo:hi]
	shortest := s.common(group, depth)
	if len(group) <= smallGroup || shortest < depth {
		slices.SortFunc(group, func(a, b item) int {
			return cmp.Or(strings.Compare(s.path(int(a.i)), s.path(int(b.i))), cmp.Compare(a.i, b.i))
		})
		return
	}
	depth = shortest
	for k := range group {
		group[k].key = eight(s.path(int(group[k].i)), depth)
	}
	s.byKey(group)
	for from := 0; from < len(group); {
		to := from + 1
		for to < len(group) && group[to].key == group[from].key {
			to++
		}
		if to-from > 1 {
			s.sort(lo+from, lo+to, depth+8)
		}
		from = to
	}
}

// common is how many bytes all paths of a group share; less than depth when one
// of them ends before.
func (s *sorter) common(group []item, depth int) int {
	first := s.path(int(group[0].i))
	n := len(first)
	for _, it := range group[1:] {
		p := s.path(int(it.i))
		if n = min(n, len(p)); n < depth {
			return n
		}
		if p[depth:n] == first[depth:n] {
			continue
		}
		k := depth
		for k < n && p[k] == first[k] {
			k++
		}
		n = k
	}
	return n
}

// eight packs the bytes of p from depth on; what is missing counts as 0.
func eight(p string, depth int) (key uint64) {
	if p = p[depth:]; len(p) >= 8 {
		return uint64(p[7]) | uint64(p[6])<<8 | uint64(p[5])<<16 | uint64(p[4])<<24 |
			uint64(p[3])<<32 | uint64(p[2])<<40 | uint64(p[1])<<48 | uint64(p[0])<<56
	}
	for i := range 8 {
		key <<= 8
		if i < len(p) {
			key |= uint64(p[i])
		}
	}
	return key
}
