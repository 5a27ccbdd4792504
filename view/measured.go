package view

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"wreg/export"
	"wreg/registry/arch"
	"wreg/registry/tensor"
	"wreg/view/measure"
)

// Measure reads both checkpoints and adds by how much the tensors that differ, or are not
// known to be equal, do so. A checkpoint that changed since it was ingested is an error, after
// which nothing of the comparison can be used.
func (c *Comparison) Measure(ctx context.Context, o measure.Options) error {
	c.Parts, c.Tensors = nil, nil // what follows is large where there are many
	at, deltas, err := c.read(ctx, o)
	if err != nil {
		return err
	}
	for k, i := range at {
		p := &c.pairs[i]
		p.delta = &deltas[k]
		switch {
		case p.delta.Changed > 0:
			p.status = arch.Changed
		case !p.gapped:
			p.status = Equal
		case p.alone:
			p.reason = "stored otherwise; the numbers are equal"
		}
	}
	c.Measured = true
	c.Notes = slices.DeleteFunc(c.Notes, func(n string) bool { return slices.Contains(c.doubts, n) })
	c.settle()
	c.a, c.b, c.pairs = nil, nil, nil
	c.Differs = c.Changed+c.Missing+c.Extra+c.Uncompared > 0
	return nil
}

// read gives the pairs that were measured, and how far each is apart.
func (c *Comparison) read(ctx context.Context, o measure.Options) (at []int, deltas []measure.Delta, err error) {
	var unchanged []func() error
	for _, x := range []*side{c.a, c.b} {
		open, same, err := export.Reopen(ctx, x.revision, x.recorded)
		if err != nil {
			return nil, nil, err
		}
		defer open.Close()
		x.reader.Bytes, x.reader.Prove = open.Bytes, open.Prove
		unchanged = append(unchanged, same)
	}
	var asked []measure.Pair
	for i := range c.pairs {
		p := &c.pairs[i]
		if p.status == Equal {
			continue
		}
		one := measure.Pair{Path: p.a.path, A: p.a.make, B: p.b.make}
		if err := measure.Comparable(&c.a.reader, &c.b.reader, &one); err != nil {
			p.reason = cmp.Or(p.reason, err.Error())
			continue
		}
		asked, at = append(asked, one), append(at, i)
	}
	deltas, err = measure.Pairs(ctx, &c.a.reader, &c.b.reader, asked, o)
	for _, same := range unchanged { // a file cut short or overwritten shows as all kinds of errors; this is the cause
		if changed := same(); changed != nil && ctx.Err() == nil {
			return nil, nil, changed
		}
	}
	c.a, c.b = c.a.again(), c.b.again()
	return at, deltas, err
}

// Only is a comparison of what lies in one of its parts, which can be measured by itself, at
// the same time as others.
func (c *Comparison) Only(p *Part) *Comparison {
	o := *c
	o.a, o.b = c.a.again(), c.b.again()
	o.pairs, o.lone, o.Bytes, o.Notes, o.doubts, o.Lines = nil, nil, 0, []string{}, nil, []Line{}
	for _, x := range c.pairs {
		if m, _ := moduleOf(x.a.path); m == p.module {
			o.pairs = append(o.pairs, x)
			if x.status != Equal {
				o.Bytes += readOf(o.a, x.a) + readOf(o.b, x.b)
			}
		}
	}
	for _, d := range c.lone {
		if m, _ := moduleOf(d.Path); m == p.module {
			o.lone = append(o.lone, d)
		}
	}
	o.settle()
	return &o
}

// bytesAlone reports a gap that says no more than that bytes differ.
func bytesAlone(g *arch.Gap) bool {
	return strings.HasSuffix(g.Reason, "bytes differ") || strings.Contains(g.Reason, ": bytes differ from ")
}

// settle counts what is known of all pairs by now, and lays it out by module and layer.
func (c *Comparison) settle() {
	c.Changed, c.Missing, c.Extra, c.Equal, c.Uncompared, c.Total, c.Quantized = 0, 0, 0, 0, 0, nil, nil
	c.Tensors = []Difference{}
	c.errors = map[spotted]*measure.Delta{}
	rows := map[module]map[int64]*Patch{}
	patch := func(path string) (p *Patch, m module, layer int64) {
		m, layer = moduleOf(path)
		if rows[m] == nil {
			rows[m] = map[int64]*Patch{}
		}
		if rows[m][layer] == nil {
			rows[m][layer] = &Patch{}
		}
		return rows[m][layer], m, layer
	}
	place := func(d *Difference, m module, layer int64) {
		d.Component = m.name
		if layer >= 0 {
			d.Layer = &layer
		}
		c.Tensors = append(c.Tensors, *d)
	}
	var whole, packed Patch
	for i := range c.pairs {
		p := &c.pairs[i]
		n, _ := p.a.make.Shape.Numel()
		at, m, layer := patch(p.a.path)
		at.take(p, n)
		whole.take(p, n)
		if p.a.packed || p.b.packed {
			packed.take(p, n)
		}
		if p.status == Equal {
			continue
		}
		d := Difference{Path: p.a.path, Status: p.status, A: p.a.form, B: p.b.form, BitsA: bits(p.a.bytes, n), BitsB: bits(p.b.bytes, n), Reason: p.reason, Remedy: p.remedy}
		if p.delta != nil {
			if p.b.packed {
				c.erred(p.b.path, p.delta)
			}
			d.Change = changeOf(p.delta)
			d.Change.At = p.at()
			if d.Change.Changed > 0 && p.gapped && p.alone {
				d.Reason = ""
			}
		}
		place(&d, m, layer)
	}
	for _, d := range c.lone {
		at, m, layer := patch(d.Path)
		at.count(d.Status)
		whole.count(d.Status)
		place(&d, m, layer)
	}
	sortPaths(c.Tensors, func(d *Difference) string { return d.Path })
	c.Changed, c.Missing, c.Extra, c.Equal, c.Uncompared = whole.Changed, whole.Missing, whole.Extra, whole.Equal, whole.Uncompared
	whole.finish()
	packed.finish()
	c.BitsA, c.BitsB = whole.BitsA, whole.BitsB
	if c.Measured {
		c.Total = c.located(whole.Change)
	}
	if packed.elements > 0 {
		c.Quantized = &packed
	}
	c.lay(rows)
}

// spotted is a cell of a map, by what the names of its tensors begin with.
type spotted struct {
	under  string
	column int64
}

// erred counts how far a quantized weight of B is from A's.
func (c *Comparison) erred(path string, d *measure.Delta) {
	template, index := tensor.SplitPath(path)
	at, in := byLayer(template), spotted{column: outside}
	if in.under = at.under; at.column >= 0 && at.column < len(index) {
		in.column = index[at.column]
	}
	if c.errors[in] == nil {
		c.errors[in] = &measure.Delta{}
	}
	c.errors[in].Add(d)
}

// Errors adds to a map of B, of its layers, the error of quantization: how far its quantized
// weights are from those of A, where both were measured.
func (c *Comparison) Errors(m *Map) {
	add := func(to *Cell, under string, column int64) {
		if d := c.errors[spotted{under, column}]; d != nil {
			if r, ok := d.Relative(); ok {
				to.Error = &r
			}
		}
	}
	for i := range m.Rows {
		row := &m.Rows[i]
		for k := range row.Cells {
			add(&row.Cells[k], row.Under, m.Layers[k])
		}
		if row.Outside != nil {
			add(row.Outside, row.Under, outside)
		}
	}
}

// located adds to a change which tensor has the largest.
func (c *Comparison) located(total *Change) *Change {
	if total == nil || total.Max == nil {
		return total
	}
	for i := range c.pairs {
		if p := &c.pairs[i]; p.delta != nil && p.delta.At >= 0 && p.delta.Max == *total.Max {
			total.At, total.AtPath = p.at(), p.a.path
			break
		}
	}
	return total
}

// at is the index of the first element that changed most.
func (p *compared) at() []int64 {
	if p.delta.At < 0 {
		return nil
	}
	shape, rest := p.a.make.Shape, p.delta.At
	index := make([]int64, len(shape))
	for k := len(shape) - 1; k >= 0; k-- {
		index[k], rest = rest%shape[k], rest/shape[k]
	}
	return index
}

func bits(bytes, elements int64) float64 {
	if elements == 0 {
		return 0
	}
	return 8 * float64(bytes) / float64(elements)
}

// changeOf words a delta.
func changeOf(d *measure.Delta) *Change {
	c := &Change{Elements: d.Elements, Changed: d.Changed, NaNs: d.NaNs, Infs: d.Infs}
	if r, ok := d.Relative(); ok {
		c.Relative = &r
	}
	if most := d.Max; !d.Opaque && !math.IsInf(most, 0) {
		c.Max = &most
	}
	return c
}

// count counts one tensor.
func (p *Patch) count(status string) {
	switch status {
	case Equal:
		p.Equal++
	case arch.Missing:
		p.Missing++
	case arch.Extra:
		p.Extra++
	case Uncompared:
		p.Uncompared++
	default:
		p.Changed++
	}
}

// take counts a pair of n elements.
func (p *Patch) take(x *compared, n int64) {
	p.count(x.status)
	p.elements += n
	p.bytesA += x.a.bytes
	p.bytesB += x.b.bytes
	if x.delta != nil && x.delta.Changed > 0 {
		p.delta.Add(x.delta)
	}
}

// finish makes numbers of sums.
func (p *Patch) finish() {
	p.BitsA, p.BitsB = bits(p.bytesA, p.elements), bits(p.bytesB, p.elements)
	if p.delta.Elements > 0 {
		p.Change = changeOf(&p.delta)
	}
}

// join adds another patch, before either is finished.
func (p *Patch) join(o *Patch) {
	p.Changed, p.Missing, p.Extra, p.Equal, p.Uncompared = p.Changed+o.Changed, p.Missing+o.Missing, p.Extra+o.Extra, p.Equal+o.Equal, p.Uncompared+o.Uncompared
	p.elements, p.bytesA, p.bytesB = p.elements+o.elements, p.bytesA+o.bytesA, p.bytesB+o.bytesB
	if o.delta.Elements > 0 {
		p.delta.Add(&o.delta)
	}
}

// lay lays the rows out: those in layers, then the others.
func (c *Comparison) lay(rows map[module]map[int64]*Patch) {
	towers, seen := map[string]bool{}, map[int64]bool{}
	for m, patches := range rows {
		towers[m.tower] = true
		for layer := range patches {
			seen[layer] = true
		}
	}
	delete(towers, "")
	delete(seen, -1)
	c.Layers = slices.AppendSeq([]int64{}, maps.Keys(seen))
	slices.Sort(c.Layers)
	c.Parts = []Part{}
	if len(c.Layers)*len(rows) > maxCells {
		c.Notes = append(c.Notes, fmt.Sprintf("%d modules in %d layers: no map shows that", len(rows), len(c.Layers)))
		return
	}
	modules := slices.SortedFunc(maps.Keys(rows), func(a, b module) int {
		return cmp.Or(strings.Compare(a.tower, b.tower), strings.Compare(a.name, b.name))
	})
	for _, m := range modules {
		part := Part{Component: m.name, module: m}
		if len(towers) > 1 {
			part.Component = m.tower + m.name
		}
		layers := slices.Sorted(maps.Keys(rows[m]))
		for _, layer := range layers {
			part.Total.join(rows[m][layer])
			rows[m][layer].finish()
		}
		part.Total.finish()
		if m.tower == "" {
			part.Outside = rows[m][-1]
		} else {
			for _, layer := range c.Layers {
				part.Patches = append(part.Patches, rows[m][layer])
			}
		}
		c.Parts = append(c.Parts, part)
	}
	slices.SortStableFunc(c.Parts, func(a, b Part) int {
		side := func(p Part) int {
			if p.Outside != nil {
				return 1
			}
			return 0
		}
		return cmp.Compare(side(a), side(b))
	})
}
