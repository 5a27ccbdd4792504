package query

import (
	"slices"

	"wreg/registry"
	"wreg/registry/tensor"
)

// part is the rows of one block that a query has selected so far. As long as the
// block is a full grid (every layer with every expert) and conditions speak of
// one number at a time, the selection stays a product of axes and no row is ever
// looked at; else it becomes a list.
type part struct {
	block    *registry.Block
	revision *registry.Revision
	layer    int // placeholder that counts layers, -1: none
	expert   int
	grid     []registry.Range
	axes     [][]int64 // the numbers selected on each axis of grid
	listed   bool
	rows     []int32 // when listed
}

func newPart(b *registry.Block, v *registry.Revision) *part {
	p := &part{block: b, revision: v, layer: -1, expert: -1}
	names := tensor.Placeholders(b.Template())
	p.layer, p.expert = slices.Index(names, "layer"), slices.Index(names, "expert")
	if grid, ok := b.Grid(); ok {
		p.grid, p.axes = grid, make([][]int64, len(grid))
		for k, r := range grid {
			p.axes[k] = make([]int64, r.Count)
			for i := range p.axes[k] {
				p.axes[k][i] = r.Start + int64(i)
			}
		}
		return p
	}
	if _, numbered := b.Index(0); !numbered {
		p.layer, p.expert = -1, -1
	}
	p.list()
	return p
}

// len is the number of rows selected.
func (p *part) len() int {
	if p.listed {
		return len(p.rows)
	}
	n := 1
	for _, a := range p.axes {
		n *= len(a)
	}
	return n
}

// list turns the selection into a list of rows.
func (p *part) list() {
	if p.listed {
		return
	}
	p.listed = true
	if p.grid == nil {
		p.rows = make([]int32, p.block.Len())
		for i := range p.rows {
			p.rows[i] = int32(i)
		}
		return
	}
	p.rows = []int32{0}
	for k, axis := range p.axes {
		next := make([]int32, 0, len(p.rows)*len(axis))
		for _, r := range p.rows {
			for _, n := range axis {
				next = append(next, r*int32(p.grid[k].Count)+int32(n-p.grid[k].Start))
			}
		}
		p.rows = next
	}
}

// keep narrows a listed selection to the positions given.
func (p *part) keep(positions []int32) { p.rows = pick(p.rows, positions) }

// match narrows the selection to the tensors that any of the patterns matches.
func (p *part) match(patterns []*tensor.TemplateMatch) {
	var open []*tensor.TemplateMatch
	for _, m := range patterns {
		if m.All() {
			return
		}
		if !m.None() {
			open = append(open, m)
		}
	}
	if len(open) == 1 && !p.listed {
		if alternatives, ok := open[0].Alternatives(); ok && len(alternatives) == 1 {
			for _, c := range alternatives[0] {
				p.axes[c.Slot] = slices.DeleteFunc(p.axes[c.Slot], func(n int64) bool { return !c.Allows(n) })
			}
			return
		}
	}
	p.list()
	var index [][]int64
	for k := 0; ; k++ {
		numbers, ok := p.block.Index(k)
		if !ok {
			break
		}
		index = append(index, numbers)
	}
	row := make([]int64, len(index))
	p.rows = slices.DeleteFunc(p.rows, func(r int32) bool {
		for k := range index {
			row[k] = index[k][r]
		}
		return !slices.ContainsFunc(open, func(m *tensor.TemplateMatch) bool { return m.Allows(row) })
	})
}

// filter narrows the selection to the rows for which every condition holds.
func (p *part) filter(conditions []*node) error {
	for _, c := range conditions {
		var set columnSet
		c.columns(&set)
		axes, whole := p.reads(set)
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
		case len(keep) == b.n:
		case p.listed && b.n == len(p.rows):
			p.keep(keep)
		case len(axes) == 1:
			p.axes[axes[0]] = pick(p.axes[axes[0]], keep)
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
func (p *part) reads(set columnSet) (axes []int, whole bool) {
	for c := range numColumns {
		if !set.has(c) {
			continue
		}
		switch k := p.axis(c); {
		case k >= 0 && !p.listed:
			if !slices.Contains(axes, k) {
				axes = append(axes, k)
			}
		case k >= 0 || !p.constant(c):
			return nil, true
		}
	}
	slices.Sort(axes)
	return axes, false
}

// axis is the placeholder a column shows, or -1.
func (p *part) axis(c column) int {
	switch c {
	case colLayer:
		return p.layer
	case colExpert:
		return p.expert
	}
	return -1
}

// constant reports that a column has one value for all rows of the block.
func (p *part) constant(c column) bool {
	one := func(v registry.Ints) bool { _, ok := v.Const(); return ok }
	oneFloat := func(v registry.Floats) bool { _, ok := v.Const(); return ok }
	stat := func(ok bool) bool { return ok && one(p.block.HasStats()) }
	switch c {
	case colPath:
		return p.block.Len() == 1
	case colDType:
		return one(p.block.DTypes())
	case colShape, colRank, colNumel:
		return one(p.block.Shapes().Code())
	case colBytes:
		return one(p.block.Bytes())
	case colHash:
		_, ok := p.block.Hashes().Const()
		return ok
	case colFile:
		return one(p.block.Files().Code())
	case colOffset:
		return one(p.block.Offsets())
	case colFormat:
		return one(p.block.Formats().Code())
	case colMin:
		return stat(oneFloat(p.block.Stats().Min))
	case colMax:
		return stat(oneFloat(p.block.Stats().Max))
	case colAbsMax:
		return stat(oneFloat(p.block.Stats().AbsMax))
	case colNaNs:
		return stat(one(p.block.Stats().NaNs))
	case colInfs:
		return stat(one(p.block.Stats().Infs))
	case colZeros:
		return stat(one(p.block.Stats().Zeros))
	}
	return true // template, model, and numbers the template does not have
}

// batch gives the rows to compute on: one for each combination of the axes given,
// or every selected row when whole.
func (p *part) batch(axes []int, whole bool) *batch {
	if whole {
		p.list()
		return &batch{n: len(p.rows), weight: 1, load: func(c column) *vector { return p.load(c, p.rows) }}
	}
	n, weight := 1, int64(1)
	if p.listed {
		weight = int64(len(p.rows))
	}
	for k, axis := range p.axes {
		if slices.Contains(axes, k) {
			n *= len(axis)
		} else if !p.listed {
			weight *= int64(len(axis))
		}
	}
	return &batch{n: n, weight: weight, load: func(c column) *vector {
		k := p.axis(c)
		if k < 0 {
			return p.load(c, []int32{0}) // constant: any row will do
		}
		inner := 1
		for _, j := range axes {
			if j > k {
				inner *= len(p.axes[j])
			}
		}
		numbers := make([]int64, n)
		for i := range numbers {
			numbers[i] = p.axes[k][i/inner%len(p.axes[k])]
		}
		return intVector(numbers)
	}}
}
