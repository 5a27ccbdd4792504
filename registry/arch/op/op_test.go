package op

import (
	"fmt"
	"slices"
	"testing"

	"wreg/registry/tensor"
)

// Two stored tensors, stacked and cast.
func ExampleStep_Node() {
	stored := func(path string) *Node {
		return Stored(tensor.Info{Path: path, DType: tensor.F32, Shape: tensor.Shape{4, 6}})
	}
	stack, err := (&Step{Op: Stack}).Node(stored("a"), stored("b"))
	if err != nil {
		fmt.Println(err)
		return
	}
	n, err := (&Step{Op: Cast, To: tensor.BF16}).Node(stack)
	fmt.Println(n.DType, n.Shape, n.Text(), err)
	_, err = (&Step{Op: Cast, To: tensor.BF16}).Undo(n, stack.Shape)
	fmt.Println(err)
	// Output:
	// bf16 [2, 4, 6] cast bf16(stack(2 load)) <nil>
	// it was cast to bf16 and rounded
}

type stepCase struct {
	step Step
	out  tensor.Shape
	in   tensor.Shape // what the result's shape tells of the input; nil: nothing
	undo bool
	last bool // leaves the last axis alone
}

// steps are of every operation that has a shape of its own, on a tensor of [4, 6].
var steps = []stepCase{
	{Step{Op: Stack}, tensor.Shape{1, 4, 6}, tensor.Shape{4, 6}, false, true},
	{Step{Op: Concat}, tensor.Shape{4, 6}, tensor.Shape{Unknown, 6}, false, true},
	{Step{Op: Concat, Axis: 1}, tensor.Shape{4, 6}, tensor.Shape{4, Unknown}, false, false},
	{Step{Op: Slice, Start: []int64{1}, Stop: []int64{End}, Stride: []int64{1}}, tensor.Shape{3, 6}, tensor.Shape{4, 6}, false, true},
	{Step{Op: Slice, Start: []int64{0, 1}, Stop: []int64{End, End}, Stride: []int64{1, 2}}, tensor.Shape{4, 3}, tensor.Shape{4, 6}, false, false},
	{Step{Op: Slice, Start: []int64{2}, Stop: []int64{0}, Stride: []int64{0}}, tensor.Shape{6}, tensor.Shape{Unknown, 6}, false, true},
	{Step{Op: Reshape, Dims: tensor.Shape{8, -1}}, tensor.Shape{8, 3}, nil, true, false},
	{Step{Op: Permute, Perm: []int{1, 0}}, tensor.Shape{6, 4}, tensor.Shape{4, 6}, true, false},
	{Step{Op: Flatten, Count: 2}, tensor.Shape{24}, tensor.Shape{Unknown, Unknown}, true, false},
	{Step{Op: Unflatten, Dims: tensor.Shape{2, -1}}, tensor.Shape{2, 2, 6}, tensor.Shape{4, 6}, true, true},
	{Step{Op: Repeat, Count: 3}, tensor.Shape{12, 6}, tensor.Shape{4, 6}, false, false},
	{Step{Op: Add, Scalar: 1}, tensor.Shape{4, 6}, tensor.Shape{4, 6}, false, false},
	{Step{Op: Mul, Scalar: 2}, tensor.Shape{4, 6}, tensor.Shape{4, 6}, false, false},
	{Step{Op: MulVec, Vector: []float64{1, 2, 3, 4}, Scalar: 1}, tensor.Shape{4, 6}, tensor.Shape{4, 6}, false, false},
	{Step{Op: Cast, To: tensor.F16}, tensor.Shape{4, 6}, tensor.Shape{4, 6}, false, false},
	{Step{Op: View, To: tensor.U8}, tensor.Shape{4, 24}, nil, false, false},
	{Step{Op: L2Norm, Axis: 1}, tensor.Shape{4, 6}, tensor.Shape{4, 6}, false, false},
	{Step{Op: Branch, Scalar: 1}, tensor.Shape{4, 6}, tensor.Shape{4, 6}, false, false},
	{Step{Op: Stream, Scalar: 1}, tensor.Shape{4, 6}, tensor.Shape{4, 6}, false, false},
}

func TestSteps(t *testing.T) {
	in := Array{tensor.F32, tensor.Shape{4, 6}}
	for _, c := range steps {
		s := &c.step
		out, err := s.Result(in)
		if err != nil || !out.Shape.Equal(c.out) {
			t.Errorf("%s gives %v, %v, want %v", s.Op, out.Shape, err, c.out)
			continue
		}
		if got := s.Input(out.Shape); !got.Equal(c.in) {
			t.Errorf("%s: from %v its input is %v, want %v", s.Op, out.Shape, got, c.in)
		}
		if got := s.KeepsLast(2); got != c.last {
			t.Errorf("%s leaves the last axis alone: %v", s.Op, got)
		}
		n, err := s.Node(Stored(tensor.Info{Path: "x", DType: in.DType, Shape: in.Shape}))
		if err != nil || !n.Shape.Equal(c.out) || n.DType != out.DType {
			t.Errorf("%s makes a node of %v %v, %v, want %v", s.Op, n.DType, n.Shape, err, c.out)
			continue
		}
		back, err := s.Undo(n, in.Shape)
		if (err == nil) != c.undo || err == nil && !back.Shape.Equal(in.Shape) {
			t.Errorf("%s is undone: %v, want %v", s.Op, err, c.undo)
		}
	}
}

// Every function on tensors has a row that can be tested, and a usage.
func TestFunctions(t *testing.T) {
	for _, name := range Functions() {
		if _, usage := Function(name); usage == "" {
			t.Errorf("%s has no usage", name)
		}
		if name != "squeeze" && !slices.ContainsFunc(steps, func(c stepCase) bool { return string(c.step.Op) == name }) {
			t.Errorf("%s is not among the steps tested here", name)
		}
	}
}
