package export

import (
	_ "embed"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"

	"wreg/registry/arch"
	"wreg/registry/arch/op"
	"wreg/registry/tensor"
)

// The architectures of checkpoints whose tensors have llama.cpp's names.
//
//go:embed gguf/llama.arch
var ggufArch string

// ggufMark is a tensor that every language model in a GGUF has, under a name that
// no other layout uses.
const ggufMark = "token_embd.weight"

// findArch gives the architecture for a config and the names that src has.
func findArch(c *arch.Config, src *source) (*arch.Arch, error) {
	if _, ok := src.Lookup(ggufMark); !ok {
		return arch.Find(c)
	}
	a, err := arch.Parse("gguf/llama.arch", ggufArch)
	if err != nil {
		return nil, err
	}
	if known := append([]string{a.Name}, a.Aliases...); !slices.Contains(known, c.ModelType()) {
		return nil, fmt.Errorf("%s has llama.cpp's names; those of model_type %q are not known (known are %s): give --arch FILE, or export the checkpoint the GGUF was made from",
			src.ref, c.ModelType(), strings.Join(known, ", "))
	}
	return a, nil
}

// decodable are the block types that become floats; a block is an f16 scale and
// its codes.
var decodable = map[tensor.DType]func(dst, block []byte, scale float32) (largest float32){
	tensor.Q8_0: decodeQ8,
	tensor.Q4_0: decodeQ4,
}

// decoded is a source whose block-quantized tensors are seen as the floats they
// become.
type decoded struct{ *source }

func (d decoded) Lookup(path string) (tensor.Info, bool) {
	t, ok := d.source.Lookup(path)
	return asFloats(t), ok
}

func (d decoded) All(yield func(tensor.Info) bool) {
	for t := range d.source.All {
		if !yield(asFloats(t)) {
			return
		}
	}
}

func asFloats(t tensor.Info) tensor.Info {
	if decodable[t.DType] != nil {
		if size, err := t.Shape.Bytes(tensor.F32); err == nil {
			t.DType, t.Bytes = tensor.F32, size
		}
	}
	return t
}

// opaque refuses block types that are not decoded.
func (s *source) opaque() error {
	types := map[tensor.DType]string{}
	for _, t := range s.tensors {
		if elems, _ := t.DType.Block(); elems > 1 && t.DType >= tensor.Q4_0 && decodable[t.DType] == nil && types[t.DType] == "" {
			types[t.DType] = t.Path
		}
	}
	if len(types) == 0 {
		return nil
	}
	var list []string
	for d, path := range types {
		list = append(list, fmt.Sprintf("%v (%s)", d, path))
	}
	slices.Sort(list)
	return fmt.Errorf("%s holds %s: of ggml's blocks, q8_0 and q4_0 become floats and no others; export the checkpoint the GGUF was made from",
		s.ref, strings.Join(list, ", "))
}

// decode puts the decoding of blocks under every load of a tree that needs it. as
// is the dtype that the floats become.
func (p *Plan) decode(n *op.Node, as tensor.DType) *op.Node {
	if n.Op == op.Load {
		if t, ok := p.source.Lookup(n.Path); ok && decodable[t.DType] != nil {
			load := *n
			load.DType = t.DType
			return &op.Node{Step: op.Step{Op: op.GGML, Scalar: largest[as]}, In: []*op.Node{&load}, DType: tensor.F32, Shape: n.Shape}
		}
		return n
	}
	out := *n
	out.In = make([]*op.Node, len(n.In))
	for i, m := range n.In {
		out.In[i] = p.decode(m, as)
	}
	return &out
}

// blocks decodes ggml's blocks.
type blocks struct {
	e     *evaluator
	node  *op.Node
	in    value
	codes int // slots
	whole int
}

func newBlocks(e *evaluator, n *op.Node, in value) value {
	return &blocks{e, n, in, e.slot(), e.slot()}
}

func (v *blocks) read(dst []byte, first int64) error {
	from := v.node.In[0]
	elems, size := from.DType.Block()
	n := count(tensor.F32, dst)
	begin, end := first/elems, (first+n+elems-1)/elems // blocks
	src := v.e.buffer(v.codes, (end-begin)*size)
	if err := v.in.read(src, begin*elems); err != nil {
		return err
	}
	out := dst
	if begin*elems != first || end*elems != first+n {
		out = v.e.buffer(v.whole, (end-begin)*elems*4)
	}
	decode := decodable[from.DType]
	for i := range end - begin {
		block := src[i*size : (i+1)*size]
		scale := halfToFloat(binary.LittleEndian.Uint16(block))
		most := decode(out[i*elems*4:(i+1)*elems*4], block[2:], scale)
		if limit := v.node.Scalar; math.IsNaN(float64(scale)) || math.IsInf(float64(scale), 0) || limit != 0 && float64(most) > limit {
			return fmt.Errorf("source tensor %q: block %d has the scale %g and values up to %g, which are no numbers of the output's dtype", from.Path, begin+i, scale, most)
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

// halfToFloat is exact.
func halfToFloat(h uint16) float32 {
	sign, exp, frac := uint32(h>>15)<<31, uint32(h>>10)&31, uint32(h)&1023
	switch exp {
	case 31:
		return math.Float32frombits(sign | 255<<23 | frac<<13)
	case 0:
		f := float32(frac) * 0x1p-24
		return math.Float32frombits(sign | math.Float32bits(f))
	}
	return math.Float32frombits(sign | (exp+112)<<23 | frac<<13)
}
