package arch

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"wreg/registry/expr"
	"wreg/registry/tensor"
)

// making is a tensor expression with its names and numbers put in: a way to make
// a tensor, not yet held against a checkpoint.
type making struct {
	op   Op // OpLoad, OpStack, …; each over loads that differ in a number is opEach
	in   []*making
	path string
	at   *expr.Node

	prefix, suffix string // of opEach: prefix + number + suffix
	from, to       int64

	axis, count int
	cuts        []cut
	dims        tensor.Shape
	perm        []int
	scalar      float64
	vector      []float64
	dtype       tensor.DType
}

// Operations of a making that no Node has: each becomes one of them when the
// shapes are known.
const (
	opLoad      = OpLoad
	opEach      = Op("each")      // stack of prefix{from..to}suffix
	opFlatten   = Op("flatten")   // axis, count: these axes become one
	opUnflatten = Op("unflatten") // axis, dims: this axis becomes several
	opSqueeze   = Op("squeeze")   // axis of size 1 goes
)

// cut is one axis of a slice; an index takes the axis away.
type cut struct {
	start, stop, step int64
	open, index       bool // open: no stop
}

func (c cut) whole() bool { return c.open && c.start == 0 && c.step == 1 && !c.index }

// markVariable stands for a loop variable in a name while it is cut in two.
const markVariable = "\x00"

// making builds a tensor expression.
func (s *scope) making(n *expr.Node) (*making, error) {
	switch n.Op {
	case expr.OpName:
		if b := s.binding(n.Text); b != nil {
			if b.node == nil {
				return nil, fault(n, fmt.Errorf("%s is %v, not a tensor", n.Text, b.value))
			}
			return b.in.making(b.node)
		}
		path, err := s.path(n)
		return &making{op: opLoad, path: path, at: n}, err
	case expr.OpConst:
		if text, ok := n.Value.Text(); ok {
			path, err := s.absolute(text, n)
			return &making{op: opLoad, path: path, at: n}, err
		}
	case expr.OpIf:
		c, err := s.eval(n.Args[0])
		if err != nil {
			return nil, err
		}
		if c.Truth() {
			return s.making(n.Args[1])
		}
		return s.making(n.Args[2])
	case "+", "-", "*":
		return s.scaled(n)
	case expr.OpIndex:
		return s.sliced(n)
	case expr.OpCall:
		return s.called(n)
	}
	return nil, fault(n, fmt.Errorf("%v is no tensor expression", n))
}

func (s *scope) scaled(n *expr.Node) (*making, error) {
	x, err := s.making(n.Args[0])
	if err != nil {
		return nil, err
	}
	v, err := s.eval(n.Args[1])
	if err != nil {
		return nil, err
	}
	f, ok := v.Float()
	if !ok {
		return nil, fault(n, fmt.Errorf("%v is no number", v))
	}
	switch {
	case n.Op == "*" && f == 1, n.Op != "*" && f == 0:
		return x, nil // a step that leaves every bit as it is
	case n.Op == "*":
		return &making{op: OpMul, in: []*making{x}, scalar: f, at: n}, nil
	case n.Op == "-":
		f = -f
	}
	return &making{op: OpAdd, in: []*making{x}, scalar: f, at: n}, nil
}

func (s *scope) sliced(n *expr.Node) (*making, error) {
	x, err := s.making(n.Args[0])
	if err != nil {
		return nil, err
	}
	m := &making{op: OpSlice, in: []*making{x}, at: n}
	for _, a := range n.Args[1:] {
		c := cut{step: 1}
		if a.Op != expr.OpSlice {
			c.index = true
			if c.start, err = s.integer(a); err != nil {
				return nil, err
			}
			m.cuts = append(m.cuts, c)
			continue
		}
		c.open = a.Args[1] == nil
		for i, to := range []*int64{&c.start, &c.stop, &c.step} {
			if a.Args[i] != nil {
				if *to, err = s.integer(a.Args[i]); err != nil {
					return nil, err
				}
			}
		}
		if c.step < 1 || c.start < 0 || c.stop < 0 {
			return nil, fault(n, fmt.Errorf("%v: slices count from 0 upwards", n))
		}
		m.cuts = append(m.cuts, c)
	}
	return m, nil
}

// onTensors holds the functions that take a tensor first.
var onTensors = map[Op]bool{
	OpReshape: true, OpPermute: true, opFlatten: true, opUnflatten: true, opSqueeze: true, OpView: true,
	OpCast: true, OpRepeat: true, OpMulVec: true, OpL2Norm: true,
}

// called builds the functions on tensors. Each takes its tensors first, concat
// its axis.
func (s *scope) called(n *expr.Node) (*making, error) {
	switch n.Text {
	case "stack":
		return s.stack(n)
	case "concat":
		if len(n.Args) < 2 {
			return nil, fault(n, fmt.Errorf("concat takes an axis and tensors"))
		}
		axis, err := s.integer(n.Args[0])
		m := &making{op: OpConcat, axis: int(axis), at: n}
		for _, a := range n.Args[1:] {
			if err == nil {
				m.in, err = s.appendMaking(m.in, a)
			}
		}
		return m, err
	}
	if !onTensors[Op(n.Text)] {
		return nil, fault(n, fmt.Errorf("there is no function %s on tensors; known are stack concat reshape permute flatten unflatten squeeze view cast repeat mulvec l2norm", n.Text))
	}
	if len(n.Args) == 0 {
		return nil, fault(n, fmt.Errorf("%s takes a tensor", n.Text))
	}
	x, err := s.making(n.Args[0])
	if err != nil {
		return nil, err
	}
	m := &making{op: Op(n.Text), in: []*making{x}, at: n}
	args := n.Args[1:]
	switch n.Text {
	case "mulvec":
		return m, s.vector(m, n, args)
	case "view", "cast":
		if len(args) != 1 || args[0].Op != expr.OpName {
			return nil, fault(n, fmt.Errorf("%s takes a tensor and a dtype", n.Text))
		}
		var ok bool
		if m.dtype, ok = tensor.ParseDType(args[0].Text); !ok {
			return nil, fault(n, fmt.Errorf("there is no dtype %s", args[0].Text))
		}
		return m, nil
	}
	numbers := make(tensor.Shape, len(args))
	for i, a := range args {
		if numbers[i], err = s.integer(a); err != nil {
			return nil, err
		}
	}
	return m, m.numbers(n, numbers)
}

// vector is mulvec(x, sizes, factors, scale): rows come in runs of sizes, each with
// its factor.
func (s *scope) vector(m *making, n *expr.Node, args []*expr.Node) error {
	if len(args) != 3 {
		return fault(n, fmt.Errorf("mulvec takes a tensor, a list of sizes, a list of factors and a scale"))
	}
	var lists [2][]expr.Value
	for i := range lists {
		v, err := s.eval(args[i])
		if err != nil {
			return err
		}
		lists[i], _ = v.Items()
	}
	scale, err := s.eval(args[2])
	if err != nil {
		return err
	}
	ok := len(lists[0]) == len(lists[1])
	if m.scalar, _ = scale.Float(); !ok || m.scalar == 0 {
		return fault(n, fmt.Errorf("mulvec: %d sizes, %d factors, scale %v", len(lists[0]), len(lists[1]), scale))
	}
	for i, size := range lists[0] {
		count, ok1 := size.Int()
		factor, ok2 := lists[1][i].Float()
		if !ok1 || !ok2 || count < 0 {
			return fault(n, fmt.Errorf("mulvec: %v rows of factor %v", size, lists[1][i]))
		}
		if err := s.run.spend(n, count); err != nil {
			return err
		}
		for range count {
			m.vector = append(m.vector, factor)
		}
	}
	return nil
}

func (m *making) numbers(n *expr.Node, numbers tensor.Shape) error {
	want := func(ok bool, usage string) error {
		if ok {
			return nil
		}
		return fault(n, fmt.Errorf("%s takes %s", n.Text, usage))
	}
	switch m.op {
	case OpReshape:
		m.dims = numbers
		return want(len(numbers) > 0, "a tensor and dimensions; one may be -1")
	case OpPermute:
		for _, p := range numbers {
			m.perm = append(m.perm, int(p))
		}
		sorted := slices.Clone(m.perm)
		slices.Sort(sorted)
		for i, p := range sorted {
			if i != p {
				return want(false, "a tensor and each axis once")
			}
		}
		return nil
	case opUnflatten:
		if err := want(len(numbers) > 2, "a tensor, an axis and the dimensions it becomes"); err != nil {
			return err
		}
		m.axis, m.dims = int(numbers[0]), numbers[1:]
		return nil
	case opFlatten:
		if err := want(len(numbers) == 2 && numbers[1] > 1, "a tensor, an axis and how many axes become one"); err != nil {
			return err
		}
		m.axis, m.count = int(numbers[0]), int(numbers[1])
		return nil
	case opSqueeze, OpL2Norm:
		if err := want(len(numbers) == 1, "a tensor and an axis"); err != nil {
			return err
		}
		m.axis = int(numbers[0])
		return nil
	case OpRepeat:
		if err := want(len(numbers) == 2 && numbers[0] > 0, "a tensor, a count and an axis"); err != nil {
			return err
		}
		m.count, m.axis = int(numbers[0]), int(numbers[1])
		return nil
	}
	return want(false, "other arguments")
}

func (s *scope) appendMaking(list []*making, n *expr.Node) ([]*making, error) {
	if n.Op != expr.OpFor {
		m, err := s.making(n)
		return append(list, m), err
	}
	values, err := s.values(n.Args[1])
	if err != nil {
		return nil, err
	}
	for _, v := range values {
		in := s.child()
		in.set(n.Text, v)
		m, err := in.making(n.Args[0])
		if err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	return list, nil
}

// stack of names that differ in one number, the experts, is kept as the two ends
// of the name: a model has tens of thousands of them.
func (s *scope) stack(n *expr.Node) (*making, error) {
	if len(n.Args) == 1 && n.Args[0].Op == expr.OpFor && n.Args[0].Args[0].Op == expr.OpName && n.Args[0].Args[1].Op == expr.OpRange {
		loop := n.Args[0]
		in := s.child()
		in.set(loop.Text, expr.String(markVariable))
		if in.binding(loop.Args[0].Text) == nil {
			path, err := in.path(loop.Args[0])
			if err != nil {
				return nil, err
			}
			prefix, suffix, ok := strings.Cut(path, markVariable)
			if ok && !strings.Contains(suffix, markVariable) {
				from, to, err := s.bounds(loop.Args[1])
				return &making{op: opEach, prefix: prefix, suffix: suffix, from: from, to: to, at: n}, err
			}
		}
	}
	m := &making{op: OpStack, at: n}
	var err error
	for _, a := range n.Args {
		if m.in, err = s.appendMaking(m.in, a); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// each gives the path of one element of an opEach.
func (m *making) each(i int64) string {
	b := make([]byte, 0, len(m.prefix)+len(m.suffix)+4)
	b = append(b, m.prefix...)
	b = strconv.AppendInt(b, i, 10)
	return string(append(b, m.suffix...))
}

// loads visits every path a making reads.
func (m *making) loads(visit func(path string)) {
	switch m.op {
	case opLoad:
		visit(m.path)
	case opEach:
		for i := m.from; i < m.to; i++ {
			visit(m.each(i))
		}
	}
	for _, x := range m.in {
		x.loads(visit)
	}
}

func (m *making) mentions(path string) bool {
	if m.op == opLoad && m.path == path {
		return true
	}
	if m.op == opEach && strings.HasPrefix(path, m.prefix) && strings.HasSuffix(path, m.suffix) && len(path) > len(m.prefix)+len(m.suffix) {
		_, err := strconv.ParseInt(path[len(m.prefix):len(path)-len(m.suffix)], 10, 64)
		return err == nil
	}
	for _, x := range m.in {
		if x.mentions(path) {
			return true
		}
	}
	return false
}
