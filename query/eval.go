package query

import (
	"fmt"
	"math"
	"math/bits"

	"wreg/registry/tensor"
)

// eval computes the expression for every row of b. Where every argument is
// constant over the batch the result is constant, whatever the batch's size.
func (n *node) eval(b *batch) (*vector, error) {
	switch n.op {
	case opConst:
		return constantVector(n.value), nil
	case opColumn:
		return b.column(n.column), nil
	case opSlot:
		return b.slots[n.slot], nil
	case opAnd, opOr:
		return n.evalLogic(b)
	}
	args := make([]*vector, len(n.args))
	rows := 1
	for i, a := range n.args {
		v, err := a.eval(b)
		if err != nil {
			return nil, err
		}
		if args[i] = v; !v.constant {
			rows = b.n
		}
	}
	var out *vector
	var err error
	if n.op == opLess || n.op == opLessEqual || n.op == opGreater || n.op == opGreaterEqual || n.op == opEqual || n.op == opNotEqual {
		out = compareInts(n.op, args, rows)
	}
	if out == nil {
		values := make([]any, rows)
		row := make([]any, len(args))
		for i := range rows {
			for k, v := range args {
				row[k] = v.value(i)
			}
			if values[i], err = n.apply(row); err != nil {
				return nil, fmt.Errorf("%s: %w", n.text, err)
			}
		}
		if out = vectorOf(values); out.kind == kindNull {
			return absent, nil
		}
	}
	out.constant = allConstant(args)
	return out, nil
}

func allConstant(args []*vector) bool {
	for _, a := range args {
		if !a.constant {
			return false
		}
	}
	return true
}

// compareInts is the fast path of layer < 8: integers against one integer.
func compareInts(o op, args []*vector, rows int) *vector {
	a, b := args[0], args[1]
	if a.kind != kindInt || b.kind != kindInt || !b.constant || a.null != nil || b.null != nil || a.constant {
		return nil
	}
	out, y := make([]bool, rows), b.ints[0]
	for i, x := range a.ints[:rows] {
		switch o {
		case opEqual:
			out[i] = x == y
		case opNotEqual:
			out[i] = x != y
		case opLess:
			out[i] = x < y
		case opLessEqual:
			out[i] = x <= y
		case opGreater:
			out[i] = x > y
		case opGreaterEqual:
			out[i] = x >= y
		}
	}
	return &vector{kind: kindBool, bools: out}
}

// evalLogic is and, or; it stops as soon as the rows are decided.
func (n *node) evalLogic(b *batch) (*vector, error) {
	decided := n.op == opOr // the value that settles a row
	var out *vector
	for _, a := range n.args {
		v, err := a.eval(b)
		if err != nil {
			return nil, err
		}
		if v.constant && truth(v, 0) == decided {
			return v, nil
		}
		if out == nil {
			out = v
			continue
		}
		rows := b.n
		if out.constant && v.constant {
			rows = 1
		}
		merged := &vector{kind: kindBool, bools: make([]bool, rows), constant: rows == 1 && out.constant && v.constant}
		for i := range rows {
			x, y := truth(out, i), truth(v, i)
			merged.bools[i] = x && y || n.op == opOr && (x || y)
		}
		out = merged
	}
	return out, nil
}

// truth is what a condition makes of row i: an absent value is not true.
func truth(v *vector, i int) bool { return v.kind == kindBool && !v.isNull(i) && v.bools[v.index(i)] }

// apply computes one row. An absent argument makes the result absent, and a
// condition false, but for ??, if, not and functions that say otherwise.
func (n *node) apply(args []any) (any, error) {
	switch n.op {
	case opElse:
		if args[0] != nil {
			return args[0], nil
		}
		return args[1], nil
	case opIf:
		if args[0] == true {
			return args[1], nil
		}
		return args[2], nil
	case opIn:
		return in(args), nil
	case opNot:
		return args[0] != true, nil
	case opCall:
		if n.function.absent {
			return n.function.call(args)
		}
	}
	for _, a := range args {
		if a == nil {
			if n.kind == kindBool {
				return false, nil
			}
			return nil, nil
		}
	}
	switch n.op {
	case opEqual, opNotEqual, opLess, opLessEqual, opGreater, opGreaterEqual:
		return holds(n.op, compareValues(args[0], args[1])), nil
	case opBetween:
		return compareValues(args[1], args[0]) <= 0 && compareValues(args[0], args[2]) <= 0, nil
	case opGlob:
		return n.glob.Match(args[0].(string)), nil
	case opRegexp:
		return n.regexp.MatchString(args[0].(string)), nil
	case opAdd, opSub, opMul, opDiv, opFloor, opMod, opNeg:
		return arithmetic(n.op, args)
	case opIndex:
		shape, i := args[0].(tensor.Shape), args[1].(int64)
		if i < 0 {
			i += int64(len(shape))
		}
		if i < 0 || i >= int64(len(shape)) {
			return nil, nil
		}
		return shape[i], nil
	case opCall:
		return n.function.call(args)
	}
	return nil, fmt.Errorf("operation %d cannot be evaluated", n.op)
}

func holds(o op, c int) bool {
	switch o {
	case opEqual:
		return c == 0
	case opNotEqual:
		return c != 0
	case opLess:
		return c < 0
	case opLessEqual:
		return c <= 0
	case opGreater:
		return c > 0
	}
	return c >= 0
}

// in reports whether args[0] equals one of the others.
func in(args []any) bool {
	if args[0] == nil {
		return false
	}
	for _, a := range args[1:] {
		if a != nil && compareValues(args[0], a) == 0 {
			return true
		}
	}
	return false
}

// arithmetic on integers is exact: overflow is an error, division gives an
// integer only when nothing remains. Dividing by zero has no value.
func arithmetic(o op, args []any) (any, error) {
	x, xInt := args[0].(int64)
	if o == opNeg {
		if !xInt {
			return -args[0].(float64), nil
		}
		if x == math.MinInt64 {
			return nil, fmt.Errorf("-(%d) overflows 64 bits", x)
		}
		return -x, nil
	}
	y, yInt := args[1].(int64)
	if !xInt || !yInt {
		return floatArithmetic(o, toFloat(args[0]), toFloat(args[1])), nil
	}
	var z int64
	ok := true
	switch o {
	case opAdd:
		z = x + y
		ok = (z > x) == (y > 0)
	case opSub:
		z = x - y
		ok = (z < x) == (y > 0)
	case opMul:
		hi, lo := bits.Mul64(magnitude(x), magnitude(y))
		z = x * y
		ok = hi == 0 && (lo <= math.MaxInt64 || lo == 1<<63 && (x < 0) != (y < 0))
	default:
		return divide(o, x, y)
	}
	if !ok {
		return nil, fmt.Errorf("%d %s %d overflows 64 bits", x, opText[o], y)
	}
	return z, nil
}

// divide rounds // and % down, as expr does.
func divide(o op, x, y int64) (any, error) {
	if y == 0 {
		return nil, nil
	}
	if y == -1 {
		if o == opMod {
			return int64(0), nil
		}
		return arithmetic(opNeg, []any{x})
	}
	q, r := x/y, x%y
	switch {
	case o == opDiv && r != 0:
		return float64(x) / float64(y), nil
	case o != opDiv && r != 0 && (r < 0) != (y < 0):
		q, r = q-1, r+y
	}
	if o == opMod {
		return r, nil
	}
	return q, nil
}

func magnitude(x int64) uint64 {
	if x < 0 {
		return -uint64(x)
	}
	return uint64(x)
}

func toFloat(v any) float64 {
	if i, ok := v.(int64); ok {
		return float64(i)
	}
	return v.(float64)
}

func floatArithmetic(o op, x, y float64) any {
	switch o {
	case opAdd:
		return number(x + y)
	case opSub:
		return number(x - y)
	case opMul:
		return number(x * y)
	}
	if y == 0 {
		return nil
	}
	switch o {
	case opMod:
		return number(x - y*math.Floor(x/y))
	case opFloor:
		return number(math.Floor(x / y))
	}
	return number(x / y)
}

// number is f, or absent when f is none: no comparison holds for it then.
func number(f float64) any {
	if f != f {
		return nil
	}
	return f
}
