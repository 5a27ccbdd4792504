package declare

import (
	"fmt"
	"math"
	"strings"

	"wreg/registry/arch/op"
	"wreg/registry/expr"
	"wreg/registry/tensor"
)

// maxSize is above every dimension, and far enough below 2^63 to count with.
const maxSize = 1 << 48

// markVariable stands for a loop variable in a name while it is cut in two.
const markVariable = "\x00"

// tensorExpr builds a tensor expression.
func (s *scope) tensorExpr(n *expr.Node) (*TensorExpr, error) {
	r := s.run
	if r.nested++; r.nested > maxNested {
		return nil, fault(n, fmt.Errorf("a tensor expression nests more than %d steps deep", maxNested))
	}
	defer func() { r.nested-- }()
	if err := r.spendAt(n, 1); err != nil {
		return nil, err
	}
	switch n.Op {
	case expr.OpName:
		if b := s.binding(n.Text); b != nil {
			if b.node == nil {
				return nil, fault(n, fmt.Errorf("%s is %v, not a tensor", n.Text, b.value))
			}
			return b.in.tensorExpr(b.node)
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
			return s.tensorExpr(n.Args[1])
		}
		return s.tensorExpr(n.Args[2])
	case "+", "-", "*":
		return s.scaled(n)
	case expr.OpIndex:
		return s.sliced(n)
	case expr.OpCall:
		return s.called(n)
	}
	return nil, fault(n, fmt.Errorf("%v is not a tensor expression", n))
}

func (s *scope) load(name string, n *expr.Node) (*TensorExpr, error) {
	path, err := s.absolute(name)
	if err == nil {
		err = s.run.SpendName(1, len(path))
	}
	return &TensorExpr{Step: op.Step{Op: op.Load, Path: path}}, fault(n, err)
}

// factor is a number that numbers may be added to or multiplied with.
func (s *scope) factor(n *expr.Node) (float64, error) {
	v, err := s.eval(n)
	if err != nil {
		return 0, err
	}
	f, ok := v.Float()
	if !ok || !finite(f) {
		return 0, s.wrong(n, fmt.Errorf("%v is %v, not a finite number", n, v))
	}
	return f, nil
}

func finite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }

func (s *scope) scaled(n *expr.Node) (*TensorExpr, error) {
	x, err := s.tensorExpr(n.Args[0])
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
		return &TensorExpr{Step: op.Step{Op: op.Mul, Scalar: f}, In: []*TensorExpr{x}}, nil
	case n.Op == "-":
		f = -f
	}
	return &TensorExpr{Step: op.Step{Op: op.Add, Scalar: f}, In: []*TensorExpr{x}}, nil
}

func (s *scope) sliced(n *expr.Node) (*TensorExpr, error) {
	x, err := s.tensorExpr(n.Args[0])
	if err != nil {
		return nil, err
	}
	m := &TensorExpr{Step: op.Step{Op: op.Slice}, In: []*TensorExpr{x}}
	if len(n.Args) > tensor.MaxRank {
		return nil, fault(n, fmt.Errorf("a slice of %d axes: a tensor has at most %d", len(n.Args)-1, tensor.MaxRank))
	}
	for _, a := range n.Args[1:] {
		c := op.Cut{Start: 0, Stop: op.End, Stride: 1}
		if a.Op != expr.OpSlice {
			c.Stride = 0
			if c.Start, err = s.integer(a); err != nil {
				return nil, err
			}
			if c.Start < 0 || c.Start >= maxSize {
				return nil, fault(a, fmt.Errorf("%v is %d: an index counts from 0 upwards", a, c.Start))
			}
			m.AddCut(c)
			continue
		}
		for i, to := range []*int64{&c.Start, &c.Stop, &c.Stride} {
			if a.Args[i] == nil {
				continue
			}
			if *to, err = s.integer(a.Args[i]); err != nil {
				return nil, err
			}
			if *to < 0 || *to >= maxSize || i == 2 && *to < 1 {
				return nil, fault(a.Args[i], fmt.Errorf("%v is %d: slices count from 0 upwards", a.Args[i], *to))
			}
		}
		m.AddCut(c)
	}
	return m, nil
}

func (s *scope) appendTensor(list []*TensorExpr, n *expr.Node) ([]*TensorExpr, error) {
	if n.Op != expr.OpFor {
		m, err := s.tensorExpr(n)
		return append(list, m), err
	}
	values, err := s.values(n.Args[1])
	if err != nil {
		return nil, err
	}
	for _, v := range values {
		in := s.child()
		in.set(n.Text, v)
		m, err := in.tensorExpr(n.Args[0])
		if err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	return list, nil
}

// stack of names that differ in one number, the experts, is kept as the two ends
// of the name: a model has tens of thousands of them.
func (s *scope) stack(n *expr.Node) (*TensorExpr, error) {
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
					err = s.run.spendNameAt(n, max(0, to-from), len(path))
				}
				return &TensorExpr{Step: op.Step{Op: Each}, Prefix: prefix, Suffix: suffix, From: from, Until: to}, err
			}
		}
	}
	m := &TensorExpr{Step: op.Step{Op: op.Stack}}
	var err error
	for _, a := range n.Args {
		if m.In, err = s.appendTensor(m.In, a); err != nil {
			return nil, err
		}
	}
	return m, nil
}
