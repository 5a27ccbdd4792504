package declare_test

import (
	"context"
	"fmt"

	"wreg/registry/arch/declare"
	"wreg/registry/arch/lang"
)

// What an architecture declares for a config, before there is a checkpoint.
func ExampleApply() {
	a, err := lang.Parse("tiny.arch", `
arch tiny
for layer in 0..num_hidden_layers at layers.{layer} {
  tensor up.weight [experts, size, 4] from stack(experts.{e}.up.weight for e in 0..experts)
}
`)
	if err != nil {
		fmt.Println(err)
		return
	}
	config, err := declare.ParseConfig([]byte(`{"num_hidden_layers": 2, "experts": 8, "size": 16}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	d, err := declare.Apply(context.Background(), a, config, nil, false)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, o := range d.Outputs {
		way := o.From[o.FirstWritten()]
		fmt.Println(o.Rule, o.Path, o.Shape, "from", way.Prefix+"0"+way.Suffix, "and", way.Until-way.From-1, "more")
	}
	// Output:
	// tiny.arch:4 layers.0.up.weight [8, 16, 4] from layers.0.experts.0.up.weight and 7 more
	// tiny.arch:4 layers.1.up.weight [8, 16, 4] from layers.1.experts.0.up.weight and 7 more
}
