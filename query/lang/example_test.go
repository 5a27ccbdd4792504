package lang_test

import (
	"fmt"

	"wreg/query/lang"
)

func ExampleParse() {
	q, err := lang.Parse("missing mlp.switch_mlp.* in hunyuan as mlx where layer < 8 order by path limit 3")
	if err != nil {
		panic(err)
	}
	fmt.Println(q.Verb, q.Patterns, q.Models, q.Layout)
	fmt.Println(q.Where, q.Order[0].Value, q.Limit)
	// Output:
	// missing [mlp.switch_mlp.*] [hunyuan] mlx
	// (layer < 8) path 3
}
