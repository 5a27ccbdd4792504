package compute

import (
	"wreg/registry/arch/op"
)

// Loads lists the source tensors of a tree, each once, in the order of use.
func Loads(n *op.Node) []string {
	var out []string
	seen := map[string]bool{}
	n.Sources(func(path string) {
		if !seen[path] {
			seen[path] = true
			out = append(out, path)
		}
	})
	return out
}

// Cut cuts a tensor where its inputs end, so that workers can share a stack and
// each source is read from front to back by one of them.
func Cut(n *op.Node) []Segment {
	numel, _ := n.Shape.Numel()
	switch n.Op {
	case op.Stack, op.Concat:
		outer := int64(1)
		if n.Op == op.Concat {
			for _, d := range n.Shape[:n.Axis] {
				outer *= d
			}
		}
		if outer != 1 {
			break
		}
		var out []Segment
		at := int64(0)
		for _, m := range n.In {
			for _, p := range Cut(m) {
				out = append(out, Segment{at + p.First, p.N, p.Node})
			}
			k, _ := m.Shape.Numel()
			at += k
		}
		return out
	case op.Reshape: // the same elements in the same order
		return Cut(n.In[0])
	case op.Cast, op.Add, op.Mul:
		in := Cut(n.In[0])
		for i, p := range in {
			m := *n
			m.In, m.Shape = []*op.Node{p.Node}, p.Node.Shape
			in[i].Node = &m
		}
		return in
	}
	return []Segment{{0, numel, n}}
}

// Segment is a range of elements of an output tensor, and the tree that makes just
// these.
type Segment struct {
	First, N int64
	Node     *op.Node
}

// Plain reports that a tree only copies one source tensor.
func Plain(n *op.Node) (path string, ok bool) {
	for n.Op == op.Reshape || n.Op == op.View {
		n = n.In[0]
	}
	return n.Path, n.Op == op.Load
}
