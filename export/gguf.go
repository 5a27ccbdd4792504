package export

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"wreg/export/compute"
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
	if compute.Decodable(t.DType) {
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
		if elems, _ := t.DType.Block(); elems > 1 && t.DType >= tensor.Q4_0 && !compute.Decodable(t.DType) && types[t.DType] == "" {
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
		if t, ok := p.source.Lookup(n.Path); ok && compute.Decodable(t.DType) {
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
