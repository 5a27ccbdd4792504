// Package compute makes the tensors of an export from those of its source: it runs
// trees of operations (registry/arch/op) on a device, chunk by chunk.
//
// Most users need [Check] (is every step of a tree right, before anything is read),
// [Cut] (a tree as segments that several workers make), [ChunkFor] (how much of it is
// made at once within a bound on memory) and an [Evaluator] for each worker, which
// turns a tree into a [Value] to read from. What an operation computes is a file here:
// join.go stacks and concatenates, strided.go slices and permutes, and so on.
//
// Invariants: any range of a Value gives the same bytes, however it is cut; a tree
// that Check accepted takes the memory that ChunkFor says and no more; every source
// tensor that was read from front to back is summed by the very bytes that were used.
package compute

import (
	"fmt"
	"io"
	"math"

	"wreg/accel"
	"wreg/export/disk"
	"wreg/ingest/sums"
	"wreg/registry/arch/op"
	"wreg/registry/tensor"
)

// Value is a tensor that can be made piece by piece. read makes the elements
// first, first+1, … in row-major order, as many as dst holds; first and the number
// of elements fill whole blocks of the dtype.
type Value interface {
	Read(dst []byte, first int64) error
}

// Evaluator turns a Node tree into values. It belongs to one worker: its buffers
// are reused by the next tree.
type Evaluator struct {
	device  accel.Device
	open    func(path string) (io.ReaderAt, error)
	buffers [][]byte // by slot: one for each node that needs room for its inputs
	slots   int
	Loads   []*Load // of the current tree
	Limit   int64   // bytes one gather may read at once
	when    thresholds
	sha     bool // take the SHA-256 of sources, too
}

// NewEvaluator makes what one worker evaluates trees with; sha says that it takes the
// SHA-256 of sources, too.
func NewEvaluator(device accel.Device, open func(path string) (io.ReaderAt, error), sha bool) *Evaluator {
	return &Evaluator{device: device, open: open, when: usual, sha: sha}
}

// Reset forgets the current tree and keeps its buffers.
func (e *Evaluator) Reset() { e.slots, e.Loads = 0, e.Loads[:0] }

// slot reserves a buffer for a node of the current tree.
func (e *Evaluator) slot() int {
	if e.slots == len(e.buffers) {
		e.buffers = append(e.buffers, nil)
	}
	e.slots++
	return e.slots - 1
}

// buffer is the buffer of a slot, n bytes long.
func (e *Evaluator) buffer(slot int, n int64) []byte {
	if int64(cap(e.buffers[slot])) < n {
		e.buffers[slot] = make([]byte, n)
	}
	return e.buffers[slot][:n]
}

// floats reads n elements of a type as float32, in the buffers of two slots.
func (e *Evaluator) floats(in Value, from tensor.DType, slots [2]int, first, n int64) ([]byte, error) {
	src := e.buffer(slots[0], SizeOf(from, n))
	if err := in.Read(src, first); err != nil || from == tensor.F32 {
		return src, err
	}
	wide := e.buffer(slots[1], 4*n)
	return wide, e.device.Cast(wide, tensor.F32, src, from)
}

// float is element i of float32.
func float(b []byte, i int) float32 { return math.Float32frombits(le.Uint32(b[4*i:])) }

// operation is how one is computed. What it makes of dtypes and shapes is its row in op.
type operation struct {
	value   func(e *Evaluator, n *op.Node, in []Value) (Value, error)
	scratch func(n *op.Node, out, limit int64) int64 // as the function; nil: what the input takes for as many elements
	result  func(n *op.Node) (op.Array, error)       // nil: its row in op
	check   func(n *op.Node) error                   // what more its evaluator asks for; nil: nothing
}

// operations are filled by the files that compute them.
var operations = map[op.Op]operation{}

func register(o operation, all ...op.Op) {
	for _, name := range all {
		operations[name] = o
	}
}

// Value builds the values of a tree that Check accepted.
func (e *Evaluator) Value(n *op.Node) (Value, error) {
	if n.Op == op.Load {
		return e.load(n)
	}
	in := make([]Value, len(n.In))
	for i, m := range n.In {
		v, err := e.Value(m)
		if err != nil {
			return nil, err
		}
		in[i] = v
	}
	return operations[n.Op].value(e, n, in)
}

// Load is a source tensor as stored. It sums what it reads as long as that is the
// whole tensor from front to back, so that most sources are checked by the very
// bytes that were used.
type Load struct {
	Node *op.Node
	src  io.ReaderAt
	size int64
	next int64 // bytes summed; -1 when a read was out of order
	sum  *sums.Digester
}

func (e *Evaluator) load(n *op.Node) (Value, error) {
	src, err := e.open(n.Path)
	if err != nil {
		return nil, err
	}
	size, err := n.Shape.Bytes(n.DType)
	if err != nil {
		return nil, fmt.Errorf("tensor %q: %w", n.Path, err)
	}
	l := &Load{Node: n, src: src, size: size, sum: sums.NewDigester(e.sha)}
	e.Loads = append(e.Loads, l)
	return l, nil
}

func (l *Load) Read(dst []byte, first int64) error {
	at, err := l.Node.DType.Size(first)
	if err != nil {
		return fmt.Errorf("tensor %q: element %d: %w", l.Node.Path, first, err)
	}
	if err := disk.ReadFull(l.src, dst, at); err != nil {
		return fmt.Errorf("tensor %q of %d bytes: %w", l.Node.Path, l.size, err)
	}
	if at != l.next {
		l.next = -1
		return nil
	}
	l.sum.Write(dst)
	l.next += int64(len(dst))
	return nil
}

// Whole reports whether everything was read in order, and what it was.
func (l *Load) Whole() (d sums.Digest, ok bool) {
	if l.next != l.size {
		return d, false
	}
	return l.sum.Digest(), true
}

// BlockElems is a number of elements that fills whole blocks of every dtype;
// pieces are cut at its multiples.
const BlockElems = 256

// SizeOf is the bytes of n elements of a tensor whose size was checked before.
func SizeOf(d tensor.DType, n int64) int64 {
	elems, size := d.Block()
	return n / elems * size
}

// Count is the elements in some bytes.
func Count[B []byte | int64](d tensor.DType, b B) int64 {
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
