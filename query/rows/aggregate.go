package rows

import (
	"fmt"
	"math"
	"math/bits"
	"slices"

	"wreg/registry/expr"
)

// Aggregate is count() sum() min() max() or avg() of an expression.
type Aggregate struct {
	Name     string
	Argument *Node // nil: count()
	Text     string
}

// aggregates are the functions that compute one value of many rows.
var aggregates = []struct{ name, about string }{
	{"count", "how many rows have the value; count() counts all"},
	{"sum", "their sum"},
	{"min", "the least; of text, the first"},
	{"max", "the greatest; of text, the last"},
	{"avg", "their mean"},
}

// AggregateNames lists them.
var AggregateNames = func() (names []string) {
	for _, a := range aggregates {
		names = append(names, a.name)
	}
	return names
}()

// AboutAggregate says what one computes.
func AboutAggregate(name string) string { return aggregates[slices.Index(AggregateNames, name)].about }

// Kind is the type of the aggregate's value.
func (a *Aggregate) Kind() expr.Kind {
	switch a.Name {
	case "count":
		return expr.IntKind
	case "avg":
		return expr.FloatKind
	}
	return a.Argument.Kind
}

// state is what one aggregate knows of each group.
type state struct {
	counts []int64 // tensors whose value is present
	ints   []int64
	floats []float64
	best   []expr.Value
	at     []place // of min and max of path: where the best one is; the path is not yet built
}

// place is a row of a part.
type place struct {
	part *part
	row  int32
}

func (p place) path() string { return p.part.block.Path(int(p.row)) }

// lazy reports an aggregate whose values are expensive to compute and mostly not needed:
// min(path) of a group of one.
func (a *Aggregate) lazy() bool {
	return (a.Name == "min" || a.Name == "max") && a.Argument.Op == OpColumn && a.Argument.Column == Path
}

// add takes in rows, row i belonging to group of[i].
func (a *Aggregate) add(s *state, of []int32, groups int, b *batch, p *part) error {
	if a.Argument == nil {
		return nil // the grouping counts rows itself
	}
	if p != nil && a.lazy() {
		a.addPaths(s, of, groups, p)
		return nil
	}
	v, err := a.Argument.eval(b)
	if err != nil {
		return err
	}
	s.counts = grow(s.counts, groups)
	switch a.Name {
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
		if c := order(x, s.best[id]); s.best[id].IsNull() || c != 0 && (c < 0) == (a.Name == "min") {
			s.best[id] = x
		}
	}
	return nil
}

func (a *Aggregate) addNumbers(s *state, of []int32, groups int, b *batch, v *vector) error {
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
		if !ok && a.Name == "sum" && a.Argument.Kind == expr.IntKind {
			return fmt.Errorf("%s: %d and %d x %d overflow 64 bits", a.Text, s.ints[id], b.weight, x)
		}
		s.ints[id] = sum
	}
	return nil
}

// addPaths is min(path) and max(path): paths are built only to be compared.
func (a *Aggregate) addPaths(s *state, of []int32, groups int, p *part) {
	s.at = grow(s.at, groups)
	for i, id := range of {
		here := place{p, p.rows[i]}
		if best := s.at[id]; best.part == nil || (here.path() < best.path()) == (a.Name == "min") {
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

// values gives the aggregate of each group; min(path) is built when asked for.
func (a *Aggregate) values(s *state, groups int) *vector {
	counts := grow(s.counts, groups)
	if a.Name == "count" {
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
		case a.Name == "avg":
			values[i] = expr.Float(s.floats[i] / float64(counts[i]))
		case a.Name == "sum" && a.Argument.Kind == expr.FloatKind:
			values[i] = expr.Float(s.floats[i])
		case a.Name == "sum":
			values[i] = expr.Int(s.ints[i])
		default:
			values[i] = s.best[i]
		}
	}
	return vectorOf(values)
}
