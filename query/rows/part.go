package rows

import (
	"bytes"
	"context"
	"slices"

	"wreg/registry"
	"wreg/registry/block"
	"wreg/registry/expr"
	"wreg/registry/tensor"
)

// part is the rows of one block that a query has selected so far. As long as the
// block is a full grid (every layer with every expert) and conditions speak of
// one number at a time, the selection stays a product of axes and no row is ever
// looked at; else it becomes a list.
type part struct {
	ctx    context.Context
	block  *block.Block
	source *source
	*shape
	grid   []block.Range // nil when the rows are not a full grid
	axes   [][]int64     // the numbers selected on each axis; nil: all of them
	listed bool
	rows   []int32 // when listed

	spare *reduced // used again for the next block
}

// source is a revision that rows are of, with what is looked up in it for each of them.
type source struct {
	*registry.Revision
	trusts map[string]expr.Value // of its files; nil until one is asked for
	one    expr.Value            // the trust of all files that hold tensors, where that is one
	alike  bool
}

// trust is how what is recorded of a file's tensors is known, Null of a file that is not listed.
func (s *source) trust(file string) expr.Value {
	s.look()
	return s.trusts[file]
}

// oneTrust is the trust of every file, where they have one.
func (s *source) oneTrust() (v expr.Value, alike bool) {
	s.look()
	return s.one, s.alike
}

func (s *source) look() {
	if s.trusts != nil {
		return
	}
	s.trusts = make(map[string]expr.Value, len(s.Files))
	least := tensor.Least(s.Files)
	s.one, s.alike = textOrNull(least.String()), true
	for _, f := range s.Files {
		s.trusts[f.Name] = textOrNull(f.Trust.String())
		s.alike = s.alike && (f.Trust == least || f.Trust == tensor.TrustUnset)
	}
}

// reduced is a batch over some axes of a part.
type reduced struct {
	batch
	axes []int
	read []int // what reads gives
}

// shape is what a template alone says about its blocks.
type shape struct {
	matches []*tensor.TemplateMatch // one per pattern
	may     bool                    // some pattern can match
	all     bool                    // some pattern matches all numbers
	slots   int                     // numbers in the template
	layer   int                     // which of them counts layers, -1: none
	expert  int
}

// unnumbered is the shape of a path that holds {layer} as text.
var unnumbered = &shape{layer: -1, expert: -1}

// open makes p the whole of a block.
func (p *part) open(ctx context.Context, b *block.Block, of *source, s *shape) {
	*p = part{ctx: ctx, block: b, source: of, shape: s, spare: p.spare}
	if grid, ok := b.Grid(); ok {
		p.grid = grid
		return
	}
	if s.slots > 0 {
		if _, numbered := b.Index(0); !numbered {
			p.shape = unnumbered
		}
	}
	p.list()
}

// axisLen is the number of numbers selected on an axis.
func (p *part) axisLen(k int) int {
	if p.axes == nil || p.axes[k] == nil {
		return int(p.grid[k].Count)
	}
	return len(p.axes[k])
}

// axisAt is the i-th number selected on an axis.
func (p *part) axisAt(k, i int) int64 {
	if p.axes == nil || p.axes[k] == nil {
		return p.grid[k].Start + int64(i)
	}
	return p.axes[k][i]
}

// axis gives the numbers selected on an axis.
func (p *part) axis(k int) []int64 {
	if p.axes != nil && p.axes[k] != nil {
		return p.axes[k]
	}
	numbers := make([]int64, p.grid[k].Count)
	for i := range numbers {
		numbers[i] = p.grid[k].Start + int64(i)
	}
	return numbers
}

// narrow keeps only these numbers of an axis.
func (p *part) narrow(k int, numbers []int64) {
	if p.axes == nil {
		p.axes = make([][]int64, len(p.grid))
	}
	if numbers == nil {
		numbers = []int64{}
	}
	p.axes[k] = numbers
}

// len is the number of rows selected.
func (p *part) len() int {
	if p.listed {
		return len(p.rows)
	}
	if p.axes == nil {
		return p.block.Len()
	}
	n := 1
	for k := range p.grid {
		n *= p.axisLen(k)
	}
	return n
}

// list turns the selection into a list of rows.
func (p *part) list() {
	if p.listed {
		return
	}
	p.listed = true
	if p.axes == nil {
		p.rows = make([]int32, p.block.Len())
		for i := range p.rows {
			p.rows[i] = int32(i)
		}
		return
	}
	p.rows = []int32{0}
	for k, r := range p.grid {
		axis := p.axis(k)
		next := make([]int32, 0, len(p.rows)*len(axis))
		for _, row := range p.rows {
			for _, n := range axis {
				next = append(next, row*int32(r.Count)+int32(n-r.Start))
			}
		}
		p.rows = next
	}
}

// match narrows the selection to the tensors that any of the patterns matches.
func (p *part) match(patterns []*tensor.Pattern) {
	if p.all || len(patterns) == 0 {
		return
	}
	if p.shape == unnumbered {
		if path := p.block.Path(0); !slices.ContainsFunc(patterns, func(q *tensor.Pattern) bool { return q.Match(path) }) {
			p.rows = nil
		}
		return
	}
	var open []*tensor.TemplateMatch
	for _, m := range p.matches {
		if !m.None() {
			open = append(open, m)
		}
	}
	if len(open) == 1 && !p.listed {
		if alternatives, ok := open[0].Alternatives(); ok && len(alternatives) == 1 {
			for _, c := range alternatives[0] {
				p.narrow(c.Slot, slices.DeleteFunc(slices.Clone(p.axis(c.Slot)), func(n int64) bool { return !c.Allows(n) }))
			}
			return
		}
	}
	p.list()
	index := make([][]int64, p.slots)
	for k := range index {
		index[k], _ = p.block.Index(k)
	}
	row := make([]int64, len(index))
	p.rows = slices.DeleteFunc(p.rows, func(r int32) bool {
		for k := range index {
			row[k] = index[k][r]
		}
		return !slices.ContainsFunc(open, func(m *tensor.TemplateMatch) bool { return m.Allows(row) })
	})
}

// dropUnhashed narrows the selection to tensors that have a hash.
func (p *part) dropUnhashed() {
	hashes := p.block.Hashes()
	if h, same := hashes.Const(); same {
		if h.IsZero() {
			p.listed, p.rows = true, nil
		}
		return
	}
	zero := make([]byte, len(tensor.Hash{}))
	raw := hashes.Raw()
	unhashed := func(r int32) bool { return bytes.Equal(raw[int(r)*len(zero):(int(r)+1)*len(zero)], zero) }
	p.list()
	if slices.ContainsFunc(p.rows, unhashed) {
		p.rows = slices.DeleteFunc(p.rows, unhashed)
	}
}

// narrowing remembers what a condition leaves of a whole axis, as a hundred
// models of a family have the same axes.
type narrowing struct {
	condition *Node
	column    Column
	numbers   block.Range
}

// filter narrows the selection to the rows for which every condition holds.
func (p *part) filter(conditions []*Node, known map[narrowing][]int64) error {
	for _, c := range conditions {
		var set ColumnSet
		c.Columns(&set)
		axes, whole := p.reads(set)
		var memo narrowing
		if col, one := set.one(); one && len(axes) == 1 && !whole && (p.axes == nil || p.axes[axes[0]] == nil) {
			memo = narrowing{c, col, p.grid[axes[0]]}
			if numbers, ok := known[memo]; ok {
				p.narrow(axes[0], numbers)
				continue
			}
		}
		if whole || len(axes) > 1 {
			p.list()
			axes = nil
		}
		b := p.batch(axes, whole || p.listed)
		keep, err := b.selected(c)
		if err != nil {
			return err
		}
		switch {
		case len(axes) == 1 && !p.listed:
			p.narrow(axes[0], pick(p.axis(axes[0]), keep))
			if memo.condition != nil {
				known[memo] = p.axes[axes[0]]
			}
		case len(keep) == b.n:
		case p.listed && b.n == len(p.rows):
			p.rows = pick(p.rows, keep)
		default: // the condition is one value for all rows, and not true
			p.listed, p.rows = true, nil
		}
		if p.len() == 0 {
			return nil
		}
	}
	return nil
}

// reads says what values of the columns depend on in this block: nothing, one or
// more axes, or the row as a whole.
// The list is valid until the next call.
func (p *part) reads(set ColumnSet) (axes []int, whole bool) {
	if p.spare == nil {
		p.spare = &reduced{}
		p.spare.load = p.loadReduced
	}
	axes = p.spare.read[:0]
	for c := range set.All() {
		switch k := p.axisOf(c); {
		case k >= 0 && !p.listed:
			if !slices.Contains(axes, k) {
				axes = append(axes, k)
			}
		case k >= 0 || !p.constant(c):
			return nil, true
		}
	}
	slices.Sort(axes)
	p.spare.read = axes
	return axes, false
}

// axisOf is the placeholder a column shows, or -1.
func (p *part) axisOf(c Column) int {
	if of := columns[c].axis; of != nil {
		return of(p.shape)
	}
	return -1
}

// constant reports that a column has one value for all rows of the block.
func (p *part) constant(c Column) bool {
	row := &columns[c]
	if row.code != nil {
		_, same := row.code(p)
		return same
	}
	return row.constant == nil || row.constant(p)
}

// batch gives the rows to compute on: one for each combination of the axes given,
// or every selected row when whole. The former is valid until the next call.
func (p *part) batch(axes []int, whole bool) *batch {
	if whole {
		p.list()
		return &batch{ctx: p.ctx, n: len(p.rows), weight: 1, load: func(c Column) *vector { return p.load(c, p.rows) }}
	}
	n, weight := 1, int64(p.len())
	for _, k := range axes {
		n *= p.axisLen(k)
	}
	if n > 0 {
		weight /= int64(n)
	}
	b := p.spare
	b.ctx, b.n, b.weight, b.axes, b.loaded = p.ctx, n, weight, axes, [numColumns]*vector{}
	return &b.batch
}

// loadReduced is the load of a reduced batch.
func (p *part) loadReduced(c Column) *vector {
	k := p.axisOf(c)
	if k < 0 {
		return p.load(c, []int32{0}) // constant: any row will do
	}
	b, inner := p.spare, 1
	for _, j := range b.axes {
		if j > k {
			inner *= p.axisLen(j)
		}
	}
	numbers := make([]int64, b.n)
	for i := range numbers {
		numbers[i] = p.axisAt(k, i/inner%p.axisLen(k))
	}
	return intVector(numbers)
}
