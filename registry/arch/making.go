package arch

import (
	"fmt"
	"math"
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

// maxSize is above every dimension, and far enough below 2^63 to count with.
const maxSize = 1 << 48

// markVariable stands for a loop variable in a name while it is cut in two.
const markVariable = "\x00"

// making builds a tensor expression.
func (s *scope) making(n *expr.Node) (*making, error) {
	r := s.run
	if r.nested++; r.nested > maxNested {
		return nil, fault(n, fmt.Errorf("steps of a tensor stand in steps more than %d deep", maxNested))
	}
	defer func() { r.nested-- }()
	if err := r.spend(n, 1); err != nil {
		return nil, err
	}
	switch n.Op {
	case expr.OpName:
		if b := s.binding(n.Text); b != nil {
			if b.node == nil {
				return nil, fault(n, fmt.Errorf("%s is %v, not a tensor", n.Text, b.value))
			}
			return b.in.making(b.node)
		}
		return s.load(n.Text, n)
	case expr.OpConst:
		if text, ok := n.Value.Text(); ok {
			return s.load(text, n)
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

func (s *scope) load(name string, n *expr.Node) (*making, error) {
	path, err := s.absolute(name, n)
	if err == nil {
		err = s.run.spendName(n, 1, len(path))
	}
	return &making{op: opLoad, path: path, at: n}, err
}

// factor is a number that numbers may be added to or multiplied with.
func (s *scope) factor(n *expr.Node) (float64, error) {
	v, err := s.eval(n)
	if err != nil {
		return 0, err
	}
	f, ok := v.Float()
	if !ok || !finite(f) {
		return 0, fault(n, fmt.Errorf("%v is %v, not a finite number", n, v))
	}
	return f, nil
}

func finite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }

func (s *scope) scaled(n *expr.Node) (*making, error) {
	x, err := s.making(n.Args[0])
	if err != nil {
		return nil, err
	}
	f, err := s.factor(n.Args[1])
	if err != nil {
		return nil, err
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
	if len(n.Args) > tensor.MaxRank {
		return nil, fault(n, fmt.Errorf("a slice of %d axes: a tensor has at most %d", len(n.Args)-1, tensor.MaxRank))
	}
	for _, a := range n.Args[1:] {
		c := cut{step: 1}
		if a.Op != expr.OpSlice {
			c.index = true
			if c.start, err = s.integer(a); err != nil {
				return nil, err
			}
			if c.start < 0 || c.start >= maxSize {
				return nil, fault(a, fmt.Errorf("%v is %d: an index counts from 0 upwards", a, c.start))
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
		if c.step < 1 || c.start < 0 || c.stop < 0 || max(c.start, c.stop, c.step) >= maxSize {
			return nil, fault(n, fmt.Errorf("%v is %d:%d:%d: slices count from 0 upwards", n, c.start, c.stop, c.step))
		}
		m.cuts = append(m.cuts, c)
	}
	return m, nil
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
				if err == nil {
					err = s.run.spendName(n, max(0, to-from), len(path))
				}
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

// number is that of the element of an opEach that path names. The stack itself is
// none, though mlp.experts.w both begins and ends as mlp.experts.{0..3}.w does.
func (m *making) number(path string) (int64, bool) {
	rest, begins := strings.CutPrefix(path, m.prefix)
	rest, ends := strings.CutSuffix(rest, m.suffix)
	if m.op != opEach || !begins || !ends {
		return 0, false
	}
	n, err := strconv.ParseInt(rest, 10, 64)
	return n, err == nil
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
	if _, ok := m.number(path); ok {
		return true
	}
	for _, x := range m.in {
		if x.mentions(path) {
			return true
		}
	}
	return false
}
