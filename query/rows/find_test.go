package rows

import (
	"fmt"
	"testing"

	"wreg/registry/tensor"
)

// A model of names without a common pattern has a template for each tensor; what is
// remembered of them is bounded, and forgetting changes no answer.
func TestMatcherForgets(t *testing.T) {
	p, err := tensor.ParsePattern("x7.*")
	if err != nil {
		t.Fatal(err)
	}
	m := newMatcher([]*tensor.Pattern{p})
	for i := range 3 * maxShapes {
		m.may(fmt.Sprintf("x%d.w", i))
		if len(m.shapes) > maxShapes {
			t.Fatalf("%d templates are remembered, at most %d", len(m.shapes), maxShapes)
		}
	}
	if !m.may("x7.w") || m.may("x8.w") {
		t.Error("x7.w does not match x7.*, or x8.w does")
	}
}
