// Package op knows the operations that turn stored tensors into others: what each
// makes of dtypes and shapes, what shape its input had, how it is undone, and how
// it is written.
//
// Most users need [Node] (a step with its inputs, all numbers concrete), [Stored]
// (the tensor at its leaves) and [Step.Result] (the dtype and shape a step gives).
// An operation is a row of the table in table.go; what computes it is registered
// under the same [Op] by whoever has devices.
//
// Invariants: an operation is checked by its row alone; nothing here reads tensor
// bytes; a Node that was made by [Step.Node] has the dtype and shape of its row.
package op

import (
	"fmt"

	"wreg/registry/tensor"
)

// Op names an operation.
type Op string

// Step is an operation with its parameters.
type Step struct {
	Op                  Op
	Path                string
	Axis, Count         int
	Start, Stop, Stride []int64      // a Stop of End: the whole rest; a Stride of 0: one index, whose axis is removed
	Dims                tensor.Shape // one may be -1
	Perm                []int
	Scalar              float64
	Vector              []float64
	Block               [2]int64
	To                  tensor.DType
}

// End is the Stop of a slice that has none.
const End = -1

// Array is what a step takes and gives.
type Array struct {
	DType tensor.DType
	Shape tensor.Shape
}

// Node is one step of the tree that makes a tensor. All its numbers are concrete: it
// can be printed, costed and run without the architecture.
type Node struct {
	Step
	In    []*Node
	DType tensor.DType // of the result
	Shape tensor.Shape // of the result
}

// Stored is the tensor as it is stored.
func Stored(i tensor.Info) *Node {
	return &Node{Step: Step{Op: Load, Path: i.Path}, DType: i.DType, Shape: i.Shape}
}

// Sources visits the path of every stored tensor that a tree reads.
func (n *Node) Sources(visit func(path string)) {
	if n.Op == Load {
		visit(n.Path)
	}
	for _, in := range n.In {
		in.Sources(visit)
	}
}

// Result is the dtype and shape that the step makes of its inputs, all of them
// checked.
func (s *Step) Result(in ...Array) (Array, error) {
	r := s.Op.row()
	if r.result == nil {
		return Array{}, fmt.Errorf("there is no operation %s", s.Op)
	}
	if len(in) < r.least || len(in) > r.most {
		return Array{}, fmt.Errorf("%s of %d inputs", s.Op, len(in))
	}
	out, err := r.result(s, in)
	if err == nil {
		_, err = out.Shape.Numel()
	}
	return out, err
}

// Idle reports that the step, which makes out of in, leaves it as it is.
func (s *Step) Idle(in, out Array) bool {
	return s.Op.row().idle && in.DType == out.DType && in.Shape.Equal(out.Shape)
}

// Node makes the Node of a step on inputs that Result accepted; several Nodes, or
// the input itself, where that says the same.
func (s *Step) Node(in ...*Node) (*Node, error) {
	arrays := make([]Array, len(in))
	for i, n := range in {
		arrays[i] = Array{n.DType, n.Shape}
	}
	out, err := s.Result(arrays...)
	switch {
	case err != nil:
		return nil, err
	case s.Idle(arrays[0], out):
		return in[0], nil
	case s.Op.row().node != nil:
		return s.Op.row().node(s, in[0], out), nil
	}
	return &Node{Step: *s, In: in, DType: out.DType, Shape: out.Shape}, nil
}

// Input infers the shape of the step's input from that of its result: unknown
// dimensions are Unknown, the shape is nil when nothing can be inferred.
func (s *Step) Input(out tensor.Shape) tensor.Shape {
	if r := s.Op.row(); r.input != nil {
		return r.input(s, out)
	}
	return nil
}

// KeepsLast reports that the step leaves the last of rank axes alone, so that it
// can be applied to packed codes and to their scales alike.
func (s *Step) KeepsLast(rank int) bool {
	r := s.Op.row()
	return r.keeps != nil && r.keeps(s, rank)
}

// Rounds reports that the operation computes new numbers from those of its input.
func (o Op) Rounds() bool { return o.row().lossy != nil }

// Undo reverses the step, whose input had the shape in. A step that rounds cannot
// be undone.
func (s *Step) Undo(n *Node, in tensor.Shape) (*Node, error) {
	switch r := s.Op.row(); {
	case r.undo != nil:
		return r.undo(s, n, in)
	case r.lossy != nil:
		return nil, fmt.Errorf("%s", r.lossy(s))
	}
	return nil, fmt.Errorf("%s cannot be undone", s.Op)
}
