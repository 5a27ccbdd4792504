package expr

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"
)

// ErrDivide is a division by zero.
var ErrDivide = errors.New("division by zero")

// Arithmetic applies + - * / // % to two numbers; + also joins strings and lists.
// Integers stay exact: overflow is an error, / gives an integer when nothing
// remains; // and % round down. Null spreads, and dividing by zero is ErrDivide.
func Arithmetic(op string, a, b Value) (Value, error) {
	if a.kind == NullKind || b.kind == NullKind {
		return Null, nil
	}
	if a.kind == IntKind && b.kind == IntKind {
		return integers(op, int64(a.num), int64(b.num))
	}
	if op == "+" && a.kind == b.kind {
		switch a.kind {
		case StringKind:
			return String(a.text + b.text), nil
		case ListKind:
			return List(slices.Concat(a.list(), b.list())...), nil
		}
	}
	x, ok1 := a.Float()
	y, ok2 := b.Float()
	if !ok1 || !ok2 {
		return Null, fmt.Errorf("%v %s %v: not defined for %v and %v", a, op, b, a.kind, b.kind)
	}
	switch op {
	case "+":
		return Float(x + y), nil
	case "-":
		return Float(x - y), nil
	case "*":
		return Float(x * y), nil
	}
	if y == 0 {
		return Null, ErrDivide
	}
	switch op {
	case "//":
		return Float(math.Floor(x / y)), nil
	case "%":
		return Float(x - y*math.Floor(x/y)), nil
	}
	return Float(x / y), nil
}

func integers(op string, a, b int64) (Value, error) {
	var c int64
	ok := true
	switch op {
	case "+":
		c = a + b
		ok = (c > a) == (b > 0)
	case "-":
		c = a - b
		ok = (c < a) == (b > 0)
	case "*":
		hi, lo := bits.Mul64(magnitude(a), magnitude(b))
		c = a * b
		ok = hi == 0 && (lo <= math.MaxInt64 || lo == 1<<63 && (a < 0) != (b < 0))
	default:
		if b == 0 {
			return Null, ErrDivide
		}
		q, r := a/b, a%b // the least integer by -1 is itself again
		if op == "/" && r != 0 {
			return Float(float64(a) / float64(b)), nil
		}
		if r != 0 && (r < 0) != (b < 0) {
			q, r = q-1, r+b
		}
		if op == "%" {
			return Int(r), nil
		}
		c, ok = q, a != math.MinInt64 || b != -1
	}
	if !ok {
		return Null, fmt.Errorf("%d %s %d overflows 64 bits", a, op, b)
	}
	return Int(c), nil
}

// Negate is -v.
func Negate(v Value) (Value, error) {
	switch v.kind {
	case NullKind:
		return Null, nil
	case IntKind:
		if i := int64(v.num); i != math.MinInt64 {
			return Int(-i), nil
		}
		return Null, fmt.Errorf("-(%v) overflows 64 bits", v)
	case FloatKind:
		return Float(-math.Float64frombits(v.num)), nil
	}
	return Null, fmt.Errorf("-%v: want a number, not %v", v, v.kind)
}

func magnitude(a int64) uint64 {
	if a < 0 {
		return -uint64(a)
	}
	return uint64(a)
}

// whole makes an integer of a float that is one.
func whole(f float64) (Value, error) {
	if f != math.Trunc(f) || f >= 1<<63 || f < -1<<63 {
		return Null, fmt.Errorf("%v does not fit in 64 bits", f)
	}
	return Int(int64(f)), nil
}
