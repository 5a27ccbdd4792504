package query

import (
	"bytes"
	"cmp"
	"slices"
	"strings"

	"wreg/registry/tensor"
)

// compareValues orders two values of one kind; numbers compare across int and
// float exactly, absent values come last.
func compareValues(a, b any) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return 1
	case b == nil:
		return -1
	}
	switch x := a.(type) {
	case int64:
		if y, ok := b.(int64); ok {
			return cmp.Compare(x, y)
		}
		return -compareFloatInt(b.(float64), x)
	case float64:
		if y, ok := b.(int64); ok {
			return compareFloatInt(x, y)
		}
		return cmp.Compare(x, b.(float64))
	case string:
		return strings.Compare(x, b.(string))
	case bool:
		return cmp.Compare(boolInt(x), boolInt(b.(bool)))
	case tensor.Hash:
		y := b.(tensor.Hash)
		return bytes.Compare(x[:], y[:])
	case tensor.Shape:
		return slices.Compare(x, b.(tensor.Shape))
	}
	return 0
}

// compare orders two rows of a column, as compareValues does.
func (v *vector) compare(x, y int) int {
	if v.later == nil && !v.constant && !v.isNull(x) && !v.isNull(y) {
		switch v.kind {
		case kindInt:
			return cmp.Compare(v.ints[x], v.ints[y])
		case kindText:
			return strings.Compare(v.texts[x], v.texts[y])
		case kindHash:
			return bytes.Compare(v.hashes[x][:], v.hashes[y][:])
		}
	}
	return compareValues(v.value(x), v.value(y))
}

// compareFloatInt compares without rounding the integer: 2^53 + 1 is not 2^53.
func compareFloatInt(f float64, i int64) int {
	switch {
	case f != f:
		return -1 // as cmp.Compare: NaN below all
	case f >= 1<<63:
		return 1
	case f < -1<<63:
		return -1
	}
	whole := int64(f)
	if c := cmp.Compare(whole, i); c != 0 {
		return c
	}
	return cmp.Compare(f-float64(whole), 0)
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
