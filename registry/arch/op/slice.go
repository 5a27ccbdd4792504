package op

import (
	"fmt"
	"slices"

	"wreg/registry/tensor"
)

// Cut is one axis of a slice.
type Cut struct{ Start, Stop, Stride int64 }

// Cut gives what a slice does to an axis.
func (s *Step) Cut(axis int) Cut { return Cut{s.Start[axis], s.Stop[axis], s.Stride[axis]} }

// AddCut cuts the next axis.
func (s *Step) AddCut(c Cut) {
	s.Start, s.Stop, s.Stride = append(s.Start, c.Start), append(s.Stop, c.Stop), append(s.Stride, c.Stride)
}

// Index reports that the cut takes one index and removes the axis.
func (c Cut) Index() bool { return c.Stride == 0 }

// Whole reports that the cut leaves the axis as it is.
func (c Cut) Whole() bool { return c == Cut{0, End, 1} }

// Of makes the cut one of an axis with so many elements: without End, and with a
// stride.
func (c Cut) Of(size int64) Cut {
	switch {
	case c.Index():
		return Cut{c.Start, c.Start + 1, 1}
	case c.Stop == End:
		c.Stop = size
	}
	return c
}

// Size is how many elements a cut keeps that is one of an axis.
func (c Cut) Size() int64 { return (c.Stop - c.Start + c.Stride - 1) / c.Stride }

func sliced(s *Step, in []Array) (Array, error) {
	x := in[0]
	if len(s.Start) > len(x.Shape) {
		return x, fmt.Errorf("a slice of %d axes: the tensor has shape %v", len(s.Start), x.Shape)
	}
	shape := make(tensor.Shape, 0, len(x.Shape))
	for k, size := range x.Shape {
		if k >= len(s.Start) {
			shape = append(shape, size)
			continue
		}
		c := s.Cut(k).Of(size)
		if c.Start < 0 || c.Start > c.Stop || c.Stop > size || c.Stride < 1 {
			return x, fmt.Errorf("axis %d has %d elements, too few for %d..%d", k, size, c.Start, c.Stop)
		}
		if !s.Cut(k).Index() {
			shape = append(shape, c.Size())
		}
	}
	return Array{x.DType, shape}, nil
}

// sliceNode cuts, and then removes the axes of which one index is left.
func sliceNode(s *Step, in *Node, out Array) *Node {
	n := &Node{Step: Step{Op: Slice}, DType: in.DType, In: []*Node{in}}
	for k, size := range in.Shape {
		c := Cut{0, size, 1}
		if k < len(s.Start) {
			c = s.Cut(k).Of(size)
		}
		n.AddCut(c)
		n.Shape = append(n.Shape, c.Size())
	}
	if n.Shape.Equal(in.Shape) {
		n = in
	}
	return n.Reshaped(out.Shape)
}

// Sliced is what lies from…to−1 along an axis.
func (n *Node) Sliced(axis int, from, to int64) *Node {
	cut := &Node{Step: Step{Op: Slice}, DType: n.DType, In: []*Node{n}, Shape: slices.Clone(n.Shape)}
	for k, size := range n.Shape {
		if k == axis {
			cut.AddCut(Cut{from, to, 1})
		} else {
			cut.AddCut(Cut{0, size, 1})
		}
	}
	cut.Shape[axis] = to - from
	return cut
}

// uncut undoes a slice: an open end tells the whole axis.
func uncut(s *Step, out tensor.Shape) tensor.Shape {
	var in tensor.Shape
	k := 0
	for axis := range s.Start {
		c := s.Cut(axis)
		if c.Index() {
			in = append(in, Unknown)
			continue
		}
		if k == len(out) {
			return nil
		}
		d := out[k]
		k++
		switch {
		case c.Stop != End || d == Unknown:
			d = Unknown
		case c.Stride > 1:
			d *= c.Stride
		default:
			d += c.Start
		}
		in = append(in, d)
	}
	return append(in, out[k:]...)
}
