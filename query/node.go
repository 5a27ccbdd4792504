package query

import (
	"regexp"
	"strings"

	"wreg/registry/expr"
	"wreg/registry/tensor"
)

// op is what a node of a compiled expression does.
type op uint8

const (
	opConst  op = iota // value
	opColumn           // column
	opAnd              // args; an absent value is not true
	opOr
	opNot
	opEqual
	opNotEqual
	opLess
	opLessEqual
	opGreater
	opGreaterEqual
	opIn      // args[0] in args[1:]
	opBetween // args[1] <= args[0] <= args[2]
	opGlob    // args[0] ~ pattern
	opRegexp  // args[0] ~ /regexp/
	opAdd
	opSub
	opMul
	opDiv
	opFloor // rounds down
	opMod
	opNeg
	opIndex // args[0][args[1]]
	opCall  // function(args…), of expr
	opPresent
	opElse // args[0] ?? args[1]
	opIf   // args[1] if args[0] else args[2]
	opSlot // a value computed earlier: a group's key or aggregate
)

var opText = [...]string{
	opAnd: "and", opOr: "or", opNot: "not", opEqual: "=", opNotEqual: "!=", opLess: "<", opLessEqual: "<=",
	opGreater: ">", opGreaterEqual: ">=", opIn: "in", opBetween: "in", opGlob: "~", opRegexp: "~", opAdd: "+",
	opSub: "-", opMul: "*", opDiv: "/", opFloor: "//", opMod: "%", opNeg: "-", opElse: "??",
}

// node is a compiled expression: names resolved, types known, patterns parsed.
type node struct {
	op       op
	kind     expr.Kind
	args     []*node
	value    expr.Value
	column   column
	slot     int
	glob     *tensor.Pattern
	regexp   *regexp.Regexp
	function string
	text     string // as written
}

func constant(v expr.Value) *node { return &node{op: opConst, kind: v.Kind(), value: v} }

// columns marks the columns that the expression reads.
func (n *node) columns(set *columnSet) {
	if n == nil {
		return
	}
	if n.op == opColumn {
		set.add(n.column)
	}
	for _, a := range n.args {
		a.columns(set)
	}
}

// conjuncts splits a and b and c, so that each part runs on as few rows as it can.
func (n *node) conjuncts() []*node {
	if n == nil {
		return nil
	}
	if n.op != opAnd {
		return []*node{n}
	}
	var parts []*node
	for _, a := range n.args {
		parts = append(parts, a.conjuncts()...)
	}
	return parts
}

// String writes the compiled expression with every grouping explicit.
func (n *node) String() string {
	args := make([]string, len(n.args))
	for i, a := range n.args {
		args[i] = a.String()
	}
	switch n.op {
	case opConst:
		return n.value.String()
	case opColumn:
		return n.column.String()
	case opSlot:
		return n.text
	case opNot, opNeg:
		return "(" + opText[n.op] + " " + args[0] + ")"
	case opIn:
		return "(" + args[0] + " in [" + strings.Join(args[1:], ", ") + "])"
	case opBetween:
		return "(" + args[0] + " in " + args[1] + ".." + args[2] + ")"
	case opGlob:
		return "(" + args[0] + " ~ " + n.glob.String() + ")"
	case opRegexp:
		return "(" + args[0] + " ~ /" + n.regexp.String() + "/)"
	case opIndex:
		return args[0] + "[" + args[1] + "]"
	case opCall:
		return n.function + "(" + strings.Join(args, ", ") + ")"
	case opPresent:
		return "present(" + args[0] + ")"
	case opIf:
		return "(" + args[1] + " if " + args[0] + " else " + args[2] + ")"
	}
	return "(" + strings.Join(args, " "+opText[n.op]+" ") + ")"
}
