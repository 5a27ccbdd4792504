package expr_test

import (
	"fmt"

	"wreg/registry/expr"
)

type config map[string]expr.Value

func (c config) Lookup(name string) (expr.Value, bool) { v, ok := c[name]; return v, ok }

func ExampleEval() {
	n, err := expr.Parse("head_dim ?? hidden_size // heads")
	if err != nil {
		panic(err)
	}
	v, err := expr.Eval(n, config{"hidden_size": expr.Int(64), "heads": expr.Int(6)})
	fmt.Println(n, "is", v, err)
	// Output:
	// (head_dim ?? (hidden_size // heads)) is 10 <nil>
}
