package compute

import (
	"fmt"

	"wreg/export/disk"
	"wreg/registry/arch/op"
)

// The bytes a worker makes of a tensor before it writes them. Larger chunks cost
// fewer system calls, smaller ones stay in the cache between reading, summing and
// writing.
const (
	MaxChunk = disk.LargeWrite // what a file is written by
	minChunk = 16 << 10
	Gather   = 4 // a gather may read so many chunks at once
)

// ChunkFor is the chunk with which a worker's buffers for a tree, quantized or not,
// stay within bound bytes; peak is what they take then.
func ChunkFor(tree *op.Node, quant bool, bound int64) (chunk, peak int64, err error) {
	for chunk = MaxChunk; chunk >= minChunk; chunk /= 2 {
		peak = MaxChunk + scratch(tree, chunk, Gather*chunk)
		if quant {
			peak += chunk
		}
		if peak <= bound {
			return chunk, peak, nil
		}
	}
	return 0, peak, fmt.Errorf("needs %d bytes of buffers a worker, only %d are allowed; give more --memory or fewer --jobs", peak, bound)
}

// scratch is the bytes that making out bytes of a tree takes besides these.
func scratch(n *op.Node, out, limit int64) int64 {
	// in is what the step asks of each input for out bytes.
	in := func(m *op.Node) int64 {
		_, a := n.DType.Block()
		_, b := m.DType.Block()
		return (out + a - 1) / a * b
	}
	deepest := func(bytes int64) (most int64) {
		for _, m := range n.In {
			most = max(most, scratch(m, bytes, limit))
		}
		return most
	}
	switch n.Op {
	case op.Load:
		return 0
	case op.Reshape:
		return scratch(n.In[0], out, limit)
	case op.Stack, op.Concat:
		return min(out, limit) + deepest(out)
	case op.Slice, op.Permute, op.Repeat:
		return limit + deepest(limit)
	case op.FP8:
		scales, err := n.In[1].Shape.Bytes(n.In[1].DType)
		if err != nil {
			return 1 << 62
		}
		return in(n.In[0]) + scratch(n.In[0], in(n.In[0]), limit) + scales + scratch(n.In[1], scales, limit)
	case op.AWQ:
		column := 4 * n.In[0].Shape[0]
		return 3*max(limit, column) + scratch(n.In[0], limit, limit)
	case op.AWQBias:
		size := SizeOf(n.DType, Numel(n.Shape))
		return 3*size + deepest(size)
	case op.L2Norm:
		row := 4 * n.Shape[len(n.Shape)-1]
		return 4*row + scratch(n.In[0], row, limit)
	case op.Dequantize:
		return 3*out + 4<<10 + deepest(2*out)
	case op.GGML: // whole blocks around what is asked for, decoded beside it
		return 3*(out+4*BlockElems) + scratch(n.In[0], 2*out, limit)
	case op.Branch, op.Stream: // widened beside what is read
		return out + in(n.In[0]) + scratch(n.In[0], in(n.In[0]), limit)
	case op.MulVec:
		return out + int64(len(n.Vector))*16 + scratch(n.In[0], out, limit)
	}
	return in(n.In[0]) + scratch(n.In[0], in(n.In[0]), limit)
}
