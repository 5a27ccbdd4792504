package registry_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"wreg/registry"
	"wreg/registry/tensor"
)

// A revision is put once, and found again by its model's name and its tensors' paths.
func Example() {
	dir, err := os.MkdirTemp("", "registry")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	r, err := registry.Open(filepath.Join(dir, "registry.db"), registry.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()

	tensors := []tensor.Info{
		{Path: "layers.0.mlp.weight", DType: tensor.BF16, Shape: tensor.Shape{8, 4}, File: "model.safetensors", Offset: 128, Bytes: 64},
		{Path: "layers.1.mlp.weight", DType: tensor.BF16, Shape: tensor.Shape{8, 4}, File: "model.safetensors", Offset: 192, Bytes: 64},
	}
	v, err := r.Put(context.Background(), registry.Revision{Model: "tiny"}, tensors)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(v.Ref(), v.Tensors, "tensors")

	err = r.View(func(s *registry.Snapshot) error {
		v, err := s.Find("tiny")
		if err != nil {
			return err
		}
		t, ok, err := s.Lookup(v, "layers.1.mlp.weight")
		fmt.Println(ok, t.DType, t.Shape, t.Offset)
		for b, err := range s.Blocks(context.Background(), v) {
			if err != nil {
				return err
			}
			sum, _ := b.Bytes().Sum()
			fmt.Println(b.Template(), b.Len(), sum)
		}
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// tiny@1 2 tensors
	// true bf16 [8, 4] 192
	// layers.{layer}.mlp.weight 2 128
}
