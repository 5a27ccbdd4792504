package op

import (
	"cmp"
	"fmt"
	"math"
	"strings"

	"wreg/registry/tensor"
)

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

// Decodable reports that GGML makes floats of the blocks of a type.
func Decodable(d tensor.DType) bool { return d == tensor.Q8_0 || d == tensor.Q4_0 }

// Operations that no Node has: each becomes Reshape once the shapes are known.
const (
	Flatten   Op = "flatten"   // Axis, Count: these axes become one
	Unflatten Op = "unflatten" // Axis, Dims: this axis becomes several
	Squeeze   Op = "squeeze"   // Axis of size 1 is removed
)

// Args says what a function on tensors takes beside its tensors.
type Args uint8

// The arguments of functions.
const (
	NoFunction Args = iota // it cannot be called by its name
	Tensors                // nothing but tensors
	AxisFirst              // an axis, and then tensors
	Numbers                // whole numbers: see Step.Set
	DType                  // a dtype
	Factor                 // a number above 0
	Vector                 // sizes, factors and a scale
)

// row is all there is to know of one operation.
type row struct {
	op          Op
	shown       Op  // what it is called among an architecture's steps, "": its own name
	least, most int // inputs
	args        Args
	usage       string                        // its arguments, in words
	set         func(s *Step, n []int64) bool // takes numbers as its parameters

	result func(s *Step, in []Array) (Array, error)
	idle   bool                                                   // it may leave its input as it is
	node   func(s *Step, in *Node, out Array) *Node               // nil: one with its parameters
	input  func(s *Step, out tensor.Shape) tensor.Shape           // nil: unknown
	keeps  func(s *Step, rank int) bool                           // leaves the last axis alone; nil: never
	undo   func(s *Step, n *Node, in tensor.Shape) (*Node, error) // nil: it cannot be undone
	lossy  func(s *Step) string                                   // why not
	text   func(n *Node) string                                   // its parameters in a line, nil: none
}

// table has the order in which functions are listed.
var table = []row{
	{op: Load},
	{op: Stack, least: 1, most: math.MaxInt, args: Tensors, usage: "tensors", result: stacked, input: func(_ *Step, out tensor.Shape) tensor.Shape { return Tail(out) },
		keeps: func(*Step, int) bool { return true }},
	{op: Concat, least: 1, most: math.MaxInt, args: AxisFirst, usage: "an axis and tensors", result: concatenated, input: uncounted,
		keeps: func(s *Step, rank int) bool { return s.Axis < rank-1 }},
	{op: Slice, shown: Slice, least: 1, most: 1, result: sliced, idle: true, node: sliceNode, input: uncut,
		keeps: func(s *Step, rank int) bool { return len(s.Start) < rank || s.Cut(rank-1).Whole() }},
	{op: Reshape, least: 1, most: 1, args: Numbers, usage: "a tensor and dimensions; one may be -1", set: setDims, result: reshaped, idle: true, node: reshapeNode, undo: unshape,
		text: func(n *Node) string { return " " + n.Shape.String() }},
	{op: Permute, least: 1, most: 1, args: Numbers, usage: "a tensor and each axis once", set: setPerm, result: permuted, node: permuteNode, input: unpermuted, undo: unpermute,
		keeps: func(s *Step, rank int) bool { return len(s.Perm) == rank && s.Perm[rank-1] == rank-1 }, text: permText},
	{op: Flatten, shown: Reshape, least: 1, most: 1, args: Numbers, usage: "a tensor, an axis and how many axes become one", set: setAxes, result: flattened, idle: true, node: reshapeNode, input: unflattened, undo: unshape,
		keeps: func(s *Step, rank int) bool { return s.Axis+s.Count < rank }},
	{op: Unflatten, shown: Reshape, least: 1, most: 1, args: Numbers, usage: "a tensor, an axis and the dimensions it becomes", set: setSplit, result: split, idle: true, node: reshapeNode, input: merged, undo: unshape,
		keeps: func(s *Step, rank int) bool { return s.Axis < rank-1 }},
	{op: Squeeze, shown: Reshape, least: 1, most: 1, args: Numbers, usage: "a tensor and an axis", set: setAxis, result: squeezed, idle: true, node: reshapeNode, input: unsqueezed, undo: unshape,
		keeps: func(s *Step, rank int) bool { return s.Axis < rank-1 }},
	{op: View, least: 1, most: 1, args: DType, usage: "a tensor and a dtype", result: viewed, text: dtypeText},
	{op: Cast, least: 1, most: 1, args: DType, usage: "a tensor and a dtype", result: func(s *Step, in []Array) (Array, error) { return Array{s.To, in[0].Shape}, nil }, idle: true, input: same,
		lossy: func(s *Step) string { return fmt.Sprintf("it was cast to %v and rounded", s.To) }, text: dtypeText},
	{op: Repeat, least: 1, most: 1, args: Numbers, usage: "a tensor, a count and an axis", set: setRepeat, result: repeated, input: unrepeated},
	{op: MulVec, least: 1, most: 1, args: Vector, usage: "a tensor, a list of sizes, a list of factors and a scale", result: scaledRows, input: same,
		lossy: func(*Step) string { return "its rows were multiplied and rounded" }},
	{op: L2Norm, least: 1, most: 1, args: Numbers, usage: "a tensor and an axis", set: setAxis, result: normalized, input: same,
		lossy: func(*Step) string { return "it was divided by its length and rounded" }},
	{op: Branch, least: 1, most: 1, args: Factor, usage: "a gate and a temperature", result: gated, input: same,
		lossy: func(*Step) string { return "it was put through a sigmoid and rounded" }},
	{op: Stream, least: 1, most: 1, args: Factor, usage: "a gate and a temperature", result: gated, input: same,
		lossy: func(*Step) string { return "it was put through a sigmoid and rounded" }},
	{op: Add, least: 1, most: 1, result: floats, input: same, text: scalarText,
		lossy: func(s *Step) string { return fmt.Sprintf("%v was added and rounded", s.Scalar) }},
	{op: Mul, least: 1, most: 1, result: floats, input: same, text: scalarText,
		lossy: func(s *Step) string { return fmt.Sprintf("it was multiplied by %v and rounded", s.Scalar) }},
	{op: FP8, least: 2, most: 2, result: scaledCodes},
	{op: AWQ, least: 1, most: 1, result: repacked},
	{op: AWQBias, least: 1, most: 2, result: zeroPoints},
	{op: Dequantize, least: 2, most: 3, text: func(n *Node) string { return fmt.Sprintf(" %d/%d", n.Axis, n.Count) }},
	{op: GGML, least: 1, most: 1},
}

// rows finds a row by its operation. It is filled before any step is asked for.
var rows = func() map[Op]*row {
	m := make(map[Op]*row, len(table))
	for i := range table {
		m[table[i].op] = &table[i]
	}
	return m
}()

// row is the operation's row, an empty one for an unknown name.
func (o Op) row() *row {
	if r := rows[o]; r != nil {
		return r
	}
	return &row{}
}

// Function gives what a function on tensors takes, and that in words.
func Function(name string) (args Args, usage string) {
	r := Op(name).row()
	return r.args, r.usage
}

// Functions lists the functions on tensors.
func Functions() (names []string) {
	for i := range table {
		if table[i].args != NoFunction {
			names = append(names, string(table[i].op))
		}
	}
	return names
}

// Shown is the operation under which a step of this name is listed, "" for an unknown
// one.
func Shown(name Op) Op {
	r := name.row()
	return cmp.Or(r.shown, r.op)
}

// Set takes the numbers that the function was called with; false when they are not
// what it takes.
func (s *Step) Set(n []int64) bool {
	r := s.Op.row()
	return r.set != nil && r.set(s, n)
}

func setDims(s *Step, n []int64) bool {
	s.Dims = n
	return len(n) > 0
}

func setPerm(s *Step, n []int64) bool {
	seen := make([]bool, len(n))
	for _, p := range n {
		if p < 0 || p >= int64(len(n)) || seen[p] {
			return false
		}
		seen[p] = true
		s.Perm = append(s.Perm, int(p))
	}
	return true
}

func setAxis(s *Step, n []int64) bool { return len(n) == 1 && axis(s, n[0]) }

func setAxes(s *Step, n []int64) bool {
	if len(n) != 2 || n[1] < 2 || n[1] > tensor.MaxRank {
		return false
	}
	s.Count = int(n[1])
	return axis(s, n[0])
}

func setSplit(s *Step, n []int64) bool {
	if len(n) < 3 {
		return false
	}
	s.Dims = n[1:]
	return axis(s, n[0])
}

func setRepeat(s *Step, n []int64) bool {
	if len(n) != 2 || n[0] < 1 {
		return false
	}
	s.Count = int(n[0])
	return axis(s, n[1])
}

func axis(s *Step, n int64) bool {
	s.Axis = int(n)
	return n >= 0 && n < tensor.MaxRank
}

// Text writes a tree in a line, equal inputs once: cast f16(stack(16 load)).
func (n *Node) Text() string {
	if n.Op == Load {
		return string(n.Op)
	}
	text := string(n.Op)
	if r := n.Op.row(); r.text != nil {
		text += r.text(n)
	}
	var in []string
	for k := 0; k < len(n.In); {
		one, times := n.In[k].Text(), 1
		for k++; k < len(n.In) && n.In[k].Text() == one; k++ {
			times++
		}
		if times > 1 {
			one = fmt.Sprintf("%d %s", times, one)
		}
		in = append(in, one)
	}
	return text + "(" + strings.Join(in, ", ") + ")"
}

func dtypeText(n *Node) string  { return " " + n.DType.String() }
func scalarText(n *Node) string { return fmt.Sprintf(" %g", n.Scalar) }

func permText(n *Node) string { return strings.ReplaceAll(fmt.Sprint(n.Perm), " ", ",") }
