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

// The operations. Their parameters are the Step fields named beside each.
const (
	Load    Op = "load"    // Path: the source tensor as stored
	Stack   Op = "stack"   // new axis 0
	Concat  Op = "concat"  // Axis
	Slice   Op = "slice"   // Start, Stop, Stride per axis
	Reshape Op = "reshape" // Dims; of a Node its Shape
	Permute Op = "permute" // Perm: output axis i is input axis Perm[i]
	Add     Op = "add"     // Scalar, rounded to the dtype first
	Mul     Op = "mul"     // Scalar, rounded to the dtype first
	MulVec  Op = "mulvec"  // Vector, Scalar: one factor per index of axis 0: Vector[i] times Scalar, each and their product rounded to the dtype
	Cast    Op = "cast"    // To
	View    Op = "view"    // To: same bits, last axis rescaled
	FP8     Op = "fp8"     // In[0] e4m3, In[1] scales; Block: rows, cols (0,0: broadcast); to bf16
	Repeat  Op = "repeat"  // Axis, Count
	L2Norm  Op = "l2norm"  // Axis: in f32, x / (sqrt of the sum of squares along it, summed in order, + 1e-7), then the dtype again
	Branch  Op = "branch"  // Scalar t: weight of a residual branch by its gate x: sigmoid(x/t), in f32
	Stream  Op = "stream"  // Scalar t: weight of the stream beside it: sqrt(max(sigmoid(-x/t) * (1 + sigmoid(x/t)), 0.001)), in f32
	AWQ     Op = "awq"     // In[0] qweight i32 [in, out/8]: unpacked, transposed, repacked to u32 [out, in/8]
	AWQBias Op = "awqbias" // In[0] scales [out, groups], In[1] qzeros i32 [groups, out/8] or none (8): -zero × scale, as scales
)

// Operations of tensors that are stored in blocks, added once a plan needs floats.
const (
	Dequantize Op = "dequantize" // In: packed codes, scales, perhaps biases; Axis bits, Count elements in a group
	GGML       Op = "ggml"       // In[0] in blocks of ggml's, to f32
)

// Operations that no Node has: each becomes Reshape once the shapes are known.
const (
	Flatten   Op = "flatten"   // Axis, Count: these axes become one
	Unflatten Op = "unflatten" // Axis, Dims: this axis becomes several
	Squeeze   Op = "squeeze"   // Axis of size 1 is removed
)

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
	r := rows[s.Op]
	if r == nil || r.result == nil {
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
	r := rows[s.Op]
	return r != nil && r.idle && in.DType == out.DType && in.Shape.Equal(out.Shape)
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
	case rows[s.Op].node != nil:
		return rows[s.Op].node(s, in[0], out), nil
	}
	return &Node{Step: *s, In: in, DType: out.DType, Shape: out.Shape}, nil
}

// Input infers the shape of the step's input from that of its result: unknown
// dimensions are Unknown, the shape is nil when nothing can be inferred.
func (s *Step) Input(out tensor.Shape) tensor.Shape {
	if r := rows[s.Op]; r != nil && r.input != nil {
		return r.input(s, out)
	}
	return nil
}

// KeepsLast reports that the step leaves the last of rank axes alone, so that it
// can be applied to packed codes and to their scales alike.
func (s *Step) KeepsLast(rank int) bool {
	r := rows[s.Op]
	return r != nil && r.keeps != nil && r.keeps(s, rank)
}

// Undo reverses the step, whose input had the shape in. A step that rounds cannot
// be undone.
func (s *Step) Undo(n *Node, in tensor.Shape) (*Node, error) {
	r := rows[s.Op]
	switch {
	case r != nil && r.undo != nil:
		return r.undo(s, n, in)
	case r != nil && r.lossy != nil:
		return nil, fmt.Errorf("%s", r.lossy(s))
	}
	return nil, fmt.Errorf("%s cannot be undone", s.Op)
}
