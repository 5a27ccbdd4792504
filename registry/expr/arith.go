package expr

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
)

// ErrDivide is a division by zero.
var ErrDivide = errors.New("division by zero")

// arithmetic applies + - * / // % to two numbers; + also joins strings and
// lists.
func arithmetic(op string, a, b Value) (Value, error) {
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
			return List(append(append([]Value(nil), a.list...), b.list...)...), nil
		}
	}
	x, ok1 := a.Float()
	y, ok2 := b.Float()
	if !ok1 || !ok2 {
		return Null, fmt.Errorf("%v %s %v: %v and %v have no such operation", a, op, b, a.kind, b.kind)
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
	case "/":
		return Float(x / y), nil
	case "//":
		return whole(math.Floor(x / y))
	case "%":
		return Float(x - y*math.Floor(x/y)), nil
	}
	return Null, fmt.Errorf("%s is no operation on numbers", op)
}

func integers(op string, a, b int64) (Value, error) {
	overflow := func() (Value, error) { return Null, fmt.Errorf("%d %s %d overflows 64 bits", a, op, b) }
	switch op {
	case "+":
		if c := a + b; (c > a) == (b > 0) {
			return Int(c), nil
		}
		return overflow()
	case "-":
		if c := a - b; (c < a) == (b > 0) {
			return Int(c), nil
		}
		return overflow()
	case "*":
		if hi, lo := bits.Mul64(magnitude(a), magnitude(b)); hi != 0 || lo > math.MaxInt64 {
			return overflow()
		}
		return Int(a * b), nil
	}
	switch {
	case b == 0:
		return Null, ErrDivide
	case a == math.MinInt64 && b == -1:
		return overflow()
	}
	q, r := a/b, a%b
	if r != 0 && (r < 0) != (b < 0) {
		q, r = q-1, r+b
	}
	switch op {
	case "//":
		return Int(q), nil
	case "%":
		return Int(r), nil
	case "/":
		if r == 0 {
			return Int(q), nil
		}
		return Float(float64(a) / float64(b)), nil
	}
	return Null, fmt.Errorf("%s is no operation on numbers", op)
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
		return Null, fmt.Errorf("%v does not fit 64 bits", f)
	}
	return Int(int64(f)), nil
}
