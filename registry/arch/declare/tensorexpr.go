package declare

import (
	"slices"
	"strconv"
	"strings"

	"wreg/registry/arch/op"
	"wreg/registry/tensor"
)

// TensorExpr is a tensor expression with all names and numbers substituted: a way to
// make a tensor, not yet matched with a checkpoint.
type TensorExpr struct {
	op.Step
	In []*TensorExpr

	Prefix, Suffix string // of Each: Prefix + number + Suffix
	From, Until    int64
}

// Each is a stack of Prefix{From..Until-1}Suffix: loads that differ in one number.
const Each = op.Op("each")

// Element is the path of one element of Each.
func (m *TensorExpr) Element(i int64) string {
	b := make([]byte, 0, len(m.Prefix)+len(m.Suffix)+4)
	b = append(b, m.Prefix...)
	b = strconv.AppendInt(b, i, 10)
	return string(append(b, m.Suffix...))
}

// Number is the number of the element of Each that path names. The stack itself is not
// an element, though mlp.experts.w begins and ends as mlp.experts.{0..3}.w does.
func (m *TensorExpr) Number(path string) (int64, bool) {
	rest, begins := strings.CutPrefix(path, m.Prefix)
	rest, ends := strings.CutSuffix(rest, m.Suffix)
	if m.Op != Each || !begins || !ends {
		return 0, false
	}
	n, err := strconv.ParseInt(rest, 10, 64)
	return n, err == nil
}

// Loads visits every path an expression reads.
func (m *TensorExpr) Loads(visit func(path string)) {
	switch m.Op {
	case op.Load:
		visit(m.Path)
	case Each:
		for i := m.From; i < m.Until; i++ {
			visit(m.Element(i))
		}
	}
	for _, x := range m.In {
		x.Loads(visit)
	}
}

func (m *TensorExpr) mentions(path string) bool {
	if _, ok := m.Number(path); ok || m.Op == op.Load && m.Path == path {
		return true
	}
	return slices.ContainsFunc(m.In, func(x *TensorExpr) bool { return x.mentions(path) })
}

// Inputs infers the shape of each path that an expression reads from the shape of
// its result; unknown dimensions are op.Unknown. Several results may tell different
// dimensions of one path: op.Merge joins them.
func (m *TensorExpr) Inputs(shape tensor.Shape, visit func(path string, shape tensor.Shape)) {
	switch m.Op {
	case op.Load:
		visit(m.Path, shape)
	case Each:
		for i := m.From; i < m.Until; i++ {
			visit(m.Element(i), op.Tail(shape))
		}
	default:
		in := m.Input(shape)
		for _, x := range m.In {
			x.Inputs(in, visit)
		}
	}
}
