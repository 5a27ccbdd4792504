package query

import (
	"cmp"
	"slices"

	"wreg/registry/expr"
)

// sink takes selected rows and makes the answer: columns, groups, order, limit.
type sink struct {
	q       *Query
	outputs []output
	reads   columnSet // columns needed for each row
	groups  *grouping
	rows    [][]any
	keys    [][]expr.Value // of order by, one list a row
	worst   []expr.Value   // the keys that a row must beat to be among the first
	keeps   bool           // parts are kept until the end

	repeated map[signature]*repeated
	waiting  []*repeated
}

func newSink(q *Query, models int) *sink {
	s := &sink{q: q, outputs: q.outputs(models)}
	if q.grouping {
		s.groups = newGrouping(q.keys, q.sums)
		s.reads = s.groups.columns()
		s.keeps = slices.ContainsFunc(q.sums, (*aggregate).lazy)
		return s
	}
	for _, o := range s.outputs {
		o.value.columns(&s.reads)
	}
	for _, o := range q.order {
		o.value.columns(&s.reads)
	}
	return s
}

// take reads a part's rows. done says that no more are needed.
func (s *sink) take(p *part) (done bool, err error) {
	if s.groups != nil {
		if s.groups.byHash != nil {
			p.dropUnhashed() // nothing is the duplicate of what nobody hashed
		}
		if s.takeRepeated(p) {
			return false, nil
		}
		axes, whole := p.reads(s.reads)
		if s.keeps {
			p.list() // places are rows
			whole = true
		}
		return false, s.groups.add(p.batch(axes, whole), p)
	}
	return s.takeRows(p.batch(nil, true))
}

// takeBatch reads rows that do not come from a block.
func (s *sink) takeBatch(b *batch) (done bool, err error) {
	if s.groups != nil {
		return false, s.groups.add(b, nil)
	}
	return s.takeRows(b)
}

func (s *sink) takeRows(b *batch) (done bool, err error) {
	if s.q.limit == 0 {
		return true, nil
	}
	if len(s.q.order) > 0 {
		return false, s.takeOrdered(b)
	}
	values, err := evalAll(b, outputValues(s.outputs))
	if err != nil {
		return false, err
	}
	for i := range b.n {
		if len(s.rows) == s.q.limit {
			return true, nil
		}
		s.rows = append(s.rows, resultRow(values, i))
	}
	return len(s.rows) == s.q.limit, nil
}

// takeOrdered keeps the rows that may be among the first. With a limit, those
// that are behind all kept ones are dropped before they are spelled.
func (s *sink) takeOrdered(b *batch) error {
	keys, err := evalAll(b, orderValues(s.q.order))
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
		s.keys = append(s.keys, key)
		if s.q.limit > 0 && len(s.rows) >= 2*s.q.limit+1024 {
			s.sort()
			s.rows, s.keys = s.rows[:s.q.limit], s.keys[:s.q.limit]
			s.worst = s.keys[s.q.limit-1]
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

// finish orders and cuts the rows and hands them over.
func (s *sink) finish(r *Result) error {
	if s.groups != nil {
		if err := s.addRepeated(); err != nil {
			return err
		}
		b := s.groups.batch()
		if s.q.having != nil {
			keep, err := b.selected(s.q.having)
			if err != nil {
				return err
			}
			b.pick(keep)
		}
		s.groups = nil
		b.sortByKeys(len(s.q.keys))
		if _, err := s.takeRows(b); err != nil {
			return err
		}
	}
	if len(s.q.order) > 0 {
		s.sort()
	}
	if s.q.limit >= 0 && len(s.rows) > s.q.limit {
		s.rows = s.rows[:s.q.limit]
	}
	for _, o := range s.outputs {
		r.Columns = append(r.Columns, o.name)
	}
	if r.Rows = s.rows; r.Rows == nil {
		r.Rows = [][]any{}
	}
	return nil
}

// sort orders the rows by their keys; rows of equal keys keep their order.
func (s *sink) sort() {
	at := make([]int, len(s.rows))
	for i := range at {
		at[i] = i
	}
	slices.SortFunc(at, func(x, y int) int {
		return cmp.Or(s.compareKeys(s.keys[x], s.keys[y]), cmp.Compare(x, y))
	})
	rows, keys := make([][]any, len(at)), make([][]expr.Value, len(at))
	for i, k := range at {
		rows[i], keys[i] = s.rows[k], s.keys[k]
	}
	s.rows, s.keys = rows, keys
}

// compareKeys orders two rows; absent values come last either way.
func (s *sink) compareKeys(a, b []expr.Value) int {
	for k, o := range s.q.order {
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
