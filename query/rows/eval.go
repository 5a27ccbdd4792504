package rows

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"wreg/registry/arch"
	"wreg/registry/expr"
)

// batch is rows to compute on. Each row stands for weight tensors: where a query
// reads nothing but the layer of a block of 64 layers x 256 experts, there are
// 64 rows of weight 256.
type batch struct {
	ctx    context.Context // of who asks: one row of a long name and a regular expression takes a while
	n      int
	weight int64
	load   func(c Column) *vector
	loaded [numColumns]*vector
	slots  []*vector // group keys and aggregates, where the batch is groups
}

func (b *batch) column(c Column) *vector {
	if b.loaded[c] == nil {
		b.loaded[c] = b.load(c)
	}
	return b.loaded[c]
}

// selected lists the rows for which the condition holds.
func (b *batch) selected(condition *Node) ([]int32, error) {
	v, err := condition.eval(b)
	if err != nil {
		return nil, err
	}
	var rows []int32
	for i := range b.n {
		if truth(v, i) {
			rows = append(rows, int32(i))
		}
	}
	return rows, nil
}

// pick keeps the rows listed, of a batch that is held in slots.
func (b *batch) pick(rows []int32) {
	for i, v := range b.slots {
		b.slots[i] = v.pick(rows)
	}
	b.n = len(rows)
}

// sortByKeys orders groups by their first n slots, so that an answer without
// order by is the same every time.
func (b *batch) sortByKeys(n int) {
	rows := make([]int32, b.n)
	for i := range rows {
		rows[i] = int32(i)
	}
	slices.SortFunc(rows, func(x, y int32) int {
		for _, v := range b.slots[:n] {
			if c := v.compare(int(x), int(y)); c != 0 {
				return c
			}
		}
		return 0
	})
	b.pick(rows)
}

// gapBatch gives gaps as rows.
func gapBatch(ctx context.Context, gaps []arch.Gap, of *source) *batch {
	return &batch{ctx: ctx, n: len(gaps), weight: 1, load: func(c Column) *vector {
		values := make([]expr.Value, len(gaps))
		for i := range gaps {
			values[i] = columns[c].of(&gaps[i], of)
		}
		return vectorOf(values)
	}}
}

// eval computes the expression for every row of b. Where every argument is
// constant over the batch the result is constant, whatever the batch's size.
func (n *Node) eval(b *batch) (*vector, error) {
	switch n.Op {
	case OpConst:
		return constantVector(n.Value), nil
	case OpColumn:
		return b.column(n.Column), nil
	case OpSlot:
		return b.slots[n.Slot], nil
	case OpAnd, OpOr:
		return n.evalLogic(b)
	}
	args := make([]*vector, len(n.Args))
	rows := 1
	for i, a := range n.Args {
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
	if n.Op == OpLess || n.Op == OpLessEqual || n.Op == OpGreater || n.Op == OpGreaterEqual || n.Op == OpEqual || n.Op == OpNotEqual {
		out = compareInts(n.Op, args, rows)
	}
	if out == nil {
		values := make([]expr.Value, rows)
		row := make([]expr.Value, len(args))
		for i := range rows {
			if err := b.ctx.Err(); err != nil {
				return nil, err
			}
			for k, v := range args {
				row[k] = v.value(i)
			}
			if values[i], err = n.apply(row); err != nil {
				return nil, fmt.Errorf("%s: %w", n.Text, err)
			}
		}
		if out = vectorOf(values); out.kind == expr.NullKind {
			return absent, nil
		}
	}
	out.constant = allConstant(args)
	return out, nil
}

func allConstant(args []*vector) bool {
	return !slices.ContainsFunc(args, func(v *vector) bool { return !v.constant })
}

// compareInts is the fast path of layer < 8: integers against one integer.
func compareInts(o Op, args []*vector, rows int) *vector {
	a, b := args[0], args[1]
	if a.kind != expr.IntKind || b.kind != expr.IntKind || !b.constant || a.null != nil || b.null != nil || a.constant {
		return nil
	}
	out := make([]bool, rows)
	for i, x := range a.ints[:rows] {
		out[i] = holds(o, cmp.Compare(x, b.ints[0]))
	}
	return &vector{kind: expr.BoolKind, bools: out}
}

// evalLogic is and, or; it stops as soon as the rows are decided.
func (n *Node) evalLogic(b *batch) (*vector, error) {
	decided := n.Op == OpOr // the value that settles a row
	var out *vector
	for _, a := range n.Args {
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
		merged := &vector{kind: expr.BoolKind, bools: make([]bool, rows), constant: rows == 1 && out.constant && v.constant}
		for i := range rows {
			x, y := truth(out, i), truth(v, i)
			merged.bools[i] = x && y || n.Op == OpOr && (x || y)
		}
		out = merged
	}
	return out, nil
}

// truth is what a condition makes of row i: an absent value is not true.
func truth(v *vector, i int) bool {
	return v.kind == expr.BoolKind && !v.isNull(i) && v.bools[v.index(i)]
}

// apply computes one row. An absent argument makes the result absent, and a
// condition false, but for ??, if, not and present.
func (n *Node) apply(args []expr.Value) (expr.Value, error) {
	switch n.Op {
	case OpElse:
		if !args[0].IsNull() {
			return args[0], nil
		}
		return args[1], nil
	case OpIf:
		if args[0].Truth() {
			return args[1], nil
		}
		return args[2], nil
	case OpIn:
		return expr.Bool(slices.ContainsFunc(args[1:], func(a expr.Value) bool { return expr.Equal(args[0], a) })), nil
	case OpNot:
		return expr.Bool(!args[0].Truth()), nil
	case OpPresent:
		return expr.Bool(!args[0].IsNull()), nil
	}
	if slices.ContainsFunc(args, expr.Value.IsNull) {
		if n.Kind == expr.BoolKind {
			return expr.Bool(false), nil
		}
		return expr.Null, nil
	}
	switch n.Op {
	case OpEqual, OpNotEqual, OpLess, OpLessEqual, OpGreater, OpGreaterEqual:
		return expr.Bool(holds(n.Op, order(args[0], args[1]))), nil
	case OpBetween:
		return expr.Bool(order(args[1], args[0]) <= 0 && order(args[0], args[2]) <= 0), nil
	case OpGlob:
		text, _ := args[0].Text()
		return expr.Bool(n.Glob.Match(text)), nil
	case OpRegexp:
		text, _ := args[0].Text()
		return expr.Bool(n.Regexp.MatchString(text)), nil
	case OpNeg:
		return expr.Negate(args[0])
	case OpIndex:
		shape := args[0].Shape()
		i, _ := args[1].Int()
		if i < 0 {
			i += int64(len(shape))
		}
		if i < 0 || i >= int64(len(shape)) {
			return expr.Null, nil
		}
		return expr.Int(shape[i]), nil
	case OpCall:
		v, err := expr.Apply(n.Function, args)
		return number(v), err
	}
	v, err := expr.Arithmetic(opText[n.Op], args[0], args[1])
	if err == expr.ErrDivide {
		return expr.Null, nil
	}
	return number(v), err
}

// number is v, or absent when v is not a number: no comparison holds for it then.
func number(v expr.Value) expr.Value {
	if f, ok := v.Float(); ok && f != f {
		return expr.Null
	}
	return v
}

func holds(o Op, c int) bool {
	switch o {
	case OpEqual:
		return c == 0
	case OpNotEqual:
		return c != 0
	case OpLess:
		return c < 0
	case OpLessEqual:
		return c <= 0
	case OpGreater:
		return c > 0
	}
	return c >= 0
}
