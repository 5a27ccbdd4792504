package arch_test

import (
	"errors"
	"testing"

	"wreg/registry/arch"
	"wreg/registry/tensor"
)

// What older versions of transformers stored beside the weights is dropped by every
// architecture.
func TestBuffersAreDropped(t *testing.T) {
	for _, c := range everyAsked(t) {
		list := tensor.List{
			{Path: "model.layers.0.self_attn.rotary_emb.inv_freq", DType: tensor.F32, Shape: tensor.Shape{8}, Bytes: 32},
			{Path: "transformer.rotary_emb.inv_freq", DType: tensor.F32, Shape: tensor.Shape{8}, Bytes: 32},
		}
		r, err := c.arch.Resolve(t.Context(), c.config, list)
		if err != nil {
			if e := (*arch.Error)(nil); !errors.As(err, &e) || !e.Refused {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		if len(r.Unused) > 0 || len(r.Drops) != len(list) {
			t.Errorf("%s: %d dropped, unused: %v", c.name, len(r.Drops), r.Unused)
		}
	}
}
