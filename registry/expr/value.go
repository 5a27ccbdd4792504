package expr

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"wreg/registry/tensor"
)

// Kind is the type of a Value.
type Kind uint8

// The kinds of values.
const (
	NullKind Kind = iota
	BoolKind
	IntKind
	FloatKind
	StringKind
	ListKind
	HashKind
	ShapeKind
)

func (k Kind) String() string {
	return [...]string{"null", "a truth value", "an integer", "a number", "a string", "a list", "a hash", "a shape"}[k]
}

// Number reports an integer or a float.
func (k Kind) Number() bool { return k == IntKind || k == FloatKind }

// Value is a scalar, a list of values, or a tensor's hash or shape. The zero value
// is Null.
type Value struct {
	kind Kind
	num  uint64 // bool, int64, float64 bits; of a list its weight
	text string
	more any // []Value, tensor.Hash, tensor.Shape
}

// Null is the absent value.
var Null = Value{}

// Bool makes a truth value.
func Bool(b bool) Value {
	if b {
		return Value{kind: BoolKind, num: 1}
	}
	return Value{kind: BoolKind}
}

// Int makes an integer.
func Int(i int64) Value { return Value{kind: IntKind, num: uint64(i)} }

// Float makes a floating-point number.
func Float(f float64) Value { return Value{kind: FloatKind, num: math.Float64bits(f)} }

// String makes a string.
func String(s string) Value { return Value{kind: StringKind, text: s} }

// List makes a list; it keeps the slice.
func List(items ...Value) Value {
	weight := int64(0)
	for _, v := range items {
		weight += itemBytes + v.Weight()
	}
	return Value{kind: ListKind, more: items, num: uint64(weight)}
}

// itemBytes is what an item takes in a list.
const itemBytes = 64

// Weight is about how many bytes the value takes: a text's, a list's with all that
// is in it.
func (v Value) Weight() int64 {
	if v.kind == ListKind {
		return int64(v.num)
	}
	return int64(len(v.text))
}

// Hash makes a hash.
func Hash(h tensor.Hash) Value { return Value{kind: HashKind, more: h} }

// Shape makes a shape; it keeps the slice.
func Shape(s tensor.Shape) Value { return Value{kind: ShapeKind, more: s} }

// Kind is the value's type.
func (v Value) Kind() Kind { return v.kind }

// IsNull reports an absent value.
func (v Value) IsNull() bool { return v.kind == NullKind }

// Int gives an integer, exact; a float that is whole counts as one.
func (v Value) Int() (int64, bool) {
	switch v.kind {
	case IntKind:
		return int64(v.num), true
	case FloatKind:
		if f := math.Float64frombits(v.num); f == math.Trunc(f) && math.Abs(f) < 1<<53 {
			return int64(f), true
		}
	}
	return 0, false
}

// Float gives any number as a float64.
func (v Value) Float() (float64, bool) {
	switch v.kind {
	case IntKind:
		return float64(int64(v.num)), true
	case FloatKind:
		return math.Float64frombits(v.num), true
	}
	return 0, false
}

// Text gives a string.
func (v Value) Text() (string, bool) { return v.text, v.kind == StringKind }

// Items gives a list's values.
func (v Value) Items() ([]Value, bool) { return v.list(), v.kind == ListKind }

// Shape gives a shape, nil when the value is none.
func (v Value) Shape() tensor.Shape {
	s, _ := v.more.(tensor.Shape)
	return s
}

// Hash gives a hash.
func (v Value) Hash() (tensor.Hash, bool) {
	h, ok := v.more.(tensor.Hash)
	return h, ok
}

func (v Value) list() []Value {
	items, _ := v.more.([]Value)
	return items
}

// Any is the value as nil, bool, int64, float64, string, []Value, tensor.Hash or
// tensor.Shape.
func (v Value) Any() any {
	switch v.kind {
	case BoolKind:
		return v.num != 0
	case IntKind:
		return int64(v.num)
	case FloatKind:
		return math.Float64frombits(v.num)
	case StringKind:
		return v.text
	}
	return v.more
}

// Truth is what a condition makes of the value: null, false, 0, "" and the empty
// list are not true.
func (v Value) Truth() bool {
	switch v.kind {
	case BoolKind, IntKind:
		return v.num != 0
	case FloatKind:
		return math.Float64frombits(v.num) != 0
	case StringKind:
		return v.text != ""
	case ListKind:
		return len(v.list()) > 0
	}
	return false
}

// String writes the value as an expression would.
func (v Value) String() string {
	switch v.kind {
	case BoolKind:
		return strconv.FormatBool(v.num != 0)
	case IntKind:
		return strconv.FormatInt(int64(v.num), 10)
	case FloatKind:
		return strconv.FormatFloat(math.Float64frombits(v.num), 'g', -1, 64)
	case StringKind:
		return strconv.Quote(v.text)
	case ListKind:
		items := make([]string, len(v.list()))
		for i, item := range v.list() {
			items[i] = item.String()
		}
		return "[" + strings.Join(items, ", ") + "]"
	case HashKind, ShapeKind:
		return fmt.Sprint(v.more)
	}
	return "null"
}

// Equal compares values: numbers by their value whatever their kind. Null equals
// nothing, itself included.
func Equal(a, b Value) bool {
	if a.kind == NullKind || b.kind == NullKind {
		return false
	}
	if c, ok := Compare(a, b); ok {
		return c == 0
	}
	return a.kind == ListKind && b.kind == ListKind && slices.EqualFunc(a.list(), b.list(), Equal)
}

// Compare orders two numbers, strings, truth values, hashes or shapes; ok is false
// for anything else, a NaN included. Integers and floats compare exactly.
func Compare(a, b Value) (order int, ok bool) {
	switch {
	case a.kind == IntKind && b.kind == IntKind:
		return cmp.Compare(int64(a.num), int64(b.num)), true
	case a.kind == FloatKind && b.kind == FloatKind:
		x, y := math.Float64frombits(a.num), math.Float64frombits(b.num)
		return cmp.Compare(x, y), x == x && y == y
	case a.kind == IntKind && b.kind == FloatKind:
		return compareMixed(int64(a.num), math.Float64frombits(b.num))
	case a.kind == FloatKind && b.kind == IntKind:
		order, ok = compareMixed(int64(b.num), math.Float64frombits(a.num))
		return -order, ok
	case a.kind == StringKind && b.kind == StringKind:
		return strings.Compare(a.text, b.text), true
	case a.kind == BoolKind && b.kind == BoolKind:
		return cmp.Compare(a.num, b.num), true
	case a.kind == HashKind && b.kind == HashKind:
		x, y := a.more.(tensor.Hash), b.more.(tensor.Hash)
		return bytes.Compare(x[:], y[:]), true
	case a.kind == ShapeKind && b.kind == ShapeKind:
		return slices.Compare(a.Shape(), b.Shape()), true
	}
	return 0, false
}

// compareMixed compares without rounding the integer: 2^53+1 is above 2^53.
func compareMixed(i int64, f float64) (int, bool) {
	switch {
	case f != f:
		return 0, false
	case f >= 1<<63:
		return -1, true
	case f < -1<<63:
		return 1, true
	}
	whole := math.Trunc(f)
	if c := cmp.Compare(i, int64(whole)); c != 0 {
		return c, true
	}
	return cmp.Compare(whole, f), true
}

// units that may follow a number.
var units = map[string]int64{
	"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
	"kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "B": 1,
	"k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12,
}

// ParseNumber reads 64, 1_000, 0x1f, 2.5, 5e6, 1GiB, 1.5MiB. A number that is
// whole is an integer: 5e6 is 5000000.
func ParseNumber(text string) (Value, error) {
	if rest, ok := strings.CutPrefix(text, "0x"); ok {
		n, err := strconv.ParseUint(strings.ReplaceAll(rest, "_", ""), 16, 63)
		if err != nil {
			return Null, fmt.Errorf("%q is not a hexadecimal number below 2^63", text)
		}
		return Int(int64(n)), nil
	}
	digits, unit := strings.ReplaceAll(text, "_", ""), int64(1)
	if end := strings.LastIndexAny(digits, "0123456789"); end+1 < len(digits) {
		var known bool
		if unit, known = units[digits[end+1:]]; !known {
			return Null, fmt.Errorf("%q: unknown unit %q; known are B, kB, MB, GB, TB, KiB, MiB, GiB, TiB, k, M, G, T", text, digits[end+1:])
		}
		digits = digits[:end+1]
	}
	if n, err := strconv.ParseInt(digits, 10, 64); err == nil {
		v, err := Arithmetic("*", Int(n), Int(unit))
		if err != nil {
			return Null, fmt.Errorf("%q exceeds 64 bits", text)
		}
		return v, nil
	}
	f, err := strconv.ParseFloat(digits, 64)
	if err != nil || strings.ContainsAny(digits, "xXpPiInN") {
		return Null, fmt.Errorf("%q is not a number", text)
	}
	f *= float64(unit)
	if f == math.Trunc(f) && math.Abs(f) < 1<<53 {
		return Int(int64(f)), nil
	}
	if !strings.ContainsAny(digits, ".eE") {
		return Null, fmt.Errorf("%q exceeds 64 bits", text)
	}
	return Float(f), nil
}

// unquote reads "…" or '…'; a backslash makes the next character stand for
// itself, and \n, \t are as in Go.
func unquote(text string) string {
	body := text[1 : len(text)-1]
	if !strings.Contains(body, `\`) {
		return body
	}
	var b strings.Builder
	for i := 0; i < len(body); i++ {
		c := body[i]
		if c == '\\' {
			i++
			switch c = body[i]; c {
			case 'n':
				c = '\n'
			case 't':
				c = '\t'
			}
		}
		b.WriteByte(c)
	}
	return b.String()
}
