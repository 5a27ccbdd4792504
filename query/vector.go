package query

import "wreg/registry/tensor"

// kind is the type of a value. Dtypes are text, in the spelling of tensor.DType.
type kind uint8

const (
	kindNull kind = iota
	kindBool
	kindInt
	kindFloat
	kindText
	kindHash
	kindShape
)

func (k kind) String() string {
	return [...]string{"nothing", "a condition", "a number", "a number", "text", "a hash", "a shape"}[k]
}

func (k kind) number() bool { return k == kindInt || k == kindFloat }

// vector holds one column of a batch, or one value for all its rows when constant
// is set: a million rows of one dtype are one string.
type vector struct {
	kind     kind
	constant bool
	bools    []bool
	ints     []int64
	floats   []float64
	texts    []string
	hashes   []tensor.Hash
	shapes   []tensor.Shape
	null     []bool // nil: no value is absent; one element when constant

	later func(i int32) any // makes the values, in place of all the above
	rows  []int32           // of later, after pick
}

func intVector(v []int64) *vector        { return &vector{kind: kindInt, ints: v} }
func textVector(v []string) *vector      { return &vector{kind: kindText, texts: v} }
func hashVector(v []tensor.Hash) *vector { return &vector{kind: kindHash, hashes: v} }

var absent = &vector{kind: kindNull, constant: true, null: []bool{true}}

// constantVector holds v for every row.
func constantVector(v any) *vector {
	w := &vector{constant: true}
	switch v := v.(type) {
	case nil:
		return absent
	case bool:
		w.kind, w.bools = kindBool, []bool{v}
	case int64:
		w.kind, w.ints = kindInt, []int64{v}
	case float64:
		w.kind, w.floats = kindFloat, []float64{v}
	case string:
		w.kind, w.texts = kindText, []string{v}
	case tensor.Hash:
		w.kind, w.hashes = kindHash, []tensor.Hash{v}
	case tensor.Shape:
		w.kind, w.shapes = kindShape, []tensor.Shape{v}
	}
	return w
}

// vectorOf collects values of one kind; nil is absent. Mixed ints and floats
// become floats.
func vectorOf(values []any) *vector {
	w := &vector{}
	for _, v := range values {
		if k := kindOf(v); k != kindNull && (w.kind == kindNull || w.kind == kindInt && k == kindFloat) {
			w.kind = k
		}
	}
	if w.kind == kindNull {
		return absent
	}
	w.grow(len(values))
	for i, v := range values {
		w.set(i, v)
	}
	return w
}

func kindOf(v any) kind {
	switch v.(type) {
	case bool:
		return kindBool
	case int64:
		return kindInt
	case float64:
		return kindFloat
	case string:
		return kindText
	case tensor.Hash:
		return kindHash
	case tensor.Shape:
		return kindShape
	}
	return kindNull
}

func (v *vector) grow(n int) {
	switch v.kind {
	case kindBool:
		v.bools = make([]bool, n)
	case kindInt:
		v.ints = make([]int64, n)
	case kindFloat:
		v.floats = make([]float64, n)
	case kindText:
		v.texts = make([]string, n)
	case kindHash:
		v.hashes = make([]tensor.Hash, n)
	case kindShape:
		v.shapes = make([]tensor.Shape, n)
	}
}

func (v *vector) set(i int, value any) {
	switch x := value.(type) {
	case nil:
		if v.null == nil {
			v.null = make([]bool, max(len(v.bools), len(v.ints), len(v.floats), len(v.texts), len(v.hashes), len(v.shapes)))
		}
		v.null[i] = true
	case bool:
		v.bools[i] = x
	case int64:
		if v.kind == kindFloat {
			v.floats[i] = float64(x)
		} else {
			v.ints[i] = x
		}
	case float64:
		v.floats[i] = x
	case string:
		v.texts[i] = x
	case tensor.Hash:
		v.hashes[i] = x
	case tensor.Shape:
		v.shapes[i] = x
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
		return v.value(i) == nil
	}
	return v.null != nil && v.null[v.index(i)]
}

// value is row i as nil, bool, int64, float64, string, tensor.Hash or tensor.Shape.
func (v *vector) value(i int) any {
	if v.later != nil {
		if v.rows != nil {
			return v.later(v.rows[i])
		}
		return v.later(int32(i))
	}
	if v.isNull(i) {
		return nil
	}
	i = v.index(i)
	switch v.kind {
	case kindBool:
		return v.bools[i]
	case kindInt:
		return v.ints[i]
	case kindFloat:
		return v.floats[i]
	case kindText:
		return v.texts[i]
	case kindHash:
		return v.hashes[i]
	case kindShape:
		return v.shapes[i]
	}
	return nil
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
func (v *vector) append(value any) {
	n := v.size()
	if k := kindOf(value); k != kindNull && v.kind == kindNull {
		v.kind = k
	}
	switch x := value.(type) {
	case nil:
		v.null = append(grow(v.null, n), true)
		return
	case bool:
		v.bools = append(grow(v.bools, n), x)
	case int64:
		if v.kind == kindFloat {
			v.floats = append(grow(v.floats, n), float64(x))
		} else {
			v.ints = append(grow(v.ints, n), x)
		}
	case float64:
		if v.kind == kindInt { // a column of whole numbers so far
			v.kind = kindFloat
			for _, i := range grow(v.ints, n) {
				v.floats = append(v.floats, float64(i))
			}
			v.ints = nil
		}
		v.floats = append(grow(v.floats, n), x)
	case string:
		v.texts = append(grow(v.texts, n), x)
	case tensor.Hash:
		v.hashes = append(grow(v.hashes, n), x)
	case tensor.Shape:
		v.shapes = append(grow(v.shapes, n), x)
	}
}

// appendHash is append for the column that may be long.
func (v *vector) appendHash(h tensor.Hash) {
	v.kind = kindHash
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
	if v.kind == kindNull {
		return absent
	}
	w := *v
	switch w.kind {
	case kindBool:
		w.bools = grow(w.bools, n)
	case kindInt:
		w.ints = grow(w.ints, n)
	case kindFloat:
		w.floats = grow(w.floats, n)
	case kindText:
		w.texts = grow(w.texts, n)
	case kindHash:
		w.hashes = grow(w.hashes, n)
	case kindShape:
		w.shapes = grow(w.shapes, n)
	}
	if w.null != nil {
		w.null = grow(w.null, n)
	}
	return &w
}
