package expr

import (
	"maps"
	"slices"
	"strings"

	"github.com/alecthomas/participle/v2/lexer"
)

// Node is an expression with its precedence resolved: what is evaluated and
// printed.
type Node struct {
	// Op is the operator as it is written ("+", "and", "not in", "=" for both = and
	// ==), "-x" or "not" before one operand, or one of the Op constants.
	Op    string
	Text  string  // a name, a function's name, a pattern, a variable
	Value Value   // of OpConst
	Args  []*Node // operands, left to right; nil where a slice leaves a bound out
	Pos   lexer.Position
}

// The forms of a Node that are not operators.
const (
	OpConst = "const" // Value
	OpName  = "name"  // Text: layer, text_config.vocab_size, experts.{e}.w
	OpCall  = "call"  // Text(Args…)
	OpList  = "list"  // [Args…]
	OpRange = ".."    // Args: from, to
	OpIf    = "if"    // Args: condition, then, else
	OpFor   = "for"   // Args: body, range or list; Text: the variable
	OpIndex = "index" // Args: what, then one node an axis: an index or an OpSlice
	OpSlice = "slice" // Args: start, stop, step; each may be nil
	OpGlob  = "glob"  // Text, after ~
	OpRegex = "regex" // Text without its slashes, after ~
	OpNeg   = "-x"
	OpNot   = "not"
)

// precedence of the binary operators; a higher one binds tighter.
var precedence = map[string]int{
	"or": 1, "and": 2,
	"=": 4, "==": 4, "!=": 4, "<": 4, "<=": 4, ">": 4, ">=": 4, "~": 4, "in": 4, "notin": 4,
	"..": 5, "??": 6, "+": 7, "-": 7, "*": 8, "/": 8, "//": 8, "%": 8,
}

// Operators lists the binary operators as they are written, for what tells of them.
func Operators() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(precedence)), func(op string) bool { return op == "notin" })
}

const (
	notLevel     = 3
	compareLevel = 4
)

// Tree resolves precedence. text is what the expression was parsed from, for
// errors; they are *SyntaxError.
func (e *Expr) Tree(text string) (*Node, error) {
	b := builder{text: text}
	n := b.expr(e)
	if b.err != nil {
		return nil, b.err
	}
	return n, nil
}

// builder keeps the first error, so that the descent stays free of checks.
type builder struct {
	text string
	err  error
}

func (b *builder) fail(at lexer.Position, format string, args ...any) *Node {
	if b.err == nil {
		b.err = ErrorAt(b.text, at, format, args...)
	}
	return &Node{Op: OpConst, Pos: at}
}

// expr folds x if c else y if d else z from the right.
func (b *builder) expr(e *Expr) *Node {
	values := []*Node{b.chain(e.Value)}
	for _, branch := range e.Else {
		values = append(values, b.chain(branch.If), b.chain(branch.Else))
	}
	n := values[len(values)-1]
	for i := len(values) - 3; i >= 0; i -= 2 {
		n = &Node{Op: OpIf, Args: []*Node{values[i+1], values[i], n}, Pos: values[i].Pos}
	}
	return n
}

// chain climbs precedence over the flat chain.
func (b *builder) chain(c *Chain) *Node {
	rest := c.Rest
	return b.climb(c.First, &rest, 1)
}

func (b *builder) climb(first *Term, rest *[]*Link, level int) *Node {
	left := b.term(first, rest)
	for len(*rest) > 0 {
		link := (*rest)[0]
		p := precedence[link.Op]
		if p < level {
			break
		}
		*rest = (*rest)[1:]
		right := b.climb(link.Term, rest, p+1)
		op := link.Op
		switch op {
		case "==":
			op = "="
		case "notin":
			op = "not in"
		}
		left = &Node{Op: op, Args: []*Node{left, right}, Pos: link.Pos}
		if p == compareLevel && len(*rest) > 0 && precedence[(*rest)[0].Op] == compareLevel {
			next := (*rest)[0]
			return b.fail(next.Pos, "comparisons do not chain: join %s and %s with and", link.Op, next.Op)
		}
	}
	return left
}

// term applies signs. A not reaches over everything that binds tighter than it.
func (b *builder) term(t *Term, rest *[]*Link) *Node {
	if k := slices.Index(t.Signs, "not"); k >= 0 {
		if k > 0 {
			return b.fail(t.Pos, "not cannot follow %s", t.Signs[k-1])
		}
		inner := *t
		inner.Signs = t.Signs[1:]
		n := b.climb(&inner, rest, notLevel+1)
		return &Node{Op: OpNot, Args: []*Node{n}, Pos: t.Pos}
	}
	n := b.operand(t.Operand)
	for _, s := range t.Index {
		n = b.index(n, s)
	}
	negative := false
	for _, s := range t.Signs {
		negative = negative != (s == "-")
	}
	if !negative {
		return n
	}
	if n.Op == OpConst {
		if v, err := Negate(n.Value); err == nil {
			n.Value = v
			return n
		}
	}
	return &Node{Op: OpNeg, Args: []*Node{n}, Pos: t.Pos}
}

func (b *builder) index(of *Node, s *Subscript) *Node {
	n := &Node{Op: OpIndex, Args: []*Node{of}, Pos: s.Pos}
	for _, axis := range s.Axes {
		if axis.Stop == nil {
			if axis.Start == nil {
				return b.fail(s.Pos, "an index is empty")
			}
			n.Args = append(n.Args, b.expr(axis.Start))
			continue
		}
		slice := &Node{Op: OpSlice, Args: make([]*Node, 3), Pos: s.Pos}
		if axis.Start != nil {
			slice.Args[0] = b.expr(axis.Start)
		}
		if axis.Stop.Stop != nil {
			slice.Args[1] = b.expr(axis.Stop.Stop)
		}
		if axis.Stop.Step != nil && axis.Stop.Step.Step != nil {
			slice.Args[2] = b.expr(axis.Stop.Step.Step)
		}
		n.Args = append(n.Args, slice)
	}
	return n
}

func (b *builder) operand(o *Operand) *Node {
	constant := func(v Value) *Node { return &Node{Op: OpConst, Value: v, Pos: o.Pos} }
	switch {
	case o.Number != "":
		v, err := ParseNumber(o.Number)
		if err != nil {
			return b.fail(o.Pos, "%v", err)
		}
		return constant(v)
	case o.String != "":
		return constant(String(unquote(o.String)))
	case o.Literal == "null":
		return constant(Null)
	case o.Literal != "":
		return constant(Bool(o.Literal == "true"))
	case o.Glob != "":
		return &Node{Op: OpGlob, Text: o.Glob, Pos: o.Pos}
	case o.Regex != "":
		return &Node{Op: OpRegex, Text: strings.ReplaceAll(o.Regex[1:len(o.Regex)-1], `\/`, `/`), Pos: o.Pos}
	case o.Name != nil && o.Name.Call == nil:
		return &Node{Op: OpName, Text: o.Name.Name, Pos: o.Pos}
	case o.Name != nil:
		return b.call(o)
	case o.List != nil:
		return b.list(o.List.Items, o.Pos)
	case len(o.Group.Items) == 1:
		return b.expr(o.Group.Items[0])
	default:
		return b.list(o.Group.Items, o.Pos)
	}
}

func (b *builder) list(items []*Expr, at lexer.Position) *Node {
	n := &Node{Op: OpList, Pos: at, Args: make([]*Node, len(items))}
	for i, item := range items {
		n.Args[i] = b.expr(item)
	}
	return n
}

func (b *builder) call(o *Operand) *Node {
	n := &Node{Op: OpCall, Text: o.Name.Name, Pos: o.Pos}
	for _, arg := range o.Name.Call.Args {
		a := b.expr(arg.Value)
		if arg.For != nil {
			a = &Node{Op: OpFor, Text: arg.For.Var, Args: []*Node{a, b.chain(arg.For.In)}, Pos: arg.For.Pos}
		}
		n.Args = append(n.Args, a)
	}
	return n
}
