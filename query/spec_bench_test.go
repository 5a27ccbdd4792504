package query

import (
	"bytes"
	"context"
	"path/filepath"
	"testing"

	"wreg/registry"
	"wreg/registry/arch"
)

// 64 layers x 256 experts: 49,152 expert tensors.
func BenchmarkMissing(b *testing.B) {
	config, _, _ := golden(b, "hunyuan")
	config = bytes.Replace(config, []byte(`"num_hidden_layers":4`), []byte(`"num_hidden_layers":64`), 1)
	config = bytes.Replace(config, []byte(`"num_experts":4`), []byte(`"num_experts":256`), 1)
	file := filepath.Join(b.TempDir(), "registry.db")
	r, err := registry.Open(file, registry.Options{})
	if err != nil {
		b.Fatal(err)
	}
	v := registry.Revision{Model: "hunyuan", Config: config, Layout: arch.HF}
	if _, err := r.Put(context.Background(), v, expected(b, config, arch.HF)); err != nil {
		b.Fatal(err)
	}
	r.Close()
	if r, err = registry.Open(file, registry.Options{ReadOnly: true}); err != nil {
		b.Fatal(err)
	}
	defer r.Close()
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
