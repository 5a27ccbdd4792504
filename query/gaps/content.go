package gaps

import (
	"fmt"
	"math"

	"wreg/registry/arch/op"
	"wreg/registry/tensor"
)

// content is what is known of the bytes a tensor should have: the hash of all of
// them, or of each slice along axis 0, or nothing.
type content struct {
	hash   tensor.Hash
	slices []piece
	stats  *tensor.Stats
	unlike bool // quantized on one side: nothing can be compared
}

// piece is one slice and where it comes from.
type piece struct {
	hash tensor.Hash
	from string // path in the model it is compared with
}

// differs says how a tensor's bytes differ from the content; "" when they are the
// same or when there is nothing to compare by: see comparable.
func (c content) differs(have tensor.Info) string {
	if c.slices != nil && len(have.Slices) > 0 {
		if len(c.slices) != len(have.Slices) {
			return fmt.Sprintf("%d slices, should be %d", len(have.Slices), len(c.slices))
		}
		for i, s := range c.slices {
			if s.hash != have.Slices[i] {
				return fmt.Sprintf("slice %d: bytes differ from %s", i, s.from)
			}
		}
		return ""
	}
	if !c.hash.IsZero() && !have.Hash.IsZero() && c.hash != have.Hash {
		return "bytes differ"
	}
	return ""
}

// castSlack is how far a value may move when it is cast: bfloat16 keeps 8 bits, so
// half of 2^-8, and as much again for what float16 does to the very small.
const castSlack = 1.0 / 256

// castDiffers says how statistics contradict a cast; "" when they do not.
func castDiffers(want, have *tensor.Stats) string {
	if want == nil || have == nil {
		return ""
	}
	near := func(a, b float64) bool { return math.Abs(a-b) <= castSlack*math.Abs(a)+1e-7 }
	switch {
	case want.NaNs != have.NaNs:
		return fmt.Sprintf("%d NaN, should be %d", have.NaNs, want.NaNs)
	case have.Infs > want.Infs:
		return tensor.Count(int(have.Infs-want.Infs), "value") + " became infinite"
	case !near(want.Min, have.Min):
		return fmt.Sprintf("min is %v, should be near %v", have.Min, want.Min)
	case !near(want.Max, have.Max):
		return fmt.Sprintf("max is %v, should be near %v", have.Max, want.Max)
	}
	return ""
}

// comparable reports whether differs has anything to compare.
func (c content) comparable(have tensor.Info) bool {
	return c.slices != nil && len(have.Slices) > 0 || !c.hash.IsZero() && !have.Hash.IsZero()
}

// contentOf follows how a tensor is made as far as hashes reach: through copies,
// stacks and changes of shape, which keep bytes in order.
func contentOf(n *op.Node, from func(path string) (tensor.Info, bool)) content {
	switch n.Op {
	case op.Load:
		t, ok := from(n.Path)
		if !ok {
			return content{}
		}
		c := content{hash: t.Hash, stats: t.Stats}
		for i, h := range t.Slices {
			c.slices = append(c.slices, piece{h, fmt.Sprintf("slice %d of %s", i, n.Path)})
		}
		return c
	case op.Stack:
		c := content{slices: make([]piece, len(n.In))}
		for i, in := range n.In {
			one := contentOf(in, from)
			if one.hash.IsZero() {
				return content{}
			}
			c.slices[i] = piece{one.hash, loaded(in)}
		}
		return c
	case op.Reshape:
		c := contentOf(n.In[0], from)
		if len(n.Shape) == 0 || len(n.Shape) < 3 || int64(len(c.slices)) != n.Shape[0] {
			c.slices = nil
		}
		return c
	case op.Cast, op.View:
		if n.Op == op.View || n.DType == n.In[0].DType {
			return content{hash: contentOf(n.In[0], from).hash}
		}
	case op.Permute: // the same values in another order
		return content{stats: contentOf(n.In[0], from).stats}
	}
	return content{}
}

// loaded names the first tensor that a node reads.
func loaded(n *op.Node) string {
	for len(n.In) > 0 {
		n = n.In[0]
	}
	return n.Path
}
