package rows

import (
	"encoding/binary"
	"math"
	"slices"

	"wreg/registry/expr"
	"wreg/registry/tensor"
)

// grouping collects rows into groups by their keys. Groups are numbered as they
// appear; what is known about them is kept in columns, as a query by hash over a
// million tensors makes a million groups.
type grouping struct {
	keys       []*Node
	aggregates []*Aggregate
	states     []state // one per aggregate
	rows       []int64 // how many tensors each group has

	ids    map[string]int32 // encoded key → group
	byHash *hashTable       // in place of ids when the only key is a hash
	dense  map[string]*[]int32
	values []*vector // the keys' values, one per group

	scratch []byte
	of      []int32 // the group of each row of the batch at hand
}

// maxDense bounds the numbers that are looked up by position: layers and experts.
const maxDense = 4096

func newGrouping(keys []*Node, aggregates []*Aggregate) *grouping {
	g := &grouping{keys: keys, aggregates: aggregates, states: make([]state, len(aggregates)), ids: map[string]int32{}, dense: map[string]*[]int32{}}
	for range keys {
		g.values = append(g.values, &vector{})
	}
	if len(keys) == 1 && keys[0].Kind == expr.HashKind {
		g.byHash = &hashTable{}
	}
	if len(keys) == 0 {
		g.group(nil, 0) // without group by, there is one group even of no rows
	}
	return g
}

// columns are those that the grouping reads.
func (g *grouping) columns() (set ColumnSet) {
	for _, k := range g.keys {
		k.Columns(&set)
	}
	for _, a := range g.aggregates {
		a.Argument.Columns(&set)
	}
	return set
}

// add puts a batch's rows into their groups. p is where they come from, nil when
// they are not of a block.
func (g *grouping) add(b *batch, p *part) error {
	if b.n == 0 {
		return nil
	}
	keys, err := evalAll(b, g.keys)
	if err != nil {
		return err
	}
	g.of = slices.Grow(g.of[:0], b.n)[:b.n]
	switch varying := slices.IndexFunc(keys, func(v *vector) bool { return !v.constant }); {
	case g.byHash != nil:
		g.byHashes(keys[0])
	case varying < 0:
		id := g.group(keys, 0)
		for i := range g.of {
			g.of[i] = id
		}
	case keys[varying].kind == expr.IntKind && keys[varying].null == nil && allConstant(keys[varying+1:]):
		g.byNumber(keys, varying)
	default:
		for i := range g.of {
			g.of[i] = g.group(keys, i)
		}
	}
	for _, id := range g.of {
		g.rows[id] += b.weight
	}
	for k, a := range g.aggregates {
		if err := a.add(&g.states[k], g.of, len(g.rows), b, p); err != nil {
			return err
		}
	}
	return nil
}

// byNumber finds groups by position where all keys but one small number are the
// same for the whole batch.
func (g *grouping) byNumber(keys []*vector, varying int) {
	g.scratch = g.scratch[:0]
	for k, v := range keys {
		if k != varying {
			g.scratch = appendKey(g.scratch, v, 0)
		}
	}
	table := g.dense[string(g.scratch)]
	if table == nil {
		table = &[]int32{}
		g.dense[string(g.scratch)] = table
	}
	for i, n := range keys[varying].ints {
		if n < 0 || n >= maxDense {
			g.of[i] = g.group(keys, i)
			continue
		}
		*table = grow(*table, int(n)+1)
		if (*table)[n] == 0 {
			(*table)[n] = g.group(keys, i) + 1
		}
		g.of[i] = (*table)[n] - 1
	}
}

// group finds or makes the group of row i's keys.
func (g *grouping) group(keys []*vector, i int) int32 {
	g.scratch = g.scratch[:0]
	for _, k := range keys {
		g.scratch = appendKey(g.scratch, k, i)
	}
	if id, ok := g.ids[string(g.scratch)]; ok {
		return id
	}
	id := int32(len(g.rows))
	g.ids[string(g.scratch)] = id
	g.rows = append(g.rows, 0)
	for k, v := range keys {
		g.values[k].append(v.value(i))
	}
	return id
}

// byHashes finds the groups of a column of hashes.
func (g *grouping) byHashes(v *vector) {
	for i := range g.of {
		if v.isNull(i) {
			g.of[i] = g.group([]*vector{absent}, 0)
			continue
		}
		h := &v.hashes[v.index(i)]
		id, added := g.byHash.find(h, g.values[0].hashes, int32(len(g.rows)))
		if added {
			g.rows = append(g.rows, 0)
			g.values[0].appendHash(*h)
		}
		g.of[i] = id
	}
}

// hashTable finds groups by a SHA-256, whose bits are as good as random.
type hashTable struct {
	slots []uint64 // upper half: bits of the hash, lower half: group + 1; 0: free
	n     int
}

// find gives the group of h, or next when it is new. known are the groups' hashes.
func (t *hashTable) find(h *tensor.Hash, known []tensor.Hash, next int32) (id int32, added bool) {
	if 2*(t.n+1) > len(t.slots) {
		t.grow(known)
	}
	word := binary.LittleEndian.Uint64(h[:8])
	mask, tag := uint64(len(t.slots)-1), word&^math.MaxUint32
	for at := word & mask; ; at = (at + 1) & mask {
		switch s := t.slots[at]; {
		case s == 0:
			t.slots[at] = tag | uint64(next+1)
			t.n++
			return next, true
		case s&^math.MaxUint32 == tag && known[uint32(s)-1] == *h:
			return int32(uint32(s)) - 1, false
		}
	}
}

func (t *hashTable) grow(known []tensor.Hash) {
	old := t.slots
	t.slots = make([]uint64, max(1024, 2*len(old)))
	mask := uint64(len(t.slots) - 1)
	for _, s := range old {
		if s == 0 {
			continue
		}
		at := binary.LittleEndian.Uint64(known[uint32(s)-1][:8]) & mask
		for t.slots[at] != 0 {
			at = (at + 1) & mask
		}
		t.slots[at] = s
	}
}

// appendKey encodes a value so that equal values, and no others, have one form.
func appendKey(b []byte, v *vector, i int) []byte {
	if v.isNull(i) {
		return append(b, 0)
	}
	i = v.index(i)
	switch v.kind {
	case expr.BoolKind:
		if v.bools[i] {
			return append(b, 1, 1)
		}
		return append(b, 1, 0)
	case expr.IntKind:
		return binary.LittleEndian.AppendUint64(append(b, 2), uint64(v.ints[i]))
	case expr.FloatKind:
		f := v.floats[i]
		if whole := int64(f); float64(whole) == f && math.Abs(f) < 1<<53 {
			return binary.LittleEndian.AppendUint64(append(b, 2), uint64(whole))
		}
		return binary.LittleEndian.AppendUint64(append(b, 3), math.Float64bits(f))
	case expr.StringKind:
		b = binary.AppendUvarint(append(b, 4), uint64(len(v.texts[i])))
		return append(b, v.texts[i]...)
	case expr.HashKind:
		return append(append(b, 5), v.hashes[i][:]...)
	case expr.ShapeKind:
		b = binary.AppendUvarint(append(b, 6), uint64(len(v.shapes[i])))
		for _, d := range v.shapes[i] {
			b = binary.AppendVarint(b, d)
		}
		return b
	}
	return append(b, 0)
}

// batch gives the groups as rows: first the keys, then the aggregates.
func (g *grouping) batch() *batch {
	b := &batch{n: len(g.rows), weight: 1, load: func(Column) *vector { return absent }}
	for _, v := range g.values {
		b.slots = append(b.slots, v.filled(b.n))
	}
	for k, a := range g.aggregates {
		if a.Argument == nil {
			b.slots = append(b.slots, intVector(g.rows))
			continue
		}
		b.slots = append(b.slots, a.values(&g.states[k], b.n))
	}
	return b
}
