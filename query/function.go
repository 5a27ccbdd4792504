package query

import (
	"fmt"
	"math"
	"strings"

	"wreg/registry/tensor"
)

// function is one that an expression can call.
type function struct {
	name   string
	about  string
	params []kind // kindNull: any
	result kind   // kindNull: the first argument's
	absent bool   // it is called with absent arguments too
	call   func(args []any) (any, error)
}

// functions is the one table of them.
var functions = []function{
	{name: "abs", about: "magnitude", params: []kind{kindFloat}, call: func(a []any) (any, error) {
		if i, ok := a[0].(int64); ok {
			if i == math.MinInt64 {
				return nil, fmt.Errorf("abs(%d) overflows 64 bits", i)
			}
			return max(i, -i), nil
		}
		return math.Abs(a[0].(float64)), nil
	}},
	{name: "floor", about: "the integer below", params: []kind{kindFloat}, result: kindInt, call: rounding(math.Floor)},
	{name: "ceil", about: "the integer above", params: []kind{kindFloat}, result: kindInt, call: rounding(math.Ceil)},
	{name: "round", about: "the nearest integer, halves to even", params: []kind{kindFloat}, result: kindInt, call: rounding(math.RoundToEven)},
	{name: "sqrt", about: "square root", params: []kind{kindFloat}, result: kindFloat, call: floatFunction(math.Sqrt)},
	{name: "log2", about: "logarithm to base 2", params: []kind{kindFloat}, result: kindFloat, call: floatFunction(math.Log2)},
	{name: "len", about: "of text in characters, or of a shape", params: []kind{kindNull}, result: kindInt, call: func(a []any) (any, error) {
		switch v := a[0].(type) {
		case string:
			return int64(len([]rune(v))), nil
		case tensor.Shape:
			return int64(len(v)), nil
		}
		return nil, fmt.Errorf("want text or a shape")
	}},
	{name: "lower", about: "text in lower case", params: []kind{kindText}, result: kindText, call: func(a []any) (any, error) {
		return strings.ToLower(a[0].(string)), nil
	}},
	{name: "upper", about: "text in capitals", params: []kind{kindText}, result: kindText, call: func(a []any) (any, error) {
		return strings.ToUpper(a[0].(string)), nil
	}},
	{name: "present", about: "whether there is a value", params: []kind{kindNull}, result: kindBool, absent: true, call: func(a []any) (any, error) {
		return a[0] != nil, nil
	}},
}

func functionNamed(name string) *function {
	for i := range functions {
		if functions[i].name == name {
			return &functions[i]
		}
	}
	return nil
}

func rounding(f func(float64) float64) func([]any) (any, error) {
	return func(a []any) (any, error) {
		if i, ok := a[0].(int64); ok {
			return i, nil
		}
		x := f(a[0].(float64))
		if x != x || x >= 1<<63 || x < -1<<63 {
			return nil, fmt.Errorf("%v is no integer of 64 bits", x)
		}
		return int64(x), nil
	}
}

func floatFunction(f func(float64) float64) func([]any) (any, error) {
	return func(a []any) (any, error) { return number(f(toFloat(a[0]))), nil }
}
