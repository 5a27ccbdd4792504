package query

import (
	"math/bits"
	"slices"

	"wreg/registry/expr"
)

// column is one of the names a query can use.
type column uint8

const (
	colPath column = iota
	colTemplate
	colModel
	colLayer
	colExpert
	colDType
	colShape
	colRank
	colNumel
	colBytes
	colHash
	colFile
	colOffset
	colFormat
	colMin
	colMax
	colAbsMax
	colNaNs
	colInfs
	colZeros
	colStatus
	colExpectedShape
	colExpectedDType
	colReason
	colRemedy
	numColumns
)

// columns is the one table of columns: what the parser suggests, completion
// offers and the engine fetches.
var columns = [numColumns]struct {
	name  string
	kind  expr.Kind
	gap   bool // only where gaps are listed
	about string
}{
	colPath:          {"path", expr.StringKind, false, "the tensor's dotted name"},
	colTemplate:      {"template", expr.StringKind, false, "the path with its numbers taken out"},
	colModel:         {"model", expr.StringKind, false, "the revision it belongs to, as name@number"},
	colLayer:         {"layer", expr.IntKind, false, "the number after layers, h, blocks or blk"},
	colExpert:        {"expert", expr.IntKind, false, "the number after experts"},
	colDType:         {"dtype", expr.StringKind, false, "element type: bf16, f32, f8_e4m3, u8 …"},
	colShape:         {"shape", expr.ShapeKind, false, "dimensions, outermost first; shape[0] is one of them"},
	colRank:          {"rank", expr.IntKind, false, "number of dimensions"},
	colNumel:         {"numel", expr.IntKind, false, "number of elements"},
	colBytes:         {"bytes", expr.IntKind, false, "logical size"},
	colHash:          {"hash", expr.HashKind, false, "SHA-256 of the logical bytes"},
	colFile:          {"file", expr.StringKind, false, "the shard that holds it"},
	colOffset:        {"offset", expr.IntKind, false, "of its first byte in the file; -1 when not stored plainly"},
	colFormat:        {"format", expr.StringKind, false, "safetensors, torch, gguf, npy"},
	colMin:           {"min", expr.FloatKind, false, "least finite value"},
	colMax:           {"max", expr.FloatKind, false, "greatest finite value"},
	colAbsMax:        {"absmax", expr.FloatKind, false, "greatest magnitude of a finite value"},
	colNaNs:          {"nans", expr.IntKind, false, "how many values are NaN"},
	colInfs:          {"infs", expr.IntKind, false, "how many values are infinite"},
	colZeros:         {"zeros", expr.IntKind, false, "how many values are zero"},
	colStatus:        {"status", expr.StringKind, true, "missing, extra or changed"},
	colExpectedShape: {"expected_shape", expr.ShapeKind, true, "the shape that should be there"},
	colExpectedDType: {"expected_dtype", expr.StringKind, true, "the dtype that should be there, where one is asked for"},
	colReason:        {"reason", expr.StringKind, true, "why it is a gap"},
	colRemedy:        {"remedy", expr.StringKind, true, "what would mend it"},
}

func (c column) String() string { return columns[c].name }

func columnNamed(name string) (column, bool) {
	for c := range numColumns {
		if columns[c].name == name {
			return c, true
		}
	}
	return 0, false
}

// columnSet is a set of columns.
type columnSet uint32

func (s *columnSet) add(c column)     { *s |= 1 << c }
func (s columnSet) has(c column) bool { return s&(1<<c) != 0 }

// all yields the set's columns.
func (s columnSet) all() func(yield func(column) bool) {
	return func(yield func(column) bool) {
		for rest := uint32(s); rest != 0; rest &= rest - 1 {
			if !yield(column(bits.TrailingZeros32(rest))) {
				return
			}
		}
	}
}

// one gives the set's only column.
func (s columnSet) one() (column, bool) {
	return column(bits.TrailingZeros32(uint32(s))), bits.OnesCount32(uint32(s)) == 1
}

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
