package arch

import (
	"fmt"
	"slices"

	"wreg/registry/expr"
	"wreg/registry/tensor"
)

// onTensors holds the functions that take a tensor first.
var onTensors = map[Op]bool{
	OpReshape: true, OpPermute: true, opFlatten: true, opUnflatten: true, opSqueeze: true, OpView: true,
	OpCast: true, OpRepeat: true, OpMulVec: true, OpL2Norm: true, OpBranch: true, OpStream: true,
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
		axis, err := s.axis(n.Args[0])
		m := &making{op: OpConcat, axis: axis, at: n}
		for _, a := range n.Args[1:] {
			if err == nil {
				m.in, err = s.appendMaking(m.in, a)
			}
		}
		return m, err
	}
	if !onTensors[Op(n.Text)] {
		return nil, fault(n, fmt.Errorf("there is no function %s on tensors; known are stack concat reshape permute flatten unflatten squeeze view cast repeat mulvec l2norm branch stream", n.Text))
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
	case "branch", "stream":
		if len(args) != 1 {
			return nil, fault(n, fmt.Errorf("%s takes a gate and a temperature", n.Text))
		}
		if m.scalar, err = s.factor(args[0]); err == nil && m.scalar <= 0 {
			err = fault(args[0], fmt.Errorf("%s: the temperature is %v", n.Text, m.scalar))
		}
		return m, err
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
	if len(args) > tensor.MaxRank {
		return nil, fault(n, fmt.Errorf("%s: %d numbers: at most %d are allowed", n.Text, len(args), tensor.MaxRank))
	}
	numbers := make(tensor.Shape, len(args))
	for i, a := range args {
		if numbers[i], err = s.integer(a); err != nil {
			return nil, err
		}
		if numbers[i] >= maxSize {
			return nil, fault(a, fmt.Errorf("%v is %d: at most %d is allowed", a, numbers[i], int64(maxSize)))
		}
	}
	if err := m.numbers(n, numbers); err != nil {
		return nil, err
	}
	if m.axis < 0 || m.axis >= tensor.MaxRank {
		return nil, fault(n, fmt.Errorf("%v: axes count from 0 to %d, and this is %d", n, tensor.MaxRank-1, m.axis))
	}
	return m, nil
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
	var err error
	if m.scalar, err = s.factor(args[2]); err != nil {
		return err
	}
	if len(lists[0]) != len(lists[1]) || m.scalar == 0 {
		return fault(n, fmt.Errorf("mulvec: %d sizes, %d factors, scale %v", len(lists[0]), len(lists[1]), m.scalar))
	}
	if err := s.run.work(int64(len(lists[0]))); err != nil {
		return err
	}
	for i, size := range lists[0] {
		count, ok1 := size.Int()
		factor, ok2 := lists[1][i].Float()
		if !ok1 || !ok2 || count < 0 || !finite(factor) {
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

// axis is a number that counts axes.
func (s *scope) axis(n *expr.Node) (int, error) {
	i, err := s.integer(n)
	if err == nil && (i < 0 || i >= tensor.MaxRank) {
		err = fault(n, fmt.Errorf("%v is %d: axes count from 0 to %d", n, i, tensor.MaxRank-1))
	}
	return int(i), err
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
		if err := want(len(numbers) == 2 && numbers[1] > 1 && numbers[1] <= tensor.MaxRank, "a tensor, an axis and how many axes become one"); err != nil {
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
