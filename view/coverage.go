package view

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"wreg/registry"
	"wreg/registry/arch"
	"wreg/registry/tensor"
)

// maxCells bounds a map: a model of 200 layers has some 4,000 cells.
const maxCells = 1 << 20

// Coverage is the map of a model: for each layer and component the tensors that are
// needed, under the names that they have there, and what query gaps lists of them. a is
// nil, or in place of the architecture that config.json names.
func Coverage(ctx context.Context, s *registry.Snapshot, v *registry.Revision, a *arch.Arch) (*Map, error) {
	return mapOf(ctx, s, v, a, byLayer)
}

// Experts is the map of one layer: its projections by expert.
func Experts(ctx context.Context, s *registry.Snapshot, v *registry.Revision, a *arch.Arch, layer int64) (*Map, error) {
	m, err := mapOf(ctx, s, v, a, byExpertOf(layer))
	if err != nil {
		return nil, err
	}
	if m.By, m.Layer = ByExpert, &layer; len(m.Layers) == 0 {
		return nil, fmt.Errorf("%s: layer %d has no experts under names of their own", v.Ref(), layer)
	}
	return m, nil
}

// Present is the map of a model that no architecture is known for: what is there, of
// which nothing is known to be needed.
func Present(ctx context.Context, s *registry.Snapshot, v *registry.Revision) (*Map, error) {
	m := &Map{Ref: v.Ref(), Layout: v.Layout, By: ByLayer, Layers: []int64{}, Rows: []Row{}}
	counted := &cells{spot: byLayer, rows: map[place]map[int64]*cell{}, names: map[place]*Row{}}
	if err := counted.present(ctx, s, v, &arch.Resolution{}); err != nil {
		return nil, fmt.Errorf("%s: %w", v.Ref(), err)
	}
	for _, row := range counted.rows {
		for _, c := range row {
			c.Expected = 0
		}
	}
	return m, counted.draw(m)
}

// spot says where the tensors of a template lie on a map.
type spot struct {
	tower     string // what stands before the number of the layer
	component string
	column    int // which of its numbers is the column; -1: none
	filter    int // which must be the layer asked for; -1: none
	layer     int64
	off       bool   // on no map
	under     string // where its name begins; the whole of it: leaf
	leaf      bool
}

// byLayer takes a template apart: the number of the layer, and the part of the model it
// belongs to, which is what stands between the layer and the last two words.
func byLayer(template string) spot {
	at, rest := spot{column: -1, filter: -1}, template
	if slot, from, to := tensor.LayerOf(template); slot >= 0 {
		at.column, at.tower = slot, strings.TrimSuffix(template[:from], ".")
		rest = strings.TrimPrefix(template[to:], ".")
	}
	parts := strings.Split(rest, ".")
	at.component = strings.Join(parts[:max(1, min(2, len(parts)-2))], ".")
	at.under = template[:len(template)-len(rest)+len(at.component)]
	at.leaf = at.under == template
	return at
}

// byExpertOf takes the templates of one layer's experts apart.
func byExpertOf(layer int64) func(template string) spot {
	return func(template string) spot {
		at := spot{layer: layer, column: slices.Index(tensor.Placeholders(template), "expert")}
		var to int
		if at.filter, _, to = tensor.LayerOf(template); at.filter < 0 || at.column < at.filter {
			return spot{off: true}
		}
		rest := strings.TrimPrefix(template[to:], ".")
		at.component = strings.TrimSuffix(strings.NewReplacer(".{expert}", "", ".{n}", "").Replace(rest), ".weight")
		at.under, at.leaf = strings.Replace(template, "{layer}", strconv.FormatInt(layer, 10), 1), true
		return at
	}
}

// place is a row of a map.
type place struct{ tower, component string }

const outside = -1 // the column of what lies in no layer

// cells are a map while it is counted.
type cells struct {
	spot  func(template string) spot
	rows  map[place]map[int64]*cell
	names map[place]*Row // of each row, what its tensors are called
	count int
}

type cell struct {
	Cell
	dtypes map[string]int64
}

// at finds the cell of a tensor, nil where it is on no map.
func (m *cells) at(at spot, index []int64) (*cell, error) {
	column := int64(outside)
	switch {
	case at.off || at.filter >= 0 && (at.filter >= len(index) || index[at.filter] != at.layer):
		return nil, nil
	case at.column >= 0 && at.column < len(index):
		column = index[at.column]
	}
	row := m.rows[place{at.tower, at.component}]
	if row == nil {
		row = map[int64]*cell{}
		m.rows[place{at.tower, at.component}] = row
		m.names[place{at.tower, at.component}] = &Row{Under: at.under}
	}
	if named := m.names[place{at.tower, at.component}]; at.leaf {
		named.Leaf = true
	} else {
		named.Deep = true
	}
	c := row[column]
	if c == nil {
		if m.count++; m.count > maxCells {
			return nil, fmt.Errorf("more than %d cells: no map shows that", maxCells)
		}
		c = &cell{dtypes: map[string]int64{}}
		row[column] = c
	}
	return c, nil
}

// path is at for a path.
func (m *cells) path(path string) (*cell, error) {
	template, index := tensor.SplitPath(path)
	return m.at(m.spot(template), index)
}

func mapOf(ctx context.Context, s *registry.Snapshot, v *registry.Revision, a *arch.Arch, spot func(string) spot) (*Map, error) {
	res, err := resolve(ctx, s, v, a)
	if err != nil {
		return nil, err
	}
	m := &Map{Ref: v.Ref(), Arch: res.Arch.Name, Layout: res.Layout, By: ByLayer, Gaps: int64(len(res.Gaps)), Layers: []int64{}, Rows: []Row{}}
	if len(res.Gaps) > 0 && res.Gaps[0].All {
		g := &res.Gaps[0]
		if m.Note = g.Reason + "; " + g.Remedy; g.Status == arch.Missing { // by other names, none is there
			n := int64(len(res.Targets))
			m.Total = Cell{Expected: n, Missing: n}
			m.Rows = append(m.Rows, Row{Component: g.Path, Outside: &m.Total})
			return m, nil
		}
	}
	counted := &cells{spot: spot, rows: map[place]map[int64]*cell{}, names: map[place]*Row{}}
	if err := counted.present(ctx, s, v, res); err != nil {
		return nil, fmt.Errorf("%s: %w", v.Ref(), err)
	}
	if err := counted.gaps(res.Gaps); err != nil {
		return nil, fmt.Errorf("%s: %w", v.Ref(), err)
	}
	return m, counted.draw(m)
}

// present counts what is there. Resolve says what becomes of every tensor: it is needed,
// or extra, or left out on purpose.
func (m *cells) present(ctx context.Context, s *registry.Snapshot, v *registry.Revision, res *arch.Resolution) error {
	aside := asideOf(res)
	return eachBlock(ctx, s, v, func(b *rows) error {
		at := m.spot(b.Template())
		if at.off {
			return nil
		}
		var index []int64
		for i := range b.Len() {
			c, err := m.at(at, b.numbers(&index, i))
			if err != nil {
				return err
			}
			if c == nil {
				continue
			}
			n := b.Bytes().At(i)
			c.Tensors++
			c.Bytes += n
			c.dtypes[b.dtype(i)] += n
			if x, ok := b.absMax(i); ok && (c.AbsMax == nil || x > *c.AbsMax) {
				c.AbsMax = &x
			}
			status, other := "", false
			if len(aside) > 0 {
				status, other = aside[b.Path(i)]
			}
			switch {
			case status == arch.Extra:
				c.Extra++
			case !other:
				c.Expected++
			}
		}
		return nil
	})
}

// asideOf are the tensors that nothing needs: what is extra, and, with no status, what a rule
// leaves out on purpose.
func asideOf(res *arch.Resolution) map[string]string {
	aside := map[string]string{}
	for _, d := range res.Drops {
		aside[d.Path] = ""
	}
	for _, path := range res.Unused {
		aside[path] = arch.Extra
	}
	for _, g := range res.Gaps {
		if g.Status == arch.Extra && !g.All {
			aside[g.Path] = arch.Extra
		}
	}
	return aside
}

// gaps counts what is missing, and what is changed where it lies.
func (m *cells) gaps(gaps []arch.Gap) error {
	for _, g := range gaps {
		path := g.Path
		if g.Status == arch.Changed && g.Have != nil {
			path = g.Have.Path
		}
		if g.Status == arch.Extra {
			continue // counted where it lies
		}
		c, err := m.path(path)
		switch {
		case err != nil:
			return err
		case c == nil:
		case g.Status == arch.Missing:
			c.Missing++
			c.Expected++
		case g.Status == arch.Changed:
			c.Changed++
		}
	}
	return nil
}

// draw puts the cells in order: rows of layers, then what lies outside of them.
func (m *cells) draw(out *Map) error {
	layers, towers := map[int64]bool{}, map[string]int64{}
	for at, row := range m.rows {
		for column, c := range row {
			if column != outside {
				layers[column] = true
				towers[at.tower] += c.Tensors + c.Missing
			}
		}
	}
	out.Layers = append(out.Layers, slices.Sorted(maps.Keys(layers))...)
	if int64(len(m.rows))*int64(len(out.Layers)) > maxCells {
		return fmt.Errorf("%s: %d components by %d layers: no map shows that", out.Ref, len(m.rows), len(out.Layers))
	}
	main := "" // the tower that goes without its name
	for t, n := range towers {
		if n > towers[main] || n == towers[main] && t < main {
			main = t
		}
	}
	name := func(p place) string {
		if p.tower == main || p.tower == "" {
			return p.component
		}
		return p.tower + "." + p.component
	}
	alone := func(p place) int { // in no layer
		if len(m.rows[p]) == 1 && m.rows[p][outside] != nil {
			return 1
		}
		return 0
	}
	for _, p := range slices.SortedFunc(maps.Keys(m.rows), func(a, b place) int {
		return cmp.Or(cmp.Compare(alone(a), alone(b)), strings.Compare(name(a), name(b)), strings.Compare(a.tower, b.tower))
	}) {
		row := *m.names[p]
		row.Component = name(p)
		if c := m.rows[p][outside]; c != nil {
			x := c.done(&out.Total)
			row.Outside = &x
		}
		if alone(p) == 0 {
			row.Cells = make([]Cell, len(out.Layers))
			for i, layer := range out.Layers {
				if c := m.rows[p][layer]; c != nil {
					row.Cells[i] = c.done(&out.Total)
				}
			}
		}
		out.Rows = append(out.Rows, row)
	}
	return nil
}

// done is the finished cell, added to a total.
func (c *cell) done(total *Cell) Cell {
	var most int64 = -1
	for d, n := range c.dtypes {
		if n > most || n == most && d < c.DType {
			c.DType, most = d, n
		}
	}
	total.Expected += c.Expected
	total.Missing += c.Missing
	total.Changed += c.Changed
	total.Extra += c.Extra
	total.Tensors += c.Tensors
	total.Bytes += c.Bytes
	if c.AbsMax != nil && (total.AbsMax == nil || *c.AbsMax > *total.AbsMax) {
		total.AbsMax = c.AbsMax
	}
	return c.Cell
}
