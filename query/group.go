package query

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"slices"
)

// aggregate is count() sum() min() max() or avg() of an expression.
type aggregate struct {
	name     string
	argument *node // nil: count()
	text     string
}

// aggregateNames are the functions that compute one value of many rows.
var aggregateNames = []string{"count", "sum", "min", "max", "avg"}

// grouping collects rows into groups by their keys.
type grouping struct {
	keys       []*node
	aggregates []*aggregate
	ids        map[string]int
	values     [][]any // keys, one list a group
	states     [][]state
	scratch    []byte
	of         []int // the group of each row of the batch at hand
}

// state is what an aggregate knows of one group.
type state struct {
	count int64
	sum   int64
	fsum  float64
	best  any
}

func newGrouping(keys []*node, aggregates []*aggregate) *grouping {
	g := &grouping{keys: keys, aggregates: aggregates, ids: map[string]int{}, states: make([][]state, len(aggregates))}
	if len(keys) == 0 {
		g.group(nil) // without group by, there is one group even of no rows
	}
	return g
}

// columns are those that the grouping reads.
func (g *grouping) columns() (set columnSet) {
	for _, k := range g.keys {
		k.columns(&set)
	}
	for _, a := range g.aggregates {
		a.argument.columns(&set)
	}
	return set
}

// add puts a batch's rows into their groups.
func (g *grouping) add(b *batch) error {
	keys := make([]*vector, len(g.keys))
	for i, k := range g.keys {
		v, err := k.eval(b)
		if err != nil {
			return err
		}
		keys[i] = v
	}
	g.of = slices.Grow(g.of[:0], b.n)[:b.n]
	if allConstant(keys) {
		if b.n == 0 {
			return nil
		}
		id := g.group(g.key(keys, 0))
		for i := range g.of {
			g.of[i] = id
		}
	} else {
		for i := range b.n {
			g.of[i] = g.group(g.key(keys, i))
		}
	}
	for k, a := range g.aggregates {
		if err := a.add(g.states[k], g.of, b); err != nil {
			return fmt.Errorf("%s: %w", a.text, err)
		}
	}
	return nil
}

// key gives row i's key values; scratch holds their encoding for lookup.
func (g *grouping) key(keys []*vector, i int) func() []any {
	g.scratch = g.scratch[:0]
	for _, k := range keys {
		g.scratch = appendKey(g.scratch, k, i)
	}
	return func() []any {
		values := make([]any, len(keys))
		for n, k := range keys {
			values[n] = k.value(i)
		}
		return values
	}
}

// group finds or makes the group whose encoded key is in scratch.
func (g *grouping) group(values func() []any) int {
	if id, ok := g.ids[string(g.scratch)]; ok {
		return id
	}
	id := len(g.values)
	g.ids[string(g.scratch)] = id
	if values == nil {
		g.values = append(g.values, nil)
	} else {
		g.values = append(g.values, values())
	}
	for k := range g.states {
		g.states[k] = append(g.states[k], state{})
	}
	return id
}

// appendKey encodes a value so that equal values, and no others, have one form.
func appendKey(b []byte, v *vector, i int) []byte {
	if v.isNull(i) {
		return append(b, 0)
	}
	i = v.index(i)
	switch v.kind {
	case kindBool:
		return append(b, 1, byte(boolInt(v.bools[i])))
	case kindInt:
		return binary.LittleEndian.AppendUint64(append(b, 2), uint64(v.ints[i]))
	case kindFloat:
		f := v.floats[i]
		if whole := int64(f); float64(whole) == f && math.Abs(f) < 1<<53 {
			return binary.LittleEndian.AppendUint64(append(b, 2), uint64(whole))
		}
		return binary.LittleEndian.AppendUint64(append(b, 3), math.Float64bits(f))
	case kindText:
		b = binary.AppendUvarint(append(b, 4), uint64(len(v.texts[i])))
		return append(b, v.texts[i]...)
	case kindHash:
		return append(append(b, 5), v.hashes[i][:]...)
	case kindShape:
		b = binary.AppendUvarint(append(b, 6), uint64(len(v.shapes[i])))
		for _, d := range v.shapes[i] {
			b = binary.AppendVarint(b, d)
		}
		return b
	}
	return append(b, 0)
}

// add takes in rows, row i belonging to group of[i].
func (a *aggregate) add(states []state, of []int, b *batch) error {
	if a.argument == nil {
		for _, id := range of {
			states[id].count += b.weight
		}
		return nil
	}
	v, err := a.argument.eval(b)
	if err != nil {
		return err
	}
	for i, id := range of {
		if v.isNull(i) {
			continue
		}
		s := &states[id]
		s.count += b.weight
		switch a.name {
		case "sum", "avg":
			if v.kind == kindFloat {
				s.fsum += v.floats[v.index(i)] * float64(b.weight)
				continue
			}
			x := v.ints[v.index(i)]
			s.fsum += float64(x) * float64(b.weight)
			sum, ok := addProduct(s.sum, x, b.weight)
			if !ok && a.name == "sum" {
				return fmt.Errorf("%d and %d more overflow 64 bits", s.sum, x)
			}
			s.sum = sum
		case "min", "max":
			x := v.value(i)
			if s.best == nil || (compareValues(x, s.best) < 0) == (a.name == "min") && compareValues(x, s.best) != 0 {
				s.best = x
			}
		}
	}
	return nil
}

// addProduct is sum + x*n, with ok false when it overflows; n is not negative.
func addProduct(sum, x, n int64) (int64, bool) {
	hi, lo := bits.Mul64(magnitude(x), uint64(n))
	if hi != 0 || lo > math.MaxInt64 {
		return sum, false
	}
	y := int64(lo)
	if x < 0 {
		y = -y
	}
	z := sum + y
	return z, (z > sum) == (y > 0)
}

func (a *aggregate) value(s state) any {
	switch {
	case a.name == "count":
		return s.count
	case s.count == 0:
		return nil
	case a.name == "avg":
		return s.fsum / float64(s.count)
	case a.name == "sum":
		if a.argument.kind == kindFloat {
			return s.fsum
		}
		return s.sum
	}
	return s.best
}

// kind is the type of the aggregate's value.
func (a *aggregate) kind() kind {
	switch a.name {
	case "count":
		return kindInt
	case "avg":
		return kindFloat
	}
	return a.argument.kind
}

// batch gives the groups as rows, ordered by their keys: first the keys, then the
// aggregates.
func (g *grouping) batch() *batch {
	order := make([]int, len(g.values))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(x, y int) int { return compareRows(g.values[x], g.values[y]) })
	b := &batch{n: len(order), weight: 1, load: func(column) *vector { return absent }}
	column := func(of func(id int) any) {
		values := make([]any, len(order))
		for i, id := range order {
			values[i] = of(id)
		}
		b.slots = append(b.slots, vectorOf(values))
	}
	for k := range g.keys {
		column(func(id int) any { return g.values[id][k] })
	}
	for k, a := range g.aggregates {
		column(func(id int) any { return a.value(g.states[k][id]) })
	}
	return b
}

func compareRows(a, b []any) int {
	for k := range a {
		if c := compareValues(a[k], b[k]); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a), len(b))
}
