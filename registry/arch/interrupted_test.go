package arch_test

import (
	"context"
	"strings"
	"testing"

	"wreg/ingest/ingesttest"
	"wreg/registry/arch"
	"wreg/registry/tensor"
)

// TestInterrupted: whatever an architecture is asked about a checkpoint ends with
// the context, from the statements of a config seen for the first time to the last
// tensor that no rule uses.
func TestInterrupted(t *testing.T) {
	small := strings.NewReplacer(`"num_experts": 256, "num_hidden_layers": 64`, `"num_experts": 64, "num_hidden_layers": 8`).Replace(bigConfig)
	config, err := arch.ParseConfig([]byte(small))
	if err != nil {
		t.Fatal(err)
	}
	a, err := arch.Find(config)
	if err != nil {
		t.Fatal(err)
	}
	wants, err := a.Expect(t.Context(), config, arch.HF, nil)
	if err != nil {
		t.Fatal(err)
	}
	var list []tensor.Info
	for _, w := range wants {
		list = append(list, tensor.Info{Path: w.Path, DType: tensor.BF16, Shape: w.Shape})
	}
	src := newSource(list)
	for _, c := range []struct {
		name  string
		looks int64
		work  func(ctx context.Context, c *arch.Config) error
	}{
		{"Expect hf", 1, func(ctx context.Context, c *arch.Config) error { _, err := a.Expect(ctx, c, arch.HF, nil); return err }},
		{"Expect mlx", 1, func(ctx context.Context, c *arch.Config) error { _, err := a.Expect(ctx, c, arch.MLX, nil); return err }},
		{"Resolve", 1, func(ctx context.Context, c *arch.Config) error { _, err := a.Resolve(ctx, c, src); return err }},
		{"Against hf", 1, func(ctx context.Context, c *arch.Config) error { _, err := a.Against(ctx, c, arch.HF, src); return err }},
		{"Against mlx", 1, func(ctx context.Context, c *arch.Config) error {
			_, err := a.Against(ctx, c, arch.MLX, src)
			return err
		}},
		{"Invert", 1, func(ctx context.Context, c *arch.Config) error { _, err := a.Invert(ctx, c, src); return err }},
	} {
		t.Run(c.name, func(t *testing.T) {
			ingesttest.Interrupted(t, c.looks, func(ctx context.Context) error {
				config, err := arch.ParseConfig([]byte(small))
				if err != nil {
					return err
				}
				return c.work(ctx, config)
			})
		})
	}
}
