package rows

import (
	"regexp"
	"strings"

	"wreg/registry/expr"
	"wreg/registry/tensor"
)

// Op is what a node of a compiled expression does.
type Op uint8

const (
	OpConst  Op = iota // value
	OpColumn           // column
	OpAnd              // args; an absent value is not true
	OpOr
	OpNot
	OpEqual
	OpNotEqual
	OpLess
	OpLessEqual
	OpGreater
	OpGreaterEqual
	OpIn      // args[0] in args[1:]
	OpBetween // args[1] <= args[0] <= args[2]
	OpGlob    // args[0] ~ pattern
	OpRegexp  // args[0] ~ /regexp/
	OpAdd
	OpSub
	OpMul
	OpDiv
	OpFloor // rounds down
	OpMod
	OpNeg
	OpIndex // args[0][args[1]]
	OpCall  // function(args…), of expr
	OpPresent
	OpElse // args[0] ?? args[1]
	OpIf   // args[1] if args[0] else args[2]
	OpSlot // a value computed earlier: a group's key or aggregate
)

var opText = [...]string{
	OpAnd: "and", OpOr: "or", OpNot: "not", OpEqual: "=", OpNotEqual: "!=", OpLess: "<", OpLessEqual: "<=",
	OpGreater: ">", OpGreaterEqual: ">=", OpIn: "in", OpBetween: "in", OpGlob: "~", OpRegexp: "~", OpAdd: "+",
	OpSub: "-", OpMul: "*", OpDiv: "/", OpFloor: "//", OpMod: "%", OpNeg: "-", OpElse: "??",
}

// Node is a compiled expression: names resolved, types known, patterns parsed.
type Node struct {
	Op       Op
	Kind     expr.Kind
	Args     []*Node
	Value    expr.Value
	Column   Column
	Slot     int
	Glob     *tensor.Pattern
	Regexp   *regexp.Regexp
	Function string
	Text     string // as written
}

// Constant is a node that gives v for every row.
func Constant(v expr.Value) *Node { return &Node{Op: OpConst, Kind: v.Kind(), Value: v} }

// Columns marks the columns that the expression reads.
func (n *Node) Columns(set *ColumnSet) {
	if n == nil {
		return
	}
	if n.Op == OpColumn {
		set.add(n.Column)
	}
	for _, a := range n.Args {
		a.Columns(set)
	}
}

// conjuncts splits a and b and c, so that each part runs on as few rows as it can.
func (n *Node) conjuncts() []*Node {
	if n == nil {
		return nil
	}
	if n.Op != OpAnd {
		return []*Node{n}
	}
	var parts []*Node
	for _, a := range n.Args {
		parts = append(parts, a.conjuncts()...)
	}
	return parts
}

// String writes the compiled expression with every grouping explicit.
func (n *Node) String() string {
	args := make([]string, len(n.Args))
	for i, a := range n.Args {
		args[i] = a.String()
	}
	switch n.Op {
	case OpConst:
		return n.Value.String()
	case OpColumn:
		return n.Column.String()
	case OpSlot:
		return n.Text
	case OpNot, OpNeg:
		return "(" + opText[n.Op] + " " + args[0] + ")"
	case OpIn:
		return "(" + args[0] + " in [" + strings.Join(args[1:], ", ") + "])"
	case OpBetween:
		return "(" + args[0] + " in " + args[1] + ".." + args[2] + ")"
	case OpGlob:
		return "(" + args[0] + " ~ " + n.Glob.String() + ")"
	case OpRegexp:
		return "(" + args[0] + " ~ /" + n.Regexp.String() + "/)"
	case OpIndex:
		return args[0] + "[" + args[1] + "]"
	case OpCall:
		return n.Function + "(" + strings.Join(args, ", ") + ")"
	case OpPresent:
		return "present(" + args[0] + ")"
	case OpIf:
		return "(" + args[1] + " if " + args[0] + " else " + args[2] + ")"
	}
	return "(" + strings.Join(args, " "+opText[n.Op]+" ") + ")"
}
