package declare

import (
	"fmt"
	"strings"

	"wreg/registry/arch/op"
	"wreg/registry/expr"
	"wreg/registry/tensor"
)

// called builds the functions on tensors. Each takes its tensors first, concat
// its axis.
func (s *scope) called(n *expr.Node) (*TensorExpr, error) {
	args, usage := op.Function(n.Text)
	wrong := fault(n, fmt.Errorf("%s takes %s", n.Text, usage))
	m := &TensorExpr{Step: op.Step{Op: op.Op(n.Text)}}
	var err error
	switch args {
	case op.NoFunction:
		return nil, fault(n, fmt.Errorf("unknown tensor function %s; known are %s", n.Text, strings.Join(op.Functions(), " ")))
	case op.Tensors:
		return s.stack(n)
	case op.AxisFirst:
		if len(n.Args) < 2 {
			return nil, wrong
		}
		m.Axis, err = s.axis(n.Args[0])
		for _, a := range n.Args[1:] {
			if err == nil {
				m.In, err = s.appendTensor(m.In, a)
			}
		}
		return m, err
	}
	if len(n.Args) == 0 {
		return nil, wrong
	}
	x, err := s.tensorExpr(n.Args[0])
	if err != nil {
		return nil, err
	}
	m.In = []*TensorExpr{x}
	rest := n.Args[1:]
	switch {
	case args == op.Numbers:
		return m, s.numbers(m, n, rest)
	case args == op.Vector && len(rest) == 3:
		return m, s.vector(m, n, rest)
	case args == op.Factor && len(rest) == 1:
		if m.Scalar, err = s.factor(rest[0]); err == nil && m.Scalar <= 0 {
			err = fault(rest[0], fmt.Errorf("%s: the temperature is %v", n.Text, m.Scalar))
		}
		return m, err
	case args == op.DType && len(rest) == 1 && rest[0].Op == expr.OpName:
		var ok bool
		if m.To, ok = tensor.ParseDType(rest[0].Text); !ok {
			err = fault(n, fmt.Errorf("unknown dtype %s", rest[0].Text))
		}
		return m, err
	}
	return nil, wrong
}

// numbers takes whole numbers as a step's parameters.
func (s *scope) numbers(m *TensorExpr, n *expr.Node, args []*expr.Node) error {
	if len(args) > tensor.MaxRank {
		return fault(n, fmt.Errorf("%s: %d numbers, and at most %d are allowed", n.Text, len(args), tensor.MaxRank))
	}
	numbers := make([]int64, len(args))
	for i, a := range args {
		var err error
		if numbers[i], err = s.integer(a); err != nil {
			return err
		}
		if numbers[i] < -1 || numbers[i] >= maxSize {
			return fault(a, fmt.Errorf("%v is %d: it must be from -1 to %d", a, numbers[i], int64(maxSize)))
		}
	}
	if !m.Set(numbers) {
		_, usage := op.Function(n.Text)
		return fault(n, fmt.Errorf("%s takes %s, not %v", n.Text, usage, numbers))
	}
	return nil
}

// vector is mulvec(x, sizes, factors, scale): rows come in runs of sizes, each with
// its factor.
func (s *scope) vector(m *TensorExpr, n *expr.Node, args []*expr.Node) error {
	var lists [2][]expr.Value
	for i := range lists {
		v, err := s.eval(args[i])
		if err != nil {
			return err
		}
		lists[i], _ = v.Items()
	}
	var err error
	if m.Scalar, err = s.factor(args[2]); err != nil {
		return err
	}
	if len(lists[0]) != len(lists[1]) || m.Scalar == 0 {
		return fault(n, fmt.Errorf("mulvec has %d sizes, %d factors and a scale of %v: want as many sizes as factors, and a scale other than 0", len(lists[0]), len(lists[1]), m.Scalar))
	}
	if err := s.run.Work(int64(len(lists[0]))); err != nil {
		return err
	}
	for i, size := range lists[0] {
		count, ok1 := size.Int()
		factor, ok2 := lists[1][i].Float()
		if !ok1 || !ok2 || count < 0 || !finite(factor) {
			return fault(n, fmt.Errorf("mulvec: %v rows of factor %v", size, lists[1][i]))
		}
		if err := s.run.spendAt(n, count); err != nil {
			return err
		}
		for range count {
			m.Vector = append(m.Vector, factor)
		}
	}
	return nil
}

// axis is a number that counts axes.
func (s *scope) axis(n *expr.Node) (int, error) {
	i, err := s.integer(n)
	if err == nil && (i < 0 || i >= tensor.MaxRank) {
		err = fault(n, fmt.Errorf("%v is %d: axes count from 0 to %d", n, i, tensor.MaxRank-1))
	}
	return int(i), err
}
