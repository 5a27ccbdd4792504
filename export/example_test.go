package export_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"wreg/export"
	"wreg/export/receipt"
	"wreg/ingest"
	"wreg/registry"
	"wreg/synth"
)

// A checkpoint that was ingested is planned, written, and its folder verified later.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "export")
	check(err)
	defer os.RemoveAll(dir)
	source, out := filepath.Join(dir, "model"), filepath.Join(dir, "model-mlx")

	made, err := synth.Golden(filepath.Join(goldens, "hunyuan.json"))
	check(err)
	check(made.Write(source, synth.Options{}))
	c, err := ingest.Open(ctx, source, ingest.Options{})
	check(err)
	defer c.Close()
	tensors, err := c.Hash(ctx, ingest.HashOptions{})
	check(err)
	r, err := registry.Open(filepath.Join(dir, "registry.db"), registry.Options{})
	check(err)
	defer r.Close()
	v, err := r.Put(ctx, registry.Revision{Model: "hunyuan", Root: c.Path(), Config: c.Config(), Files: c.Files(), Hashed: true}, tensors)
	check(err)

	var plan *export.Plan
	check(r.View(func(s *registry.Snapshot) (err error) {
		plan, err = export.New(ctx, s, v, export.Options{Out: out})
		return err
	}))
	fmt.Println(plan.Model, "as", plan.Arch, "to", plan.Target)
	for _, t := range plan.Tensors {
		if t.Path == "model.layers.1.mlp.switch_mlp.up_proj.weight" {
			fmt.Println(t.Path, t.DType, t.Shape, t.Make.Text())
		}
	}

	proof, err := plan.Run(ctx)
	check(err)
	fmt.Println(len(proof.Tensors), "tensors from", len(proof.Sources))

	found, err := receipt.Verify(ctx, out, receipt.Options{})
	check(err)
	fmt.Println(len(found.Faults), "faults")
	// Output:
	// hunyuan@1 as hunyuan to mlx
	// model.layers.1.mlp.switch_mlp.up_proj.weight bf16 [4, 96, 64] stack(4 load)
	// 58 tensors from 94
	// 0 faults
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
