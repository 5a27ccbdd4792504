package export

import (
	"fmt"
	"io"

	"wreg/accel"
	"wreg/registry/arch/op"
	"wreg/registry/tensor"
)

// value is a tensor that can be made piece by piece. read makes the elements
// first, first+1, … in row-major order, as many as dst holds; first and the number
// of elements fill whole blocks of the dtype.
type value interface {
	read(dst []byte, first int64) error
}

// evaluator turns a Node tree into values. It belongs to one worker: its buffers
// are reused by the next tree.
type evaluator struct {
	device  accel.Device
	open    func(path string) (io.ReaderAt, error)
	buffers [][]byte // by slot: one for each node that needs room for its inputs
	slots   int
	loads   []*load // of the current tree
	limit   int64   // bytes one gather may read at once
	when    thresholds
	sha     bool // take the SHA-256 of sources, too
}

// newEvaluator makes what one worker evaluates trees with; sha says that it takes the
// SHA-256 of sources, too.
func newEvaluator(device accel.Device, open func(path string) (io.ReaderAt, error), sha bool) *evaluator {
	return &evaluator{device: device, open: open, when: usual, sha: sha}
}

// reset forgets the current tree and keeps its buffers.
func (e *evaluator) reset() { e.slots, e.loads = 0, e.loads[:0] }

// slot reserves a buffer for a node of the current tree.
func (e *evaluator) slot() int {
	if e.slots == len(e.buffers) {
		e.buffers = append(e.buffers, nil)
	}
	e.slots++
	return e.slots - 1
}

// buffer is the buffer of a slot, n bytes long.
func (e *evaluator) buffer(slot int, n int64) []byte {
	if int64(cap(e.buffers[slot])) < n {
		e.buffers[slot] = make([]byte, n)
	}
	return e.buffers[slot][:n]
}

// value builds the values of a tree that checkNode accepted.
func (e *evaluator) value(n *op.Node) (value, error) {
	if n.Op == op.Load {
		return e.load(n)
	}
	in := make([]value, len(n.In))
	for i, m := range n.In {
		v, err := e.value(m)
		if err != nil {
			return nil, err
		}
		in[i] = v
	}
	switch n.Op {
	case op.Reshape:
		return in[0], nil
	case op.Stack, op.Concat:
		return newJoin(e, n, in), nil
	case op.Slice, op.Permute, op.Repeat:
		return newStrided(e, n, in[0]), nil
	case op.Cast, op.Add, op.Mul:
		return &elementwise{e, n, in[0], e.slot()}, nil
	case op.MulVec:
		return newMulVec(e, n, in[0])
	case op.View:
		return &view{e, n, in[0], e.slot()}, nil
	case op.FP8:
		return newFP8(e, n, in)
	case op.L2Norm:
		return newL2Norm(e, n, in[0])
	case op.Branch, op.Stream:
		return newGate(e, n, in[0]), nil
	case op.AWQ:
		return newAWQ(e, n, in[0]), nil
	case op.AWQBias:
		return newAWQBias(e, n, in)
	case op.Dequantize:
		return newDequantizer(e, n, in)
	case op.GGML:
		return newBlocks(e, n, in[0]), nil
	}
	return nil, fmt.Errorf("operation %q is unknown", n.Op)
}

// load is a source tensor as stored. It sums what it reads as long as that is the
// whole tensor from front to back, so that most sources are checked by the very
// bytes that were used.
type load struct {
	node *op.Node
	src  io.ReaderAt
	size int64
	next int64 // bytes summed; -1 when a read was out of order
	sum  *digester
}

func (e *evaluator) load(n *op.Node) (value, error) {
	src, err := e.open(n.Path)
	if err != nil {
		return nil, err
	}
	size, err := n.Shape.Bytes(n.DType)
	if err != nil {
		return nil, fmt.Errorf("tensor %q: %w", n.Path, err)
	}
	l := &load{node: n, src: src, size: size, sum: newDigester(e.sha)}
	e.loads = append(e.loads, l)
	return l, nil
}

func (l *load) read(dst []byte, first int64) error {
	at, err := l.node.DType.Size(first)
	if err != nil {
		return fmt.Errorf("tensor %q: element %d: %w", l.node.Path, first, err)
	}
	if err := readFull(l.src, dst, at); err != nil {
		return fmt.Errorf("tensor %q of %d bytes: %w", l.node.Path, l.size, err)
	}
	if at != l.next {
		l.next = -1
		return nil
	}
	l.sum.write(dst)
	l.next += int64(len(dst))
	return nil
}

// whole reports whether everything was read in order, and what it was.
func (l *load) whole() (d digest, ok bool) {
	if l.next != l.size {
		return d, false
	}
	return l.sum.digest(), true
}

// elementwise is cast, add and mul: element i of the result needs element i of
// the input and no other.
type elementwise struct {
	e    *evaluator
	node *op.Node
	in   value
	slot int
}

func (v *elementwise) read(dst []byte, first int64) error {
	from, to := v.node.In[0].DType, v.node.DType
	src := v.e.buffer(v.slot, sizeOf(from, count(to, dst)))
	if err := v.in.read(src, first); err != nil {
		return err
	}
	switch v.node.Op {
	case op.Cast:
		return v.e.device.Cast(dst, to, src, from)
	case op.Add:
		return v.e.device.AddScalar(dst, src, to, v.node.Scalar)
	}
	return v.e.device.MulScalar(dst, src, to, v.node.Scalar)
}

// view reads the same bytes as another type.
type view struct {
	e    *evaluator
	node *op.Node
	in   value
	slot int
}

func (v *view) read(dst []byte, first int64) error {
	from := v.node.In[0].DType
	at := sizeOf(v.node.DType, first)
	elems, size := from.Block()
	if at%size == 0 && int64(len(dst))%size == 0 {
		return v.in.read(dst, at/size*elems)
	}
	begin, end := at/size, (at+int64(len(dst))+size-1)/size
	buf := v.e.buffer(v.slot, (end-begin)*size)
	if err := v.in.read(buf, begin*elems); err != nil {
		return err
	}
	copy(dst, buf[at-begin*size:])
	return nil
}

// blockElems is a number of elements that fills whole blocks of every dtype;
// pieces are cut at its multiples.
const blockElems = 256

// sizeOf is the bytes of n elements of a tensor whose size was checked before.
func sizeOf(d tensor.DType, n int64) int64 {
	elems, size := d.Block()
	return n / elems * size
}

// count is the elements in some bytes.
func count[B []byte | int64](d tensor.DType, b B) int64 {
	var n int64
	switch b := any(b).(type) {
	case []byte:
		n = int64(len(b))
	case int64:
		n = b
	}
	elems, size := d.Block()
	return n / size * elems
}
