package expr

import (
	"fmt"
	"path"
	"regexp"

	"github.com/alecthomas/participle/v2/lexer"
)

// Env says what names mean. An Env that is a Caller too answers calls before
// the built-in functions do.
type Env interface {
	// Lookup gives a name's value; ok is false for an unknown name,
	// which is an error, while Null is a value.
	Lookup(name string) (v Value, ok bool)
}

// Caller gets a call with its arguments not evaluated, as some functions name
// tensors: present(model.norm.weight). ok is false for a function it does not have.
type Caller interface {
	Call(n *Node) (v Value, ok bool, err error)
}

// Meter is an Env that is asked before an operation, and before lists and texts
// are walked over or made: a step for each byte. Its error ends the evaluation.
type Meter interface {
	Spend(steps int64) error
}

// opSteps is what an operation takes beside its operands.
const opSteps = 8

func spend(env Env, n *Node, steps int64) error {
	if m, ok := env.(Meter); ok && steps > 0 {
		return at(n, m.Spend(steps))
	}
	return nil
}

// EvalError is a fault found while evaluating.
type EvalError struct {
	Pos     lexer.Position
	Message string
	Name    string // the unknown name, when that is the fault
	Err     error
}

func (e *EvalError) Error() string { return e.Message }
func (e *EvalError) Unwrap() error { return e.Err }

const notDefined = " is not defined here"

// Undefined reports that Name is what has no value, not a function that is unknown or fails.
func (e *EvalError) Undefined() bool { return e.Name != "" && e.Message == e.Name+notDefined }

func failAt(n *Node, format string, args ...any) error {
	return &EvalError{Pos: n.Pos, Message: fmt.Sprintf(format, args...)}
}

// Eval computes an expression. Integers stay exact and overflow is an error; /
// gives an integer when it divides, else a float; // and % round down. Null
// spreads through arithmetic, and every comparison with null is false, except
// with the literal null: x = null, x != null.
func Eval(n *Node, env Env) (Value, error) {
	switch n.Op {
	case OpConst:
		return n.Value, nil
	case OpName:
		if v, ok := env.Lookup(n.Text); ok {
			return v, nil
		}
		return Null, &EvalError{Pos: n.Pos, Message: n.Text + notDefined, Name: n.Text}
	}
	if err := spend(env, n, opSteps); err != nil {
		return Null, err
	}
	switch n.Op {
	case OpList:
		items, err := evalAll(n.Args, env)
		if err != nil {
			return Null, err
		}
		v := List(items...)
		return v, spend(env, n, v.Weight())
	case OpIf:
		c, err := Eval(n.Args[0], env)
		if err != nil {
			return Null, err
		}
		if c.Truth() {
			return Eval(n.Args[1], env)
		}
		return Eval(n.Args[2], env)
	case "and", "or":
		v, err := Eval(n.Args[0], env)
		if err != nil || v.Truth() == (n.Op == "or") {
			return Bool(v.Truth()), err
		}
		v, err = Eval(n.Args[1], env)
		return Bool(v.Truth()), err
	case OpNot:
		v, err := Eval(n.Args[0], env)
		return Bool(!v.Truth()), err
	case "??":
		return coalesce(n, env)
	case "in", "not in":
		return contains(n, env)
	case "~":
		return matches(n, env)
	case OpNeg:
		v, err := Eval(n.Args[0], env)
		if err == nil {
			v, err = Negate(v)
		}
		return v, at(n, err)
	case OpIndex:
		return index(n, env)
	case OpCall:
		return call(n, env)
	case OpRange, OpFor, OpSlice, OpGlob, OpRegex:
		return Null, failAt(n, "%s is not a value here", n)
	}
	a, err := Eval(n.Args[0], env)
	if err != nil {
		return Null, err
	}
	b, err := Eval(n.Args[1], env)
	if err != nil {
		return Null, err
	}
	if precedence[n.Op] == compareLevel {
		if err := spend(env, n, min(a.Weight(), b.Weight())); err != nil {
			return Null, err
		}
		v, err := compare(n, a, b)
		return v, at(n, err)
	}
	if err := spend(env, n, a.Weight()+b.Weight()); err != nil {
		return Null, err
	}
	v, err := Arithmetic(n.Op, a, b)
	return v, at(n, err)
}

// at adds a position to an error that has none.
func at(n *Node, err error) error {
	if err == nil {
		return nil
	}
	if _, placed := err.(*EvalError); placed {
		return err
	}
	return &EvalError{Pos: n.Pos, Message: err.Error(), Err: err}
}

func evalAll(args []*Node, env Env) ([]Value, error) {
	out := make([]Value, len(args))
	for i, a := range args {
		v, err := Eval(a, env)
		if err != nil {
			return nil, err
		}
		out[i] = v
	}
	return out, nil
}

// coalesce takes a ?? b: b where a is null, or a name that means nothing.
func coalesce(n *Node, env Env) (Value, error) {
	if left := n.Args[0]; left.Op == OpName {
		if v, ok := env.Lookup(left.Text); ok && !v.IsNull() {
			return v, nil
		}
		return Eval(n.Args[1], env)
	}
	v, err := Eval(n.Args[0], env)
	if err == nil && !v.IsNull() {
		return v, nil
	}
	if e, ok := err.(*EvalError); err != nil && (!ok || e.Name == "") {
		return Null, err
	}
	return Eval(n.Args[1], env)
}

func compare(n *Node, a, b Value) (Value, error) {
	if a.IsNull() || b.IsNull() {
		literal := n.Args[0].Op == OpConst && a.IsNull() || n.Args[1].Op == OpConst && b.IsNull()
		both := a.IsNull() && b.IsNull()
		return Bool(literal && (n.Op == "=" && both || n.Op == "!=" && !both)), nil
	}
	switch n.Op {
	case "=":
		return Bool(Equal(a, b)), nil
	case "!=":
		return Bool(!Equal(a, b)), nil
	}
	order, ok := Compare(a, b)
	if !ok {
		if a.kind == b.kind || a.kind == FloatKind || b.kind == FloatKind {
			if _, number := a.Float(); number { // a NaN is neither below nor above
				if _, number := b.Float(); number {
					return Bool(false), nil
				}
			}
		}
		return Null, fmt.Errorf("%v %s %v: %v does not compare with %v", a, n.Op, b, a.kind, b.kind)
	}
	switch n.Op {
	case "<":
		return Bool(order < 0), nil
	case "<=":
		return Bool(order <= 0), nil
	case ">":
		return Bool(order > 0), nil
	}
	return Bool(order >= 0), nil
}

// contains is x in [list] and x in a..b; as a condition a range holds both its
// ends, as {0..15} in a pattern does.
func contains(n *Node, env Env) (Value, error) {
	x, err := Eval(n.Args[0], env)
	if err != nil {
		return Null, err
	}
	in, right := false, n.Args[1]
	if right.Op == OpRange {
		ends, err := evalAll(right.Args, env)
		if err != nil {
			return Null, err
		}
		low, ok1 := Compare(x, ends[0])
		high, ok2 := Compare(x, ends[1])
		if !x.IsNull() && !(ok1 && ok2) {
			return Null, failAt(right, "%v in %v..%v: want numbers", x, ends[0], ends[1])
		}
		in = ok1 && ok2 && low >= 0 && high <= 0
	} else {
		list, err := Eval(right, env)
		if err != nil {
			return Null, err
		}
		items, ok := list.Items()
		if !ok {
			return Null, failAt(right, "in needs a list or a range, not %v", list.kind)
		}
		if err := spend(env, n, list.Weight()); err != nil {
			return Null, err
		}
		for _, item := range items {
			in = in || Equal(x, item)
		}
	}
	return Bool(!x.IsNull() && in == (n.Op == "in")), nil
}

// matches is text ~ glob, on plain text where * crosses dots, and ~ /regex/. A
// caller that knows paths handles ~ itself, with its own patterns.
func matches(n *Node, env Env) (Value, error) {
	x, err := Eval(n.Args[0], env)
	if err != nil || x.IsNull() {
		return Bool(false), err
	}
	text, ok := x.Text()
	if !ok {
		return Null, failAt(n, "~ needs a string on its left, not %v", x.kind)
	}
	if err := spend(env, n, x.Weight()); err != nil {
		return Null, err
	}
	switch right := n.Args[1]; {
	case right.Op == OpRegex:
		re, err := regexp.Compile(right.Text)
		if err != nil {
			return Null, at(right, err)
		}
		return Bool(re.MatchString(text)), nil
	case right.Op == OpGlob, right.Op == OpConst && right.Value.kind == StringKind:
		glob := right.Text
		if right.Op == OpConst {
			glob = right.Value.text
		}
		ok, err := path.Match(glob, text)
		return Bool(ok), at(right, err)
	default:
		return Null, failAt(right, "~ needs a pattern or /a regular expression/ on its right")
	}
}

func index(n *Node, env Env) (Value, error) {
	of, err := Eval(n.Args[0], env)
	if err != nil || of.IsNull() {
		return Null, err
	}
	if len(n.Args) != 2 || n.Args[1].Op == OpSlice {
		return Null, failAt(n, "slices are for tensors, not for %v", of.kind)
	}
	iv, err := Eval(n.Args[1], env)
	if err != nil || iv.IsNull() {
		return Null, err
	}
	i, ok := iv.Int()
	if !ok {
		return Null, failAt(n, "the index %v is not an integer", iv)
	}
	if of.kind != StringKind && of.kind != ListKind {
		return Null, failAt(n, "%v has no elements to index", of.kind)
	}
	items, letters := of.list(), []rune(of.text)
	size := int64(len(items) + len(letters)) // one of them is empty
	if i < 0 {
		i += size
	}
	if i < 0 || i >= size {
		return Null, failAt(n, "the index %v is outside %d elements", iv, size)
	}
	if of.kind == StringKind {
		return String(string(letters[i])), nil
	}
	return items[i], nil
}
