package block

import (
	"cmp"
	"errors"
	"fmt"
	"hash/maphash"
	"iter"
	"math/bits"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"wreg/registry/tensor"
)

// maxTemplates bounds the templates with numbers of one revision. Real models have
// some hundreds.
const maxTemplates = 1 << 18

// maxFaultsShown bounds what one refused Put prints.
const maxFaultsShown = 10

// groupOf is the tensors of one block, sorted by index.
type groupOf struct {
	key     string
	entries []entry
}

// single is a tensor without numbers in its name, which is a block by itself. It is
// kept small: a file of any names must fit into memory.
type single struct {
	kind byte // of its key
	info *tensor.Info
}

func (s single) key() string { return string(s.kind) + s.info.Path }

func compareSingles(a, b single) int {
	return cmp.Or(cmp.Compare(a.kind, b.kind), strings.Compare(a.info.Path, b.info.Path))
}

// Group takes the tensors apart by template and collects every fault that makes
// them unfit to be stored. Each core takes a stretch of them.
func Group(tensors []tensor.Info) (*Groups, error) {
	if err := checkTemplates(tensors); err != nil {
		return nil, err
	}
	parts := make([]Groups, runtime.GOMAXPROCS(0))
	share := len(tensors)/len(parts) + 1
	onAllCores(len(parts), func(i int) {
		from, to := min(i*share, len(tensors)), min((i+1)*share, len(tensors))
		parts[i].add(tensors[from:to])
	})
	all := &parts[0]
	for _, p := range parts[1:] {
		all.join(p)
	}
	slices.SortFunc(all.groups, func(a, b groupOf) int { return strings.Compare(a.key, b.key) })
	slices.SortFunc(all.singles, compareSingles)
	onAllCores(len(all.groups), func(i int) { sortEntries(all.groups[i].entries) })
	faults := all.faults
	twice := func(a, b *tensor.Info) {
		faults = append(faults, fmt.Errorf("tensor %q: comes twice, in %s at %d and in %s at %d", b.Path, a.File, a.Offset, b.File, b.Offset))
	}
	for i := 1; i < len(all.singles); i++ {
		if a, b := all.singles[i-1], all.singles[i]; compareSingles(a, b) == 0 {
			twice(a.info, b.info)
		}
	}
	for _, g := range all.groups {
		for i := 1; i < len(g.entries); i++ {
			if slices.Equal(g.entries[i].index, g.entries[i-1].index) {
				twice(g.entries[i-1].info, g.entries[i].info)
			}
		}
	}
	if n := len(faults); n > maxFaultsShown {
		faults = append(faults[:maxFaultsShown], fmt.Errorf("and %d more", n-maxFaultsShown))
	}
	return all, errors.Join(faults...)
}

// checkTemplates refuses too many templates before anything is kept of them.
func checkTemplates(tensors []tensor.Info) error {
	if len(tensors) <= maxTemplates {
		return nil
	}
	seed, seen := maphash.MakeSeed(), map[uint64]bool{}
	var key []byte
	var numbers []int64
	for i := range tensors {
		key, numbers = appendBlockKey(key[:0], numbers[:0], tensors[i].Path)
		if len(numbers) == 0 {
			continue
		}
		if seen[maphash.Bytes(seed, key)] = true; len(seen) > maxTemplates {
			return fmt.Errorf("the names of its %d tensors have more than %d templates, such as %.60q; a registry keeps models, whose names differ in numbers",
				len(tensors), maxTemplates, key[1:])
		}
	}
	return nil
}

// Groups is a stretch of the tensors, taken apart by template.
type Groups struct {
	at      map[string]int // key → place in groups
	groups  []groupOf
	after   []int // place of the group that was met last after this one
	singles []single
	numbers []int64 // what the entries' indices are cut from
	faults  []error
}

// numbersChunk is how many numbers are allocated at once.
const numbersChunk = 1 << 12

func (p *Groups) add(tensors []tensor.Info) {
	p.at = map[string]int{}
	var key []byte
	last := -1
	for i := range tensors {
		t := &tensors[i]
		if err := checkInfo(t); err != nil {
			p.faults = append(p.faults, err)
			continue
		}
		from := len(p.numbers)
		key, p.numbers = appendBlockKey(key[:0], p.numbers, t.Path)
		if len(p.numbers) == from {
			p.singles = append(p.singles, single{key[0], t})
			continue
		}
		index := p.numbers[from:len(p.numbers):len(p.numbers)]
		if cap(p.numbers)-len(p.numbers) < len(index) {
			p.numbers = make([]int64, 0, max(numbersChunk, 2*len(index)))
		}
		last = p.find(key, last)
		p.groups[last].entries = append(p.groups[last].entries, entry{index, t})
	}
}

// find is the place of the group of a key, met after the group at last. Layers are
// alike, so it is mostly the one that came after that group before.
func (p *Groups) find(key []byte, last int) int {
	if last >= 0 {
		if g := p.after[last]; p.groups[g].key == string(key) {
			return g
		}
	}
	g, ok := p.at[string(key)]
	if !ok {
		g = p.open(string(key))
	}
	if last >= 0 {
		p.after[last] = g
	}
	return g
}

func (p *Groups) open(key string) int {
	p.at[key] = len(p.groups)
	p.groups = append(p.groups, groupOf{key: key})
	p.after = append(p.after, 0)
	return len(p.groups) - 1
}

// Len is how many blocks the tensors make.
func (p *Groups) Len() int { return len(p.groups) + len(p.singles) }

// inOrder yields every block's tensors in the order of their keys.
func (p *Groups) inOrder(yield func(groupOf) bool) {
	at := 0
	for _, s := range p.singles {
		key := s.key()
		for ; at < len(p.groups) && p.groups[at].key < key; at++ {
			if !yield(p.groups[at]) {
				return
			}
		}
		if !yield(groupOf{key, []entry{{nil, s.info}}}) {
			return
		}
	}
	for _, g := range p.groups[at:] {
		if !yield(g) {
			return
		}
	}
}

// join appends the entries of the stretch that follows.
func (p *Groups) join(next Groups) {
	p.singles = append(p.singles, next.singles...)
	for _, n := range next.groups {
		g, ok := p.at[n.key]
		if !ok {
			g = p.open(n.key)
		}
		p.groups[g].entries = append(p.groups[g].entries, n.entries...)
	}
	p.faults = append(p.faults, next.faults...)
}

// windowRows bounds the tensors whose blocks are encoded at once. With hashes and
// statistics a row takes some 100 bytes.
const windowRows = 1 << 17

// Encoded is a block on its way into a file.
type Encoded struct {
	Key     string
	Bytes   []byte
	entries []entry
}

// Len is the number of its tensors, Info is that of row i.
func (e Encoded) Len() int                { return len(e.entries) }
func (e Encoded) Info(i int) *tensor.Info { return e.entries[i].info }

// Encode yields the blocks in the order of their keys; files gives each file's place
// in the revision's table.
func (p *Groups) Encode(files map[string]int) iter.Seq2[Encoded, error] {
	return func(yield func(Encoded, error) bool) {
		for window := range windows(p.inOrder) {
			blocks, errs := make([][]byte, len(window)), make([]error, len(window))
			onAllCores(len(window), func(i int) { blocks[i], errs[i] = encodeBlock(window[i].key, window[i].entries, files) })
			if err := errors.Join(errs...); err != nil {
				yield(Encoded{}, err)
				return
			}
			for i, g := range window {
				if !yield(Encoded{g.key, blocks[i], g.entries}, nil) {
					return
				}
			}
		}
	}
}

// windows cuts groups into stretches of windowRows tensors, of one group at least.
func windows(groups iter.Seq[groupOf]) iter.Seq[[]groupOf] {
	return func(yield func([]groupOf) bool) {
		var window []groupOf
		rows := 0
		for g := range groups {
			if len(window) > 0 && rows+len(g.entries) > windowRows {
				if !yield(window) {
					return
				}
				window, rows = window[:0], 0
			}
			window, rows = append(window, g), rows+len(g.entries)
		}
		if len(window) > 0 {
			yield(window)
		}
	}
}

// sortEntries orders entries by index. Paths come in the order of their digits,
// 1, 10, 2, which is seldom that of the numbers. Numbers that fit one word
// together are compared as that word.
func sortEntries(entries []entry) {
	if slices.IsSortedFunc(entries, compareEntries) {
		return
	}
	var widths [4]int
	total := 0
	if len(entries[0].index) <= len(widths) {
		for a := range entries[0].index {
			var or int64
			for _, e := range entries {
				or |= e.index[a]
			}
			widths[a] = bits.Len64(uint64(or))
			total += widths[a]
		}
	}
	if total == 0 || total > 64 {
		slices.SortFunc(entries, compareEntries)
		return
	}
	type word struct {
		key uint64
		at  int
	}
	words := make([]word, len(entries))
	for i, e := range entries {
		for a, n := range e.index {
			words[i].key = words[i].key<<widths[a] | uint64(n)
		}
		words[i].at = i
	}
	slices.SortFunc(words, func(a, b word) int { return cmp.Compare(a.key, b.key) })
	unsorted := slices.Clone(entries)
	for i, w := range words {
		entries[i] = unsorted[w.at]
	}
}

func compareEntries(a, b entry) int { return slices.Compare(a.index, b.index) }

// onAllCores calls work(0) to work(n-1), several at once.
func onAllCores(n int, work func(i int)) {
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i := range n {
		g.Go(func() error { work(i); return nil })
	}
	_ = g.Wait() // none of them fails
}
