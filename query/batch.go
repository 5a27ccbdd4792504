package query

import (
	"slices"

	"wreg/registry/arch"
	"wreg/registry/expr"
)

// batch is rows to compute on. Each row stands for weight tensors: where a query
// reads nothing but the layer of a block of 64 layers x 256 experts, there are
// 64 rows of weight 256.
type batch struct {
	n      int
	weight int64
	load   func(c column) *vector
	loaded [numColumns]*vector
	slots  []*vector // group keys and aggregates, where the batch is groups
}

func (b *batch) column(c column) *vector {
	if b.loaded[c] == nil {
		b.loaded[c] = b.load(c)
	}
	return b.loaded[c]
}

// selected lists the rows for which the condition holds.
func (b *batch) selected(condition *node) ([]int32, error) {
	v, err := condition.eval(b)
	if err != nil {
		return nil, err
	}
	var rows []int32
	for i := range b.n {
		if truth(v, i) {
			rows = append(rows, int32(i))
		}
	}
	return rows, nil
}

// pick keeps the rows listed, of a batch that is held in slots.
func (b *batch) pick(rows []int32) {
	for i, v := range b.slots {
		b.slots[i] = v.pick(rows)
	}
	b.n = len(rows)
}

// sortByKeys orders groups by their first n slots, so that an answer without
// order by is the same every time.
func (b *batch) sortByKeys(n int) {
	rows := make([]int32, b.n)
	for i := range rows {
		rows[i] = int32(i)
	}
	slices.SortFunc(rows, func(x, y int32) int {
		for _, v := range b.slots[:n] {
			if c := v.compare(int(x), int(y)); c != 0 {
				return c
			}
		}
		return 0
	})
	b.pick(rows)
}

// gapBatch gives gaps as rows.
func gapBatch(gaps []arch.Gap, model string) *batch {
	return &batch{n: len(gaps), weight: 1, load: func(c column) *vector {
		values := make([]expr.Value, len(gaps))
		for i := range gaps {
			values[i] = columns[c].of(&gaps[i], model)
		}
		return vectorOf(values)
	}}
}
