package arch_test

import (
	"strings"
	"testing"

	"wreg/registry/arch"
	"wreg/registry/tensor"
)

const bigConfig = `{"model_type": "hunyuan", "attention_bias": false, "cla_share_factor": 2, "use_cla": true,
	"hidden_size": 4096, "intermediate_size": 18304, "moe_topk": 1, "num_attention_heads": 32, "num_experts": 256, "num_hidden_layers": 64,
	"num_key_value_heads": 8, "num_shared_expert": 1, "use_mixed_mlp_moe": true, "use_qk_norm": true, "vocab_size": 128512}`

// big is HunYuan with 64 layers of 256 experts: 49,858 hf tensors.
func big(b testing.TB) (*arch.Arch, *arch.Config, *source) {
	b.Helper()
	config, err := arch.ParseConfig([]byte(bigConfig))
	if err != nil {
		b.Fatal(err)
	}
	a, err := arch.Find(config)
	if err != nil {
		b.Fatal(err)
	}
	want, err := a.Expect(b.Context(), config, arch.HF, nil)
	if err != nil {
		b.Fatal(err)
	}
	var list []tensor.Info
	for _, w := range want {
		if !strings.HasSuffix(w.Path, "layers.3.mlp.experts.9.up_proj.weight") {
			list = append(list, tensor.Info{Path: w.Path, DType: tensor.BF16, Shape: w.Shape})
		}
	}
	return a, config, newSource(list)
}

func BenchmarkExpect(b *testing.B) {
	a, config, _ := big(b)
	for _, layout := range []string{arch.MLX, arch.HF} {
		b.Run(layout, func(b *testing.B) {
			for b.Loop() {
				if _, err := a.Expect(b.Context(), config, layout, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A config seen for the first time: every statement runs.
func BenchmarkStatements(b *testing.B) {
	a, _, _ := big(b)
	for b.Loop() {
		config, err := arch.ParseConfig([]byte(bigConfig))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := a.Expect(b.Context(), config, arch.MLX, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAgainst(b *testing.B) {
	a, config, src := big(b)
	for _, layout := range []string{arch.MLX, arch.HF} {
		b.Run(layout, func(b *testing.B) {
			for b.Loop() {
				if _, err := a.Against(b.Context(), config, layout, src); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkResolve(b *testing.B) {
	a, config, src := big(b)
	for b.Loop() {
		if _, err := a.Resolve(b.Context(), config, src); err != nil {
			b.Fatal(err)
		}
	}
}
