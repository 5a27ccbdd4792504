package expr

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// function is a built-in: how many arguments it takes, and what it does.
type function struct {
	least, most int // most 0: any number
	apply       func(args []Value) (Value, error)
}

// functions that need nothing but their arguments. Null in, null out, unless the
// function says otherwise.
var functions = map[string]function{
	"int":   {1, 1, rounding(math.Trunc)},
	"floor": {1, 1, rounding(math.Floor)},
	"ceil":  {1, 1, rounding(math.Ceil)},
	"round": {1, 2, round}, // as Python rounds: half to even
	"float": {1, 1, real(func(f float64) float64 { return f })},
	"log2":  {1, 1, real(math.Log2)},
	"sqrt":  {1, 1, real(math.Sqrt)},
	"abs":   {1, 1, abs},
	"len":   {1, 1, length},
	"lower": {1, 1, text(strings.ToLower)},
	"upper": {1, 1, text(strings.ToUpper)},
	"min":   {1, 0, extreme(-1)},
	"max":   {1, 0, extreme(1)},
	"sum":   {1, 1, sum},
	"each":  {2, 2, each},
	"split": {2, 2, split},
	"count": {2, 2, count},
	"str":   {1, 1, func(a []Value) (Value, error) { return String(strings.Trim(a[0].String(), `"`)), nil }},
	"list":  {1, 1, func(a []Value) (Value, error) { return Bool(a[0].kind == ListKind), nil }},
	"startswith": {2, 2, func(a []Value) (Value, error) {
		return Bool(strings.HasPrefix(a[0].text, a[1].text)), nil
	}},
}

// steps are what functions take for each byte of their arguments, when it is not
// one: some look at a part only, split makes an item of two bytes.
var steps = map[string]int64{"each": 0, "len": 0, "list": 0, "startswith": 0, "split": itemBytes}

func call(n *Node, env Env) (Value, error) {
	if c, ok := env.(Caller); ok {
		if v, mine, err := c.Call(n); mine || err != nil {
			return v, at(n, err)
		}
	}
	f, ok := functions[n.Text]
	if !ok {
		return Null, &EvalError{Pos: n.Pos, Message: fmt.Sprintf("unknown function %s", n.Text), Name: n.Text}
	}
	if len(n.Args) < f.least || f.most > 0 && len(n.Args) > f.most {
		return Null, failAt(n, "%s takes %d arguments, not %d", n.Text, f.least, len(n.Args))
	}
	args, err := evalAll(n.Args, env)
	if err != nil {
		return Null, err
	}
	step, ok := steps[n.Text]
	if !ok {
		step = 1
	}
	total := int64(0)
	for _, a := range args {
		total += step * a.Weight()
	}
	if err := spend(env, n, total); err != nil {
		return Null, err
	}
	v, err := Apply(n.Text, args)
	if err != nil {
		return Null, failAt(n, "%s: %v", n.Text, err)
	}
	return v, nil
}

// Apply calls a built-in function with as many arguments as it takes. Null in,
// null out.
func Apply(name string, args []Value) (Value, error) {
	if slices.ContainsFunc(args, Value.IsNull) {
		return Null, nil
	}
	return functions[name].apply(args)
}

func number(v Value) (float64, error) {
	f, ok := v.Float()
	if !ok {
		return 0, fmt.Errorf("%v is not a number", v)
	}
	return f, nil
}

func rounding(round func(float64) float64) func([]Value) (Value, error) {
	return func(args []Value) (Value, error) {
		if args[0].kind == IntKind {
			return args[0], nil
		}
		if args[0].kind == BoolKind {
			return Int(int64(args[0].num)), nil
		}
		f, err := number(args[0])
		if err != nil {
			return Null, err
		}
		return whole(round(f))
	}
}

// round is round(x), or round(x, digits), which is no integer.
func round(args []Value) (Value, error) {
	if len(args) == 1 {
		return rounding(math.RoundToEven)(args)
	}
	f, err := number(args[0])
	digits, ok := args[1].Int()
	if err != nil || !ok || digits < 0 || digits > 15 {
		return Null, fmt.Errorf("want a number and up to 15 digits, not %v and %v", args[0], args[1])
	}
	f, err = strconv.ParseFloat(strconv.FormatFloat(f, 'f', int(digits), 64), 64)
	return Float(f), err
}

func real(f func(float64) float64) func([]Value) (Value, error) {
	return func(args []Value) (Value, error) {
		x, err := number(args[0])
		if err != nil {
			return Null, err
		}
		return Float(f(x)), nil
	}
}

func text(f func(string) string) func([]Value) (Value, error) {
	return func(args []Value) (Value, error) {
		s, ok := args[0].Text()
		if !ok {
			return Null, fmt.Errorf("%v is not a string", args[0])
		}
		return String(f(s)), nil
	}
}

func abs(args []Value) (Value, error) {
	if f, err := number(args[0]); err != nil || f >= 0 {
		return args[0], err
	}
	return Negate(args[0])
}

func length(args []Value) (Value, error) {
	switch args[0].kind {
	case ListKind:
		return Int(int64(len(args[0].list()))), nil
	case ShapeKind:
		return Int(int64(len(args[0].Shape()))), nil
	case StringKind:
		return Int(int64(utf8.RuneCountInString(args[0].text))), nil
	}
	return Null, fmt.Errorf("%v has no length", args[0])
}

// extreme is min and max, of the arguments or of one list.
func extreme(sign int) func([]Value) (Value, error) {
	return func(args []Value) (Value, error) {
		if items, ok := args[0].Items(); ok && len(args) == 1 {
			args = items
		}
		if len(args) == 0 {
			return Null, nil
		}
		best := args[0]
		for _, v := range args[1:] {
			c, ok := Compare(v, best)
			if !ok {
				return Null, fmt.Errorf("%v does not compare with %v", v, best)
			}
			if c == sign {
				best = v
			}
		}
		return best, nil
	}
}

func sum(args []Value) (total Value, err error) {
	items, ok := args[0].Items()
	if !ok {
		return Null, fmt.Errorf("%v is not a list", args[0])
	}
	total = Int(0)
	for _, v := range items {
		if total, err = Arithmetic("+", total, v); err != nil {
			return Null, err
		}
	}
	return total, nil
}

// each is x[i] where x is a list, else x: many configs give one number for all
// layers or a list of them.
func each(args []Value) (Value, error) {
	items, ok := args[0].Items()
	if !ok {
		return args[0], nil
	}
	i, ok := args[1].Int()
	if !ok || i < 0 || i >= int64(len(items)) {
		return Null, fmt.Errorf("the index %v is outside %d elements", args[1], len(items))
	}
	return items[i], nil
}

// split cuts a string: split("1,2,3", ",") is ["1", "2", "3"].
func split(args []Value) (Value, error) {
	s, ok1 := args[0].Text()
	sep, ok2 := args[1].Text()
	if !ok1 || !ok2 || sep == "" {
		return Null, fmt.Errorf("want a string and a separator, not %v and %v", args[0], args[1])
	}
	var parts []Value
	for part := range strings.SplitSeq(s, sep) {
		part = strings.TrimSpace(part)
		if v, err := ParseNumber(part); err == nil {
			parts = append(parts, v)
			continue
		}
		parts = append(parts, String(part))
	}
	return List(parts...), nil
}

// count says how often a value is in a list.
func count(args []Value) (Value, error) {
	items, ok := args[0].Items()
	if !ok {
		return Null, fmt.Errorf("%v is not a list", args[0])
	}
	n := int64(0)
	for _, v := range items {
		if Equal(v, args[1]) {
			n++
		}
	}
	return Int(n), nil
}
