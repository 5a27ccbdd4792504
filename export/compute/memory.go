package compute

import (
	"fmt"

	"wreg/export/disk"
	"wreg/registry/arch/op"
	"wreg/registry/tensor"
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
	return 0, peak, &MemoryError{peak, bound}
}

// MemoryError says that a worker's buffers are too small for a tensor.
type MemoryError struct{ Needs, Allowed int64 }

func (e *MemoryError) Error() string {
	return fmt.Sprintf("needs %s of buffers for each worker, and only %s are allowed; give more --memory or fewer --jobs", tensor.Size(e.Needs), tensor.Size(e.Allowed))
}

// scratch is the bytes that making out bytes of a tree takes besides these, with
// gathers of at most limit bytes.
func scratch(n *op.Node, out, limit int64) int64 {
	if n.Op == op.Load {
		return 0
	}
	if of := operations[n.Op].scratch; of != nil {
		return of(n, out, limit)
	}
	from := asMany(n, n.In[0], out)
	return from + scratch(n.In[0], from, limit)
}

// asMany is the bytes of an input's elements that are as many as out bytes of n hold.
func asMany(n, in *op.Node, out int64) int64 {
	_, a := n.DType.Block()
	_, b := in.DType.Block()
	return (out + a - 1) / a * b
}

// deepest is the scratch of the input that takes most for so many bytes.
func deepest(n *op.Node, bytes, limit int64) (most int64) {
	for _, m := range n.In {
		most = max(most, scratch(m, bytes, limit))
	}
	return most
}
