package query_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"wreg/query"
	"wreg/registry"
	"wreg/registry/tensor"
)

func ExampleParse() {
	_, err := query.Parse("find *.bias where laier < 2")
	fmt.Println(err)
	// Output:
	// 1:19: unknown column "laier"; did you mean "layer"?
	//   find *.bias where laier < 2
	//                     ^
}

func ExampleQuery_Run() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	r, err := registry.Open(filepath.Join(dir, "registry.db"), registry.Options{})
	if err != nil {
		panic(err)
	}
	defer r.Close()
	var tensors []tensor.Info
	for layer := range 3 {
		for expert := range 4 {
			path := fmt.Sprintf("layers.%d.experts.%d.up_proj.weight", layer, expert)
			tensors = append(tensors, tensor.Info{Path: path, DType: tensor.BF16, Shape: tensor.Shape{96, 64}, Bytes: 2 * 96 * 64})
		}
	}
	ctx := context.Background()
	if _, err := r.Put(ctx, registry.Revision{Model: "moe"}, tensors[:11]); err != nil {
		panic(err)
	}
	q, err := query.Parse("find experts.*.up_proj.weight group by layer select layer, count(), sum(bytes) having count() != 4")
	if err != nil {
		panic(err)
	}
	err = r.View(func(s *registry.Snapshot) error {
		res, err := q.Run(ctx, s, query.Options{Model: "moe"})
		if err == nil {
			fmt.Println(res.Columns, res.Rows)
		}
		return err
	})
	if err != nil {
		panic(err)
	}
	// Output:
	// [layer count() sum(bytes)] [[2 3 36864]]
}
