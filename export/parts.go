package export

import (
	"wreg/registry/arch/op"
)

// loads lists the source tensors of a tree, each once, in the order of use.
func loads(n *op.Node) []string {
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

// parts cuts a tensor where its inputs end, so that workers can share a stack and
// each source is read from front to back by one of them.
func parts(n *op.Node) []part {
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
		var out []part
		at := int64(0)
		for _, m := range n.In {
			for _, p := range parts(m) {
				out = append(out, part{at + p.first, p.n, p.node})
			}
			k, _ := m.Shape.Numel()
			at += k
		}
		return out
	case op.Reshape: // the same elements in the same order
		return parts(n.In[0])
	case op.Cast, op.Add, op.Mul:
		in := parts(n.In[0])
		for i, p := range in {
			m := *n
			m.In, m.Shape = []*op.Node{p.node}, p.node.Shape
			in[i].node = &m
		}
		return in
	}
	return []part{{0, numel, n}}
}

// part is a range of elements of an output tensor, and the tree that makes just
// these.
type part struct {
	first, n int64
	node     *op.Node
}

// plain reports that a tree only copies one source tensor.
func plain(n *op.Node) (path string, ok bool) {
	for n.Op == op.Reshape || n.Op == op.View {
		n = n.In[0]
	}
	return n.Path, n.Op == op.Load
}
