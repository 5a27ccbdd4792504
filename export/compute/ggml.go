package compute

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"wreg/accel"
	"wreg/registry/arch/op"
	"wreg/registry/tensor"
)

func init() {
	register(operation{value: newBlocks, result: decodedBlocks, scratch: func(n *op.Node, out, limit int64) int64 {
		return 3*(out+4*BlockElems) + scratch(n.In[0], 2*out, limit) // whole blocks around what is asked for, decoded beside it
	}}, op.GGML)
}

func decodedBlocks(n *op.Node) (out op.Array, err error) {
	if len(n.In) != 1 || !op.Decodable(n.In[0].DType) {
		return out, errors.New("only q8_0 and q4_0 become floats")
	}
	return op.Array{DType: tensor.F32, Shape: n.In[0].Shape}, nil
}

// decodable are the decoders of op.Decodable's types; a block is an f16 scale and
// its codes.
var decodable = map[tensor.DType]func(dst, block []byte, scale float32) (largest float32){
	tensor.Q8_0: decodeQ8,
	tensor.Q4_0: decodeQ4,
}

// blocks decodes ggml's blocks.
type blocks struct {
	e     *Evaluator
	node  *op.Node
	in    Value
	codes int // slots
	whole int
}

func newBlocks(e *Evaluator, n *op.Node, in []Value) (Value, error) {
	return &blocks{e, n, in[0], e.slot(), e.slot()}, nil
}

func (v *blocks) Read(dst []byte, first int64) error {
	from := v.node.In[0]
	elems, size := from.DType.Block()
	n := Count(tensor.F32, dst)
	begin, end := first/elems, (first+n+elems-1)/elems // blocks
	src := v.e.buffer(v.codes, (end-begin)*size)
	if err := v.in.Read(src, begin*elems); err != nil {
		return err
	}
	out := dst
	if begin*elems != first || end*elems != first+n {
		out = v.e.buffer(v.whole, (end-begin)*elems*4)
	}
	decode := decodable[from.DType]
	for i := range end - begin {
		block := src[i*size : (i+1)*size]
		scale := accel.Half(binary.LittleEndian.Uint16(block))
		most := decode(out[i*elems*4:(i+1)*elems*4], block[2:], scale)
		if limit := v.node.Scalar; math.IsNaN(float64(scale)) || math.IsInf(float64(scale), 0) || limit != 0 && float64(most) > limit {
			return fmt.Errorf("source tensor %q: block %d has the scale %g and values up to %g, which do not fit the output's dtype", from.Path, begin+i, scale, most)
		}
	}
	if len(out) != len(dst) {
		copy(dst, out[(first-begin*elems)*4:])
	}
	return nil
}

// decodeQ8 multiplies 32 signed bytes by their scale. An f16 times a byte is exact.
func decodeQ8(dst, codes []byte, scale float32) (largest float32) {
	for i := range 32 {
		f := scale * float32(int8(codes[i]))
		largest = max(largest, magnitude(f))
		binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(f))
	}
	return largest
}

// decodeQ4 multiplies 32 codes, which stand for -8 to 7: the low halves of the
// bytes first, then the high ones.
func decodeQ4(dst, codes []byte, scale float32) (largest float32) {
	for i := range 16 {
		low, high := scale*float32(int8(codes[i]&15)-8), scale*float32(int8(codes[i]>>4)-8)
		largest = max(largest, magnitude(low), magnitude(high))
		binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(low))
		binary.LittleEndian.PutUint32(dst[4*(i+16):], math.Float32bits(high))
	}
	return largest
}

func magnitude(f float32) float32 { return math.Float32frombits(math.Float32bits(f) &^ (1 << 31)) }
