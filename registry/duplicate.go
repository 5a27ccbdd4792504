package registry

import (
	"cmp"
	"encoding/binary"
	"iter"
	"math/bits"
	"slices"

	"wreg/registry/tensor"
)

// Row is one tensor: row Row of Block, of revision Revision in the list that was
// asked for.
type Row struct {
	Revision int
	Block    *Block
	Row      int
}

// Path is the tensor's path.
func (x Row) Path() string { return x.Block.Path(x.Row) }

// Hash is the tensor's hash.
func (x Row) Hash() tensor.Hash { return x.Block.Hashes().At(x.Row) }

// partEntries is how many entries of the content index are looked at together:
// their table fits a core's own cache.
const partEntries = 1 << 12

// Duplicates yields the tensors of the given revisions that share their content
// with another, one group a hash, in the order of the hashes; within a group in
// the order of revisions and their rows. Tensors without a hash are in none. The
// slice is used again for the next group.
//
// It reads the content index alone and, of groups it finds, the hashes, whatever
// else is stored of the tensors: see BenchmarkDuplicates.
func (s *Snapshot) Duplicates(revisions []*Revision) iter.Seq2[[]Row, error] {
	return func(yield func([]Row, error) bool) {
		d := &duplicates{s: s}
		total := 0
		for i, v := range revisions {
			st, err := s.state(v)
			if err == nil {
				err = d.add(i, st, &total)
			}
			if err != nil {
				yield(nil, err)
				return
			}
		}
		// Hashes are spread evenly, so their top bits cut them into equal parts.
		partBits := bits.Len(uint(total / partEntries))
		for p := range uint64(1) << partBits {
			last := ^uint64(0)
			if partBits > 0 {
				last = (p+1)<<(64-partBits) - 1
			}
			d.collect(last)
			if !d.yield(yield) {
				return
			}
		}
	}
}

// duplicates walks the sorted chunks of several revisions side by side.
type duplicates struct {
	s      *Snapshot
	states []*state
	runs   []run

	// The part at hand: its prefixes, run after run.
	prefixes  []uint64
	starts    []int32 // where each run's prefixes begin
	table     []int32 // by prefix: a place + 1, or -(group + 1)
	groups    []prefixGroup
	following []int32 // the next place of the same prefix; set for places in groups only
	rows      []Row
}

// run is what is left of one chunk.
type run struct {
	revision int
	chunk    chunk
	next     int // first entry that no part has taken
	from     int // first entry of the part at hand
}

// prefixGroup is a chain of places that share a prefix.
type prefixGroup struct {
	prefix      uint64
	first, last int32
}

func (d *duplicates) add(revision int, st *state, total *int) error {
	chunks, err := d.s.content(st)
	if err != nil {
		return err
	}
	d.states = append(d.states, st)
	for _, c := range chunks {
		if c.kind == wholeKind {
			d.runs = append(d.runs, run{revision: revision, chunk: c})
			*total += c.n
		}
	}
	return nil
}

// collect takes the entries up to prefix last and finds those that came twice.
func (d *duplicates) collect(last uint64) {
	d.prefixes, d.starts, d.groups = d.prefixes[:0], d.starts[:0], d.groups[:0]
	for r := range d.runs {
		x := &d.runs[r]
		x.from = x.next
		d.starts = append(d.starts, int32(len(d.prefixes)))
		rest := x.chunk.b[8*x.next : 8*x.chunk.n]
		for ; len(rest) >= 8; rest = rest[8:] {
			p := binary.LittleEndian.Uint64(rest)
			if p > last {
				break
			}
			d.prefixes = append(d.prefixes, p)
		}
		x.next = x.chunk.n - len(rest)/8
	}
	n := len(d.prefixes)
	size := 1 << bits.Len(uint(2*n))
	if len(d.table) < size {
		d.table = make([]int32, size)
	}
	if len(d.following) < n {
		d.following = make([]int32, n)
	}
	table := d.table[:size]
	clear(table)
	shift := 64 - bits.TrailingZeros(uint(size))
	for i, p := range d.prefixes {
		// Spread what chosen hashes may have in their lower bits only.
		slot := int(p * 0x9E3779B97F4A7C15 >> shift)
		for table[slot] != 0 && d.prefixAt(table[slot]) != p {
			slot = (slot + 1) & (size - 1)
		}
		switch at := table[slot]; {
		case at == 0:
			table[slot] = int32(i + 1)
		case at > 0:
			d.groups = append(d.groups, prefixGroup{p, at - 1, int32(i)})
			table[slot] = -int32(len(d.groups))
			d.following[at-1] = int32(i)
		default:
			g := &d.groups[-at-1]
			d.following[g.last], g.last = int32(i), int32(i)
		}
	}
	slices.SortFunc(d.groups, func(a, b prefixGroup) int { return cmp.Compare(a.prefix, b.prefix) })
}

// prefixAt is the prefix an entry of the table stands for.
func (d *duplicates) prefixAt(at int32) uint64 {
	if at < 0 {
		return d.groups[-at-1].prefix
	}
	return d.prefixes[at-1]
}

// yield hands out the groups of the part at hand.
func (d *duplicates) yield(yield func([]Row, error) bool) bool {
	for _, g := range d.groups {
		d.rows = d.rows[:0]
		for i := g.first; ; i = d.following[i] {
			row, err := d.row(i)
			if err != nil {
				yield(nil, err)
				return false
			}
			d.rows = append(d.rows, row)
			if i == g.last {
				break
			}
		}
		if !d.yieldEqual(yield) {
			return false
		}
	}
	return true
}

// yieldEqual yields the rows, all of one prefix, by their full hashes: one group,
// unless somebody made hashes that begin alike.
func (d *duplicates) yieldEqual(yield func([]Row, error) bool) bool {
	same := true
	first := d.rows[0].Hash()
	for _, x := range d.rows[1:] {
		if x.Hash() != first {
			same = false
			break
		}
	}
	if same {
		return yield(d.rows, nil)
	}
	slices.SortStableFunc(d.rows, func(a, b Row) int {
		x, y := a.Hash(), b.Hash()
		return slices.Compare(x[:], y[:])
	})
	for start := 0; start < len(d.rows); {
		end := start + 1
		for end < len(d.rows) && d.rows[end].Hash() == d.rows[start].Hash() {
			end++
		}
		if end-start > 1 && !yield(d.rows[start:end:end], nil) {
			return false
		}
		start = end
	}
	return true
}

// row finds the tensor at a place of the part at hand and makes sure that it has
// the hash the index says.
func (d *duplicates) row(place int32) (Row, error) {
	r, exact := slices.BinarySearch(d.starts, place)
	if exact {
		// Runs that have nothing in this part begin where the next one does.
		for r+1 < len(d.starts) && d.starts[r+1] == place {
			r++
		}
	} else {
		r--
	}
	x := d.runs[r]
	st := d.states[x.revision]
	at, row, err := d.s.locate(st, x.chunk.row(x.from+int(place-d.starts[r])))
	if err != nil {
		return Row{}, err
	}
	b, err := d.s.block(st, at)
	if err != nil {
		return Row{}, err
	}
	found := Row{x.revision, b, row}
	if prefixOf(found.Hash()) != d.prefixes[place] {
		return Row{}, d.s.r.damage(st.ref, "the content index and row %d of block %q differ", row, b.Template())
	}
	return found, nil
}
