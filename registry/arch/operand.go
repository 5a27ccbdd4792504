package arch

import (
	"fmt"

	"wreg/registry/arch/op"
	"wreg/registry/tensor"
)

// Operand is the value of a tensor expression on a checkpoint: the logical tensor and
// its parts, one for a plain tensor, weight, scales and perhaps biases for a packed
// one.
type Operand struct {
	op.Array // logical; its DType is Invalid for packed
	parts    []part
	bits     int // of packed elements; 0: plain
	group    int
}

// part is one tensor of an operand.
type part struct {
	suffix string // "" when plain, else "weight", "scales", "biases"
	op.Array
	stored string          // its path, where it is a stored tensor as it lies
	make   func() *op.Node // else makes the tree, once it is wanted
}

// node is the tree that makes the part.
func (p part) node() *op.Node {
	if p.make != nil {
		return p.make()
	}
	return &op.Node{Step: op.Step{Op: op.Load, Path: p.stored}, DType: p.DType, Shape: p.Shape}
}

// Shortfall is what an expression lacks on a checkpoint.
type Shortfall struct {
	absent  []string // stored tensors that are not there
	wrong   []Gap
	foreign []foreign // there, in a form that no rule reads
	total   int       // how many it looked for
}

func (t *Shortfall) empty() bool { return len(t.absent)+len(t.wrong)+len(t.foreign) == 0 }

// add collects what another input lacks.
func (t *Shortfall) add(other *Shortfall) {
	t.absent = append(t.absent, other.absent...)
	t.wrong = append(t.wrong, other.wrong...)
	t.foreign = append(t.foreign, other.foreign...)
}

func wrongAt(path string, have *tensor.Info, want tensor.Shape, format string, args ...any) *Shortfall {
	return &Shortfall{wrong: []Gap{{Status: Changed, Want: Want{Path: path, Shape: want}, Have: have, Reason: fmt.Sprintf(format, args...)}}, total: 1}
}

func plain(i tensor.Info) Operand {
	return Operand{Array: op.Array{DType: i.DType, Shape: i.Shape}, parts: []part{storedPart("", i)}}
}

func storedPart(suffix string, i tensor.Info) part {
	return part{suffix: suffix, Array: op.Array{DType: i.DType, Shape: i.Shape}, stored: i.Path}
}

// made applies a step to parts; an error says that they do not fit.
func made(suffix string, s op.Step, in ...part) (part, error) {
	arrays := make([]op.Array, len(in))
	for i, p := range in {
		arrays[i] = p.Array
	}
	out, err := s.Result(arrays...)
	switch {
	case err != nil:
		return part{}, err
	case s.Idle(arrays[0], out):
		p := in[0]
		p.suffix = suffix
		return p, nil
	}
	return part{suffix: suffix, Array: out, make: func() *op.Node {
		nodes := make([]*op.Node, len(in))
		for i, p := range in {
			nodes[i] = p.node()
		}
		n, err := s.Node(nodes...)
		if err != nil {
			panic(err) // Result said it works
		}
		return n
	}}, nil
}

// apply applies a step to operands, part by part. The last axis of a packed tensor is
// packed: steps on it are refused.
func apply(s *op.Step, ins []Operand) (Operand, error) {
	first := ins[0]
	for k, in := range ins[1:] {
		if len(in.parts) != len(first.parts) || in.bits != first.bits {
			return Operand{}, fmt.Errorf("%v: input %d is not packed as the first is", s.Op, k+1)
		}
	}
	if first.bits > 0 && !s.KeepsLast(len(first.Shape)) {
		return Operand{}, fmt.Errorf("%v along the packed axis of a %d-bit tensor: give an unquantized checkpoint", s.Op, first.bits)
	}
	out := Operand{bits: first.bits, group: first.group, parts: make([]part, len(first.parts))}
	for k := range first.parts {
		column := make([]part, len(ins))
		for i := range ins {
			column[i] = ins[i].parts[k]
		}
		var err error
		if out.parts[k], err = made(first.parts[k].suffix, *s, column...); err != nil {
			return Operand{}, err
		}
	}
	if out.bits == 0 {
		out.Array = out.parts[0].Array
		return out, nil
	}
	logical := make([]op.Array, len(ins))
	for i, f := range ins {
		logical[i] = op.Array{Shape: f.Shape, DType: tensor.U8}
	}
	all, err := s.Result(logical...)
	out.Shape = all.Shape
	return out, err
}
