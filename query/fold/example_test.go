package fold_test

import (
	"fmt"

	"wreg/query/fold"
)

func ExampleRows() {
	columns, rows := fold.Rows([]string{"path", "status"}, [][]any{
		{"layers.0.mlp.down_proj.weight", "missing"},
		{"layers.0.mlp.up_proj.weight", "missing"},
		{"layers.1.mlp.down_proj.weight", "missing"},
		{"layers.1.mlp.up_proj.weight", "missing"},
	})
	fmt.Println(columns)
	for _, row := range rows {
		fmt.Println(row...)
	}
	// Output:
	// [path status tensors]
	// layers.{0,1}.mlp.{down,up}_proj.weight missing 4
}
