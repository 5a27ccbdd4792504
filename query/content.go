package query

import (
	"fmt"

	"wreg/registry/arch"
	"wreg/registry/tensor"
)

// content is what is known of the bytes a tensor should have: the hash of all of
// them, or of each slice along axis 0, or nothing.
type content struct {
	hash   tensor.Hash
	slices []piece
}

// piece is one slice and where it comes from.
type piece struct {
	hash tensor.Hash
	from string // path in the model it is compared with
}

func (c content) known() bool { return !c.hash.IsZero() || c.slices != nil }

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

// comparable reports that differs can tell.
func (c content) comparable(have tensor.Info) bool {
	return c.slices != nil && len(have.Slices) > 0 || !c.hash.IsZero() && !have.Hash.IsZero()
}

// contentOf follows how a tensor is made as far as hashes reach: through copies,
// stacks and changes of shape, which keep bytes in order.
func contentOf(n *arch.Node, from func(path string) (tensor.Info, bool)) content {
	switch n.Op {
	case arch.OpLoad:
		t, ok := from(n.Path)
		if !ok {
			return content{}
		}
		c := content{hash: t.Hash}
		for i, h := range t.Slices {
			c.slices = append(c.slices, piece{h, fmt.Sprintf("slice %d of %s", i, n.Path)})
		}
		return c
	case arch.OpStack:
		c := content{slices: make([]piece, len(n.In))}
		for i, in := range n.In {
			one := contentOf(in, from)
			if one.hash.IsZero() {
				return content{}
			}
			c.slices[i] = piece{one.hash, loaded(in)}
		}
		return c
	case arch.OpReshape:
		c := contentOf(n.In[0], from)
		if len(n.Shape) == 0 || len(n.Shape) < 3 || int64(len(c.slices)) != n.Shape[0] {
			c.slices = nil
		}
		return c
	case arch.OpCast, arch.OpView:
		if n.Op == arch.OpView || n.DType == n.In[0].DType {
			return content{hash: contentOf(n.In[0], from).hash}
		}
	}
	return content{}
}

// loaded names the first tensor that a node reads.
func loaded(n *arch.Node) string {
	for len(n.In) > 0 {
		n = n.In[0]
	}
	return n.Path
}

// loads calls yield with every tensor that a node reads, in order.
func loads(n *arch.Node, yield func(path string)) {
	if n.Op == arch.OpLoad {
		yield(n.Path)
	}
	for _, in := range n.In {
		loads(in, yield)
	}
}
