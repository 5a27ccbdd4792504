package hashindex

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"slices"
)

// partEntries is how many entries are looked at together: their table fits a core's
// own cache.
const partEntries = 1 << 12

// Found is a place that a Merge found: a row of the source that was added as Source.
type Found struct {
	Source int
	Row    uint32
}

// Merge finds the prefixes that come twice in the whole tensors of several sources.
type Merge struct {
	runs  []run
	total int

	// The part at hand: its prefixes, run after run.
	prefixes  []uint64
	starts    []int32 // where each run's prefixes begin
	table     []int32 // by prefix: a place + 1, or -(group + 1)
	groups    []prefixGroup
	following []int32 // the next place of the same prefix; set for places in groups only
	found     []Found
}

// run is what is left of one chunk.
type run struct {
	source int
	chunk  Chunk
	next   int // first entry that no part has taken
	from   int // first entry of the part at hand
}

// prefixGroup is a chain of places that share a prefix.
type prefixGroup struct {
	prefix      uint64
	first, last int32
}

// Add adds an index. Sources are added in ascending order.
func (m *Merge) Add(source int, chunks []Chunk) {
	for _, c := range chunks {
		if c.Kind == Whole {
			m.runs = append(m.runs, run{source: source, chunk: c})
			m.total += c.N
		}
	}
}

// Shared yields each prefix that comes twice, in ascending order, with its places in
// the order of sources and rows. The slice is used again for the next one.
func (m *Merge) Shared(yield func(prefix uint64, found []Found) bool) {
	// Hashes are spread evenly, so their top bits cut them into equal parts.
	partBits := bits.Len(uint(m.total / partEntries))
	for p := range uint64(1) << partBits {
		last := ^uint64(0)
		if partBits > 0 {
			last = (p+1)<<(64-partBits) - 1
		}
		m.collect(last)
		for _, g := range m.groups {
			m.found = m.found[:0]
			for i := g.first; ; i = m.following[i] {
				m.found = append(m.found, m.at(i))
				if i == g.last {
					break
				}
			}
			if !yield(g.prefix, m.found) {
				return
			}
		}
	}
}

// collect takes the entries up to prefix last and finds those that came twice.
func (m *Merge) collect(last uint64) {
	m.prefixes, m.starts, m.groups = m.prefixes[:0], m.starts[:0], m.groups[:0]
	for r := range m.runs {
		x := &m.runs[r]
		x.from = x.next
		m.starts = append(m.starts, int32(len(m.prefixes)))
		rest := x.chunk.Bytes[8*x.next : 8*x.chunk.N]
		for ; len(rest) >= 8; rest = rest[8:] {
			p := binary.LittleEndian.Uint64(rest)
			if p > last {
				break
			}
			m.prefixes = append(m.prefixes, p)
		}
		x.next = x.chunk.N - len(rest)/8
	}
	n := len(m.prefixes)
	size := 1 << bits.Len(uint(2*n))
	if len(m.table) < size {
		m.table = make([]int32, size)
	}
	if len(m.following) < n {
		m.following = make([]int32, n)
	}
	table := m.table[:size]
	clear(table)
	shift := 64 - bits.TrailingZeros(uint(size))
	for i, p := range m.prefixes {
		// Spread what chosen hashes may have in their lower bits only.
		slot := int(p * 0x9E3779B97F4A7C15 >> shift)
		for table[slot] != 0 && m.prefixAt(table[slot]) != p {
			slot = (slot + 1) & (size - 1)
		}
		switch at := table[slot]; {
		case at == 0:
			table[slot] = int32(i + 1)
		case at > 0:
			m.groups = append(m.groups, prefixGroup{p, at - 1, int32(i)})
			table[slot] = -int32(len(m.groups))
			m.following[at-1] = int32(i)
		default:
			g := &m.groups[-at-1]
			m.following[g.last], g.last = int32(i), int32(i)
		}
	}
	slices.SortFunc(m.groups, func(a, b prefixGroup) int { return cmp.Compare(a.prefix, b.prefix) })
}

// prefixAt is the prefix an entry of the table stands for.
func (m *Merge) prefixAt(at int32) uint64 {
	if at < 0 {
		return m.groups[-at-1].prefix
	}
	return m.prefixes[at-1]
}

// at is the place at i of the part at hand.
func (m *Merge) at(i int32) Found {
	r, exact := slices.BinarySearch(m.starts, i)
	if exact {
		// Runs that have nothing in this part begin where the next one does.
		for r+1 < len(m.starts) && m.starts[r+1] == i {
			r++
		}
	} else {
		r--
	}
	x := m.runs[r]
	return Found{x.source, x.chunk.row(x.from + int(i-m.starts[r]))}
}
