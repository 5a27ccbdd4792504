package arch_test

import (
	"context"
	"fmt"

	"wreg/registry/arch"
	"wreg/registry/tensor"
)

// An architecture of one tensor, which the hf layout has in two halves, and a
// checkpoint that lacks one of them.
func ExampleArch_Resolve() {
	a, err := arch.Parse("pair.arch", `
arch pair
tensor up.weight [2 * size, size] from concat(0, left.weight, right.weight)
`)
	if err != nil {
		fmt.Println(err)
		return
	}
	config, err := arch.ParseConfig([]byte(`{"model_type": "pair", "size": 4}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	half := func(path string) tensor.Info {
		return tensor.Info{Path: path, DType: tensor.BF16, Shape: tensor.Shape{4, 4}}
	}
	for _, have := range [][]tensor.Info{{half("left.weight"), half("right.weight")}, {half("left.weight")}} {
		r, err := a.Resolve(context.Background(), config, newSource(have))
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, t := range r.Targets {
			if t.Make != nil {
				fmt.Println(t.Path, t.Shape, "=", t.Make.Text())
			}
		}
		for _, g := range r.Gaps {
			fmt.Println(g.Path, g.Status+":", g.Reason)
		}
	}
	// Output:
	// up.weight [8, 4] = concat(2 load)
	// right.weight missing: not in the checkpoint
}
