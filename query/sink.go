package query

import (
	"cmp"
	"slices"

	"wreg/registry/arch"
	"wreg/registry/expr"
)

// sink takes selected rows and makes the answer: columns, groups, order, limit.
type sink struct {
	*spec
	reads   columnSet // columns needed for each row
	groups  *grouping
	rows    [][]any
	by      [][]expr.Value // the keys of order by, one list a row
	worst   []expr.Value   // the keys that a row must beat to be among the first
	keeps   bool           // parts are kept until the end
	covered coverage
	done    bool // the limit is reached

	repeated map[signature]*repeated
	waiting  []*repeated
}

func newSink(q *spec) *sink {
	s := &sink{spec: q}
	var decides columnSet
	q.where.columns(&decides)
	for _, o := range q.order {
		o.value.columns(&decides)
		o.value.columns(&s.reads)
	}
	if q.grouping {
		s.groups = newGrouping(q.keys, q.sums)
		s.reads = s.groups.columns()
		s.keeps = slices.ContainsFunc(q.sums, (*aggregate).lazy)
		decides |= s.reads
	} else {
		for _, o := range s.outputs {
			o.value.columns(&s.reads)
		}
	}
	s.covered.needs = decides.needs()
	return s
}

// take reads a part's rows.
func (s *sink) take(p *part) error {
	if s.groups != nil {
		if s.groups.byHash != nil {
			p.dropUnhashed() // nothing is the duplicate of what nobody hashed
		}
		if s.takeRepeated(p) {
			return nil
		}
		axes, whole := p.reads(s.reads)
		if s.keeps {
			p.list() // places are rows
			whole = true
		}
		return s.groups.add(p.batch(axes, whole), p)
	}
	return s.takeRows(p.batch(nil, true))
}

// gaps takes in the gaps of one model.
func (s *sink) gaps(gaps []arch.Gap, model string) error {
	s.covered.seeGaps(gaps, model)
	b := gapBatch(gaps, model)
	for _, condition := range s.conditions() {
		keep, err := b.selected(condition)
		if err != nil {
			return err
		}
		gaps = pick(gaps, keep)
		b = gapBatch(gaps, model)
	}
	if s.groups != nil {
		return s.groups.add(b, nil)
	}
	return s.takeRows(b)
}

func (s *sink) takeRows(b *batch) error {
	if s.done = s.limit == 0; s.done {
		return nil
	}
	if len(s.order) > 0 {
		return s.takeOrdered(b)
	}
	values, err := evalAll(b, outputValues(s.outputs))
	if err != nil {
		return err
	}
	for i := range b.n {
		if len(s.rows) == s.limit {
			break
		}
		s.rows = append(s.rows, resultRow(values, i))
	}
	s.done = len(s.rows) == s.limit
	return nil
}

// takeOrdered keeps the rows that may be among the first. With a limit, those
// that are behind all kept ones are dropped before they are spelled.
func (s *sink) takeOrdered(b *batch) error {
	keys, err := evalAll(b, orderValues(s.order))
	if err != nil {
		return err
	}
	var values []*vector
	for i := range b.n {
		key := row(keys, i)
		if s.worst != nil && s.compareKeys(key, s.worst) >= 0 {
			continue
		}
		if values == nil {
			if values, err = evalAll(b, outputValues(s.outputs)); err != nil {
				return err
			}
		}
		s.rows = append(s.rows, resultRow(values, i))
		s.by = append(s.by, key)
		if s.limit > 0 && len(s.rows) >= 2*s.limit+1024 {
			s.sort()
			s.rows, s.by = s.rows[:s.limit], s.by[:s.limit]
			s.worst = s.by[s.limit-1]
		}
	}
	return nil
}

func evalAll(b *batch, nodes []*node) ([]*vector, error) {
	out := make([]*vector, len(nodes))
	for i, n := range nodes {
		v, err := n.eval(b)
		if err != nil {
			return nil, err
		}
		out[i] = v
	}
	return out, nil
}

func row(values []*vector, i int) []expr.Value {
	r := make([]expr.Value, len(values))
	for k, v := range values {
		r[k] = v.value(i)
	}
	return r
}

// resultRow is a row as a Result has it.
func resultRow(values []*vector, i int) []any {
	r := make([]any, len(values))
	for k, v := range values {
		r[k] = v.value(i).Any()
	}
	return r
}

func outputValues(outputs []output) []*node {
	nodes := make([]*node, len(outputs))
	for i, o := range outputs {
		nodes[i] = o.value
	}
	return nodes
}

func orderValues(order []ordering) []*node {
	nodes := make([]*node, len(order))
	for i, o := range order {
		nodes[i] = o.value
	}
	return nodes
}

// table is what a query answers: rows of values under named columns. A value is nil
// (absent), bool, int64, float64, string, tensor.Hash or tensor.Shape; dtypes are
// strings in lower case.
type table struct {
	Columns []string
	Rows    [][]any
	Notes   []string
}

// finish orders and cuts the rows and hands them over.
func (s *sink) finish() (*table, error) {
	a := &table{}
	if !s.done { // else not everything was looked at, nor had to be
		note, err := s.covered.verdict()
		if err != nil {
			return nil, err
		}
		if note != "" {
			a.Notes = append(a.Notes, note)
		}
	}
	if s.groups != nil {
		if err := s.addRepeated(); err != nil {
			return nil, err
		}
		b := s.groups.batch()
		if s.having != nil {
			keep, err := b.selected(s.having)
			if err != nil {
				return nil, err
			}
			b.pick(keep)
		}
		s.groups = nil
		b.sortByKeys(len(s.spec.keys))
		if err := s.takeRows(b); err != nil {
			return nil, err
		}
	}
	if len(s.order) > 0 {
		s.sort()
	}
	if s.limit >= 0 && len(s.rows) > s.limit {
		s.rows = s.rows[:s.limit]
	}
	for _, o := range s.outputs {
		a.Columns = append(a.Columns, o.name)
	}
	if a.Rows = s.rows; a.Rows == nil {
		a.Rows = [][]any{}
	}
	return a, nil
}

// sort orders the rows by their keys; rows of equal keys keep their order.
func (s *sink) sort() {
	at := make([]int, len(s.rows))
	for i := range at {
		at[i] = i
	}
	slices.SortFunc(at, func(x, y int) int {
		return cmp.Or(s.compareKeys(s.by[x], s.by[y]), cmp.Compare(x, y))
	})
	rows, keys := make([][]any, len(at)), make([][]expr.Value, len(at))
	for i, k := range at {
		rows[i], keys[i] = s.rows[k], s.by[k]
	}
	s.rows, s.by = rows, keys
}

// compareKeys orders two rows; absent values come last either way.
func (s *sink) compareKeys(a, b []expr.Value) int {
	for k, o := range s.order {
		c := order(a[k], b[k])
		if o.descending && !a[k].IsNull() && !b[k].IsNull() {
			c = -c
		}
		if c != 0 {
			return c
		}
	}
	return 0
}
