package query

import (
	"bytes"
	"testing"

	"wreg/registry/arch"
	"wreg/registry/tensor"
)

// 64 layers x 256 experts: 49,152 expert tensors.
func BenchmarkMissing(b *testing.B) {
	config, _, _ := golden(b, "hunyuan")
	config = bytes.Replace(config, []byte(`"num_hidden_layers":4`), []byte(`"num_hidden_layers":64`), 1)
	config = bytes.Replace(config, []byte(`"num_experts":4`), []byte(`"num_experts":256`), 1)
	r := models(b, config, map[string][]tensor.Info{"hunyuan": expected(b, config, arch.HF)})
	for _, c := range []struct {
		name, query string
		rows        int
	}{
		{"own", "missing *", 0},
		{"stacks", "missing mlp.switch_mlp.* where layer<64", 192},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				if res := ask(b, r, c.query); len(res.Rows) != c.rows {
					b.Fatalf("%d rows", len(res.Rows))
				}
			}
		})
	}
}
