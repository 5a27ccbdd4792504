package rows

import (
	"cmp"
	"context"
	"slices"

	"wreg/registry"
	"wreg/registry/arch"
	"wreg/registry/expr"
)

// Sink takes selected rows and makes the answer: columns, groups, order, limit.
type Sink struct {
	*Spec
	ctx     context.Context // of the run
	values  []*Node         // of the outputs
	order   []*Node         // of order by
	reads   ColumnSet       // columns needed for each row
	groups  *grouping
	rows    [][]any
	by      [][]expr.Value // the keys of order by, one list a row
	worst   []expr.Value   // the keys that a row must beat to be among the first
	keeps   bool           // parts are kept until the end
	covered coverage
	shown   coverage // of the rows that are listed
	Done    bool     // the limit is reached

	repeated map[signature]*repeated
	waiting  []*repeated
}

// NewSink makes a sink for one run of a query, which ends with ctx.
func NewSink(ctx context.Context, q *Spec) *Sink {
	s := &Sink{Spec: q, ctx: ctx}
	var decides ColumnSet
	q.Where.Columns(&decides)
	for _, o := range q.Order {
		o.Value.Columns(&decides)
		o.Value.Columns(&s.reads)
		s.order = append(s.order, o.Value)
	}
	for _, o := range q.Outputs {
		s.values = append(s.values, o.Value)
	}
	if q.Grouping {
		s.groups = newGrouping(q.Keys, q.Sums)
		s.reads = s.groups.columns()
		s.keeps = slices.ContainsFunc(q.Sums, (*Aggregate).lazy)
		decides |= s.reads
	} else {
		for _, n := range s.values {
			n.Columns(&s.reads)
		}
	}
	s.covered.needs = decides.needs()
	if !q.Grouping {
		s.shown.needs = s.reads.needs() &^ s.covered.needs
	}
	return s
}

// take reads a part's rows.
func (s *Sink) take(p *part) error {
	if s.groups != nil {
		if s.groups.byHash != nil {
			p.dropUnhashed() // a tensor without a hash is nobody's duplicate
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

// Gaps takes in the gaps of one model.
func (s *Sink) Gaps(gaps []arch.Gap, v *registry.Revision) error {
	of := &source{Revision: v}
	s.covered.seeGaps(gaps, of)
	if len(gaps) == 1 && gaps[0].All { // whatever is asked about is among all tensors
		return s.passGaps(gapBatch(s.ctx, gaps, of))
	}
	gaps, err := s.chosen(gaps, of)
	if err != nil {
		return err
	}
	s.shown.seeGaps(gaps, of)
	return s.passGaps(gapBatch(s.ctx, gaps, of))
}

// Chosen are the gaps of a model that meet the conditions.
func (s *Sink) Chosen(gaps []arch.Gap, v *registry.Revision) ([]arch.Gap, error) {
	return s.chosen(gaps, &source{Revision: v})
}

func (s *Sink) chosen(gaps []arch.Gap, of *source) ([]arch.Gap, error) {
	for _, condition := range s.Conditions() {
		keep, err := gapBatch(s.ctx, gaps, of).selected(condition)
		if err != nil {
			return nil, err
		}
		gaps = pick(gaps, keep)
	}
	return gaps, nil
}

func (s *Sink) passGaps(b *batch) error {
	if s.groups != nil {
		return s.groups.add(b, nil)
	}
	return s.takeRows(b)
}

func (s *Sink) takeRows(b *batch) error {
	if s.Done = s.Limit == 0; s.Done {
		return nil
	}
	if len(s.Order) > 0 {
		return s.takeOrdered(b)
	}
	values, err := evalAll(b, s.values)
	if err != nil {
		return err
	}
	for i := range b.n {
		if len(s.rows) == s.Limit {
			break
		}
		s.rows = append(s.rows, resultRow(values, i))
	}
	s.Done = len(s.rows) == s.Limit
	return nil
}

// takeOrdered keeps the rows that may be among the first. With a limit, those
// that are behind all kept ones are dropped before their values are computed.
func (s *Sink) takeOrdered(b *batch) error {
	keys, err := evalAll(b, s.order)
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
			if values, err = evalAll(b, s.values); err != nil {
				return err
			}
		}
		s.rows = append(s.rows, resultRow(values, i))
		s.by = append(s.by, key)
		if s.Limit > 0 && len(s.rows) >= 2*s.Limit+1024 {
			s.sort()
			s.rows, s.by = s.rows[:s.Limit], s.by[:s.Limit]
			s.worst = s.by[s.Limit-1]
		}
	}
	return nil
}

func evalAll(b *batch, nodes []*Node) ([]*vector, error) {
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

// Answer is what a query answers: rows of values under named columns. A value is nil
// (absent), bool, int64, float64, string, tensor.Hash or tensor.Shape; dtypes are
// strings in lower case.
type Answer struct {
	Columns []string
	Rows    [][]any
	Notes   []string
}

// Finish orders and cuts the rows and hands them over.
func (s *Sink) Finish() (*Answer, error) {
	a := &Answer{}
	note, err := s.covered.verdict()
	if err != nil {
		return nil, err
	}
	for _, n := range []string{note, s.shown.unread()} {
		if n != "" {
			a.Notes = append(a.Notes, n)
		}
	}
	if s.groups != nil {
		if err := s.addRepeated(); err != nil {
			return nil, err
		}
		b := s.groups.batch()
		b.ctx = s.ctx
		if s.Having != nil {
			keep, err := b.selected(s.Having)
			if err != nil {
				return nil, err
			}
			b.pick(keep)
		}
		s.groups = nil
		b.sortByKeys(len(s.Spec.Keys))
		if err := s.takeRows(b); err != nil {
			return nil, err
		}
	}
	if len(s.Order) > 0 {
		s.sort()
	}
	if s.Limit >= 0 && len(s.rows) > s.Limit {
		s.rows = s.rows[:s.Limit]
	}
	for _, o := range s.Outputs {
		a.Columns = append(a.Columns, o.Name)
	}
	if a.Rows = s.rows; a.Rows == nil {
		a.Rows = [][]any{}
	}
	return a, nil
}

// sort orders the rows by their keys; rows of equal keys keep their order.
func (s *Sink) sort() {
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
func (s *Sink) compareKeys(a, b []expr.Value) int {
	for k, o := range s.Order {
		c := order(a[k], b[k])
		if o.Descending && !a[k].IsNull() && !b[k].IsNull() {
			c = -c
		}
		if c != 0 {
			return c
		}
	}
	return 0
}
