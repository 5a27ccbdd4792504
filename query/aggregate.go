package query

import (
	"fmt"
	"math"
	"math/bits"

	"wreg/registry/expr"
)

// aggregate is count() sum() min() max() or avg() of an expression.
type aggregate struct {
	name     string
	argument *node // nil: count()
	text     string
}

// aggregateNames are the functions that compute one value of many rows.
var aggregateNames = []string{"count", "sum", "min", "max", "avg"}

// kind is the type of the aggregate's value.
func (a *aggregate) kind() expr.Kind {
	switch a.name {
	case "count":
		return expr.IntKind
	case "avg":
		return expr.FloatKind
	}
	return a.argument.kind
}

// state is what one aggregate knows of each group.
type state struct {
	counts []int64 // tensors whose value is present
	ints   []int64
	floats []float64
	best   []expr.Value
	at     []place // of min and max of path: where the best one is, not yet spelled
}

// place is a row of a part.
type place struct {
	part *part
	row  int32
}

func (p place) path() string { return p.part.block.Path(int(p.row)) }

// lazy reports an aggregate whose values are dear to make and mostly not needed:
// min(path) of a group of one.
func (a *aggregate) lazy() bool {
	return (a.name == "min" || a.name == "max") && a.argument.op == opColumn && a.argument.column == colPath
}

// add takes in rows, row i belonging to group of[i].
func (a *aggregate) add(s *state, of []int32, groups int, b *batch, p *part) error {
	if a.argument == nil {
		return nil // the grouping counts rows itself
	}
	if p != nil && a.lazy() {
		a.addPaths(s, of, groups, p)
		return nil
	}
	v, err := a.argument.eval(b)
	if err != nil {
		return err
	}
	s.counts = grow(s.counts, groups)
	switch a.name {
	case "sum", "avg":
		return a.addNumbers(s, of, groups, b, v)
	case "min", "max":
		s.best = grow(s.best, groups)
	}
	for i, id := range of {
		if v.isNull(i) {
			continue
		}
		s.counts[id] += b.weight
		if s.best == nil {
			continue
		}
		x := v.value(i)
		if c := order(x, s.best[id]); s.best[id].IsNull() || c != 0 && (c < 0) == (a.name == "min") {
			s.best[id] = x
		}
	}
	return nil
}

func (a *aggregate) addNumbers(s *state, of []int32, groups int, b *batch, v *vector) error {
	s.floats = grow(s.floats, groups)
	s.ints = grow(s.ints, groups)
	for i, id := range of {
		if v.isNull(i) {
			continue
		}
		s.counts[id] += b.weight
		if v.kind == expr.FloatKind {
			s.floats[id] += v.floats[v.index(i)] * float64(b.weight)
			continue
		}
		x := v.ints[v.index(i)]
		s.floats[id] += float64(x) * float64(b.weight)
		sum, ok := addProduct(s.ints[id], x, b.weight)
		if !ok && a.name == "sum" && a.argument.kind == expr.IntKind {
			return fmt.Errorf("%s: %d and %d x %d overflow 64 bits", a.text, s.ints[id], b.weight, x)
		}
		s.ints[id] = sum
	}
	return nil
}

// addPaths is min(path) and max(path): paths are spelled only to be compared.
func (a *aggregate) addPaths(s *state, of []int32, groups int, p *part) {
	s.at = grow(s.at, groups)
	for i, id := range of {
		here := place{p, p.rows[i]}
		if best := s.at[id]; best.part == nil || (here.path() < best.path()) == (a.name == "min") {
			s.at[id] = here
		}
	}
}

// addProduct is sum + x*n, with ok false when it overflows; n is not negative.
func addProduct(sum, x, n int64) (int64, bool) {
	hi, lo := bits.Mul64(uint64(max(x, -x)), uint64(n))
	y := x * n
	z := sum + y
	return z, hi == 0 && lo <= math.MaxInt64 && (z > sum) == (y > 0)
}

// values gives the aggregate of each group; min(path) is spelled when asked for.
func (a *aggregate) values(s *state, groups int) *vector {
	counts := grow(s.counts, groups)
	if a.name == "count" {
		return intVector(counts)
	}
	if s.at != nil {
		at := grow(s.at, groups)
		return &vector{kind: expr.StringKind, later: func(i int32) expr.Value {
			if at[i].part == nil {
				return expr.Null
			}
			return expr.String(at[i].path())
		}}
	}
	values := make([]expr.Value, groups)
	for i := range values {
		switch {
		case counts[i] == 0:
		case a.name == "avg":
			values[i] = expr.Float(s.floats[i] / float64(counts[i]))
		case a.name == "sum" && a.argument.kind == expr.FloatKind:
			values[i] = expr.Float(s.floats[i])
		case a.name == "sum":
			values[i] = expr.Int(s.ints[i])
		default:
			values[i] = s.best[i]
		}
	}
	return vectorOf(values)
}
