package compute

import (
	"errors"
	"fmt"

	"wreg/accel"
	"wreg/registry/arch/op"
	"wreg/registry/tensor"
)

// maxDepth bounds a tree, so that no architecture file can exhaust the stack.
const maxDepth = 64

// Check checks a whole tree: that every dtype and shape it declares is what
// its operation makes of its inputs. Running it then needs no further checks.
// have finds the source tensors.
func Check(n *op.Node, have func(path string) (tensor.Info, bool)) error {
	return checkTree(n, have, 0)
}

func checkTree(n *op.Node, have func(string) (tensor.Info, bool), depth int) error {
	if depth == maxDepth {
		return fmt.Errorf("steps nest deeper than %d", maxDepth)
	}
	for _, m := range n.In {
		if err := checkTree(m, have, depth+1); err != nil {
			return err
		}
	}
	if _, err := n.Shape.Bytes(n.DType); err != nil {
		return fmt.Errorf("%s: %w", n.Op, err)
	}
	got, err := result(n, have)
	if err != nil {
		return fmt.Errorf("%s: %w", n.Op, err)
	}
	if got.DType != n.DType || !got.Shape.Equal(n.Shape) {
		return fmt.Errorf("%s gives %v %v, not %v %v", n.Op, got.DType, got.Shape, n.DType, n.Shape)
	}
	return nil
}

// result is what a step makes of its inputs: by its rule in op, and by what its
// evaluator can do.
func result(n *op.Node, have func(string) (tensor.Info, bool)) (out op.Array, err error) {
	if n.Op == op.Load {
		t, ok := have(n.Path)
		if !ok {
			return out, fmt.Errorf("tensor %q is not in the model", n.Path)
		}
		return op.Array{DType: t.DType, Shape: t.Shape}, nil
	}
	o, ok := operations[n.Op]
	switch {
	case !ok:
		return out, errors.New("operation is unknown; this wreg is older than the architecture file")
	case o.result != nil:
		out, err = o.result(n)
	default:
		in := make([]op.Array, len(n.In))
		for i, m := range n.In {
			in[i] = op.Array{DType: m.DType, Shape: m.Shape}
		}
		step := n.Step
		step.To, step.Dims = n.DType, n.Shape // of a Node, they are what it says of itself
		out, err = step.Result(in...)
	}
	if err == nil && o.check != nil {
		err = o.check(n)
	}
	return out, err
}

// computable asks whether the device works with what an operation reads and gives.
func computable(n *op.Node) error { return castable(n.In[0].DType, n.DType) }

// widened asks whether the input is float32, or becomes that.
func widened(n *op.Node) error {
	if n.In[0].DType == tensor.F32 {
		return nil
	}
	return castable(n.In[0].DType, tensor.F32)
}

// castable asks whether the device can; operations need it too, since they work
// in float32.
func castable(from, to tensor.DType) error {
	if !accel.CanCast(from, to) {
		return fmt.Errorf("no conversion from %v to %v", from, to)
	}
	return nil
}

// Numel is the number of elements of a shape that was checked before.
func Numel(s tensor.Shape) int64 {
	n, _ := s.Numel()
	return n
}
