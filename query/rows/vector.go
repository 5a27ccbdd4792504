package rows

import (
	"bytes"
	"cmp"
	"slices"
	"strings"

	"wreg/registry/expr"
	"wreg/registry/tensor"
)

// vector holds one column of a batch, or one value for all its rows when constant
// is set: a million rows of one dtype are one string. Dtypes are text, in the
// spelling of tensor.DType.
type vector struct {
	kind     expr.Kind
	constant bool
	bools    []bool
	ints     []int64
	floats   []float64
	texts    []string
	hashes   []tensor.Hash
	shapes   []tensor.Shape
	null     []bool // nil: no value is absent; one element when constant

	later func(i int32) expr.Value // makes the values, in place of all the above
	rows  []int32                  // of later, after pick
}

func intVector(v []int64) *vector   { return &vector{kind: expr.IntKind, ints: v} }
func textVector(v []string) *vector { return &vector{kind: expr.StringKind, texts: v} }

var absent = &vector{constant: true, null: []bool{true}}

// constantVector holds v for every row.
func constantVector(v expr.Value) *vector {
	if v.IsNull() {
		return absent
	}
	w := &vector{kind: v.Kind(), constant: true}
	w.resize(1)
	w.set(0, v)
	return w
}

// vectorOf collects values of one kind, of which some may be absent. Mixed ints and
// floats become floats.
func vectorOf(values []expr.Value) *vector {
	w := &vector{}
	for _, v := range values {
		if k := v.Kind(); w.kind == expr.NullKind || w.kind == expr.IntKind && k == expr.FloatKind {
			w.kind = k
		}
	}
	if w.kind == expr.NullKind {
		return absent
	}
	w.resize(len(values))
	for i, v := range values {
		w.set(i, v)
	}
	return w
}

// grow makes a list at least n long.
func grow[T any](list []T, n int) []T {
	if n > len(list) {
		list = slices.Grow(list, n-len(list))[:n]
	}
	return list
}

// resize gives the vector room for n values of its kind.
func (v *vector) resize(n int) {
	switch v.kind {
	case expr.BoolKind:
		v.bools = grow(v.bools, n)
	case expr.IntKind:
		v.ints = grow(v.ints, n)
	case expr.FloatKind:
		v.floats = grow(v.floats, n)
	case expr.StringKind:
		v.texts = grow(v.texts, n)
	case expr.HashKind:
		v.hashes = grow(v.hashes, n)
	case expr.ShapeKind:
		v.shapes = grow(v.shapes, n)
	}
	if v.null != nil {
		v.null = grow(v.null, n)
	}
}

func (v *vector) set(i int, value expr.Value) {
	if value.IsNull() {
		v.null = grow(v.null, max(v.size(), i+1))
		v.null[i] = true
		return
	}
	switch v.kind {
	case expr.BoolKind:
		v.bools[i] = value.Truth()
	case expr.IntKind:
		v.ints[i], _ = value.Int()
	case expr.FloatKind:
		v.floats[i], _ = value.Float()
	case expr.StringKind:
		v.texts[i], _ = value.Text()
	case expr.HashKind:
		v.hashes[i], _ = value.Hash()
	case expr.ShapeKind:
		v.shapes[i] = value.Shape()
	}
}

func (v *vector) index(i int) int {
	if v.constant {
		return 0
	}
	return i
}

func (v *vector) isNull(i int) bool {
	if v.later != nil {
		return v.value(i).IsNull()
	}
	return v.null != nil && v.null[v.index(i)]
}

// Value is row i, Null where it is absent.
func (v *vector) value(i int) expr.Value {
	if v.later != nil {
		if v.rows != nil {
			return v.later(v.rows[i])
		}
		return v.later(int32(i))
	}
	if v.isNull(i) {
		return expr.Null
	}
	i = v.index(i)
	switch v.kind {
	case expr.BoolKind:
		return expr.Bool(v.bools[i])
	case expr.IntKind:
		return expr.Int(v.ints[i])
	case expr.FloatKind:
		return expr.Float(v.floats[i])
	case expr.StringKind:
		return expr.String(v.texts[i])
	case expr.HashKind:
		return expr.Hash(v.hashes[i])
	case expr.ShapeKind:
		return expr.Shape(v.shapes[i])
	}
	return expr.Null
}

// pick keeps the rows listed, in that order.
func (v *vector) pick(rows []int32) *vector {
	if v.constant {
		return v
	}
	w := &vector{kind: v.kind, later: v.later}
	if v.later != nil {
		if w.rows = rows; v.rows != nil {
			w.rows = pick(v.rows, rows)
		}
		return w
	}
	w.bools, w.ints, w.floats = pick(v.bools, rows), pick(v.ints, rows), pick(v.floats, rows)
	w.texts, w.hashes, w.shapes = pick(v.texts, rows), pick(v.hashes, rows), pick(v.shapes, rows)
	w.null = pick(v.null, rows)
	return w
}

// pick gives the elements listed, in that order.
func pick[T any](from []T, rows []int32) []T {
	if from == nil {
		return nil
	}
	to := make([]T, len(rows))
	for i, r := range rows {
		to[i] = from[r]
	}
	return to
}

// append adds one value to a column that is being collected.
func (v *vector) append(value expr.Value) {
	n := v.size()
	switch k := value.Kind(); {
	case v.kind == expr.NullKind:
		v.kind = k
	case v.kind == expr.IntKind && k == expr.FloatKind: // integers so far
		for _, i := range v.ints {
			v.floats = append(v.floats, float64(i))
		}
		v.kind, v.ints = k, nil
	}
	v.resize(n + 1)
	v.set(n, value)
}

// appendHash is append for the column that may be long.
func (v *vector) appendHash(h tensor.Hash) {
	v.kind = expr.HashKind
	if len(v.null) > len(v.hashes) { // the group of no hash came before
		v.hashes = grow(v.hashes, len(v.null))
	}
	v.hashes = append(v.hashes, h)
}

func (v *vector) size() int {
	return max(len(v.bools), len(v.ints), len(v.floats), len(v.texts), len(v.hashes), len(v.shapes), len(v.null))
}

// filled gives a collected column n values, absent ones where none was added.
func (v *vector) filled(n int) *vector {
	if v.kind == expr.NullKind {
		return absent
	}
	w := *v
	w.resize(n)
	return &w
}

// order sorts values of one kind; numbers compare exactly, absent values come
// last, NaN first.
func order(a, b expr.Value) int {
	if a.IsNull() || b.IsNull() {
		return compareBools(a.IsNull(), b.IsNull())
	}
	c, ok := expr.Compare(a, b)
	if !ok {
		x, _ := a.Float()
		y, _ := b.Float()
		c = compareBools(x == x, y == y)
	}
	return c
}

func compareBools(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// compare orders two rows of a column.
func (v *vector) compare(x, y int) int {
	if v.later == nil && !v.constant && !v.isNull(x) && !v.isNull(y) {
		switch v.kind {
		case expr.IntKind:
			return cmp.Compare(v.ints[x], v.ints[y])
		case expr.StringKind:
			return strings.Compare(v.texts[x], v.texts[y])
		case expr.HashKind:
			return bytes.Compare(v.hashes[x][:], v.hashes[y][:])
		}
	}
	return order(v.value(x), v.value(y))
}
