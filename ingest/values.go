package ingest

import (
	"fmt"
	"slices"
	"sync"

	"wreg/ingest/sums"
	"wreg/registry/tensor"
)

// ValueRules are the rules of findings that come from the values of weights, which Hash
// reads, and not from headers.
var ValueRules = []string{NotFinite, "all-zero", "constant-rows"}

// NotFinite is the rule of values that are NaN or infinite.
const NotFinite = "not-finite"

// values is what was learnt of values while the bytes passed by.
type values struct {
	tensors  []tensor.Info
	mu       sync.Mutex
	constant map[*tensor.Info]constantRows
}

type constantRows struct{ n, first int64 }

func newValues(tensors []tensor.Info) *values {
	return &values{tensors: tensors, constant: map[*tensor.Info]constantRows{}}
}

// rows keeps how many rows of one value the tensor has that h has just hashed.
func (v *values) rows(t *task, h *sums.Hasher) {
	if t.rival >= 0 {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if n, first := h.ConstantRows(); n > 0 {
		v.constant[t.into] = constantRows{n, first}
	} else {
		delete(v.constant, t.into) // of an earlier reading
	}
}

// valueFindings turns what was learnt into findings, one for each file and rule.
func (c *Checkpoint) valueFindings(v *values) {
	var infinite, zero, constant groups
	for i := range v.tensors {
		t := &v.tensors[i]
		if t.Stats == nil {
			continue
		}
		if bad := t.Stats.NaNs + t.Stats.Infs; bad > 0 {
			infinite.about(t.File, t.Path, fmt.Sprintf("(%d NaN, %d infinite)", t.Stats.NaNs, t.Stats.Infs))
		}
		n, err := t.Shape.Numel()
		rows, zeros := v.constant[t], isMatrix(t) && t.Stats.Zeros == n
		switch {
		case err != nil || !zeros && rows.n == 0, tensor.OptimizerState.MatchString(t.Path): // whose rows are zero until a step reaches them
		case zeros:
			zero.add(t.File, t.Path)
		default:
			constant.about(t.File, t.Path, fmt.Sprintf("(%d of %d, the first is row %d)", rows.n, n/t.Shape[len(t.Shape)-1], rows.first))
		}
	}
	c.settled.Lock()
	defer c.settled.Unlock()
	c.findings = slices.DeleteFunc(slices.Clone(c.findings), func(f tensor.Finding) bool { return slices.Contains(ValueRules, f.Rule) })
	for _, g := range infinite.sorted() {
		c.note(NotFinite, g.key, g.first, "%s: NaN or infinite values in %s; what is computed with them is NaN, too: find an earlier copy, or the step that made them", g.key, g.names())
	}
	for _, g := range zero.sorted() {
		c.note("all-zero", g.key, g.first, "%s: every value is 0 in %s; trained weights are not: look at how it was saved", g.key, g.names())
	}
	for _, g := range constant.sorted() {
		c.note("constant-rows", g.key, g.first, "%s: constant rows in %s; rows that were never trained look like this", g.key, g.names())
	}
}

// isMatrix reports a float tensor of two or more dimensions that are not 1: biases and
// norms are all zero in sound models.
func isMatrix(t *tensor.Info) bool {
	wide := 0
	for _, d := range t.Shape {
		if d > 1 {
			wide++
		}
	}
	return wide >= 2 && t.DType.Float()
}
