package query

import (
	"wreg/registry"
	"wreg/registry/expr"
	"wreg/registry/tensor"
)

// load decodes one column of a block for the rows listed.
func (p *part) load(c column, rows []int32) *vector {
	b := p.block
	switch c {
	case colPath:
		paths := make([]string, len(rows))
		for i, r := range rows {
			paths[i] = b.Path(int(r))
		}
		return textVector(paths)
	case colTemplate:
		return constantVector(expr.String(b.Template()))
	case colModel:
		return constantVector(expr.String(p.revision.Ref()))
	case colLayer, colExpert:
		if k := p.axisOf(c); k >= 0 {
			numbers, _ := b.Index(k)
			return intVector(pick(numbers, rows))
		}
		return absent
	case colDType:
		if d, same := b.DTypes().Const(); same {
			return dtypeVectors[uint8(d)]
		}
		return texts(b.DTypes(), rows, func(v int64) string { return tensor.DType(v).String() })
	case colShape:
		return shapes(b.Shapes(), rows)
	case colRank:
		s := b.Shapes()
		return coded(s.Code(), rows, func(code int64) int64 { return int64(len(entry(s.Distinct(), code))) })
	case colNumel:
		s := b.Shapes()
		return coded(s.Code(), rows, func(code int64) int64 { return entry(s.Numels(), code) })
	case colBytes:
		return ints(b.Bytes(), rows)
	case colHash:
		return hashes(b.Hashes(), rows)
	case colFile:
		return names(b.Files(), rows)
	case colOffset:
		return ints(b.Offsets(), rows)
	case colFormat:
		return names(b.Formats(), rows)
	}
	return p.loadStat(c, rows)
}

// dtypeVectors are columns of one dtype, of which a registry has very many.
var dtypeVectors = func() (list [256]*vector) {
	for d := range list {
		list[d] = constantVector(expr.String(tensor.DType(d).String()))
	}
	return list
}()

// loadStat gives a statistic, absent where none was taken.
func (p *part) loadStat(c column, rows []int32) *vector {
	has := p.block.HasStats()
	if v, same := has.Const(); same && v == 0 {
		return absent
	}
	stats := p.block.Stats()
	var out *vector
	switch c {
	case colMin:
		out = floats(stats.Min, rows)
	case colMax:
		out = floats(stats.Max, rows)
	case colAbsMax:
		out = floats(stats.AbsMax, rows)
	case colNaNs:
		out = ints(stats.NaNs, rows)
	case colInfs:
		out = ints(stats.Infs, rows)
	case colZeros:
		out = ints(stats.Zeros, rows)
	default:
		return absent // a gap's column, where there are no gaps
	}
	extreme := c == colMin || c == colMax || c == colAbsMax
	var null []bool
	for i, r := range rows {
		if has.At(int(r)) == 0 || extreme && p.nothingFinite(int(r)) {
			if null == nil {
				null = make([]bool, len(rows))
			}
			null[i] = true
		}
		if _, same := has.Const(); i == 0 && same && (!extreme || p.sameFinite()) {
			break // the others are like the first
		}
	}
	switch {
	case null == nil:
		return out
	case out.constant && p.constant(c):
		return absent
	case out.constant: // one value, but not on every row
		v := out.value(0)
		out = &vector{kind: out.kind}
		out.resize(len(rows))
		for i := range rows {
			out.set(i, v)
		}
	}
	out.null = null
	return out
}

// nothingFinite reports a row of NaN and infinities, or of nothing: it has no
// least and no greatest value, for which tensor.Stats says 0.
func (p *part) nothingFinite(row int) bool {
	stats, shapes := p.block.Stats(), p.block.Shapes()
	return stats.AbsMax.At(row) == 0 && stats.NaNs.At(row)+stats.Infs.At(row) == entry(shapes.Numels(), shapes.Code().At(row))
}

// sameFinite reports that nothingFinite is the same for all rows of the block.
func (p *part) sameFinite() bool {
	stats := p.block.Stats()
	if v, same := stats.AbsMax.Const(); !same || v != 0 {
		return same
	}
	_, nans := stats.NaNs.Const()
	_, infs := stats.Infs.Const()
	_, shape := p.block.Shapes().Code().Const()
	return nans && infs && shape
}

// entry reads a table by a code from the file, which may be out of its range in
// a forged one: the block reports that, and here it must only not crash.
func entry[T any](table []T, code int64) (t T) {
	if code >= 0 && code < int64(len(table)) {
		t = table[code]
	}
	return t
}

func ints(c registry.Ints, rows []int32) *vector {
	return coded(c, rows, func(v int64) int64 { return v })
}

func coded(c registry.Ints, rows []int32, of func(int64) int64) *vector {
	if v, same := c.Const(); same {
		return constantVector(expr.Int(of(v)))
	}
	out := make([]int64, len(rows))
	for i, r := range rows {
		out[i] = of(c.At(int(r)))
	}
	return intVector(out)
}

func texts(c registry.Ints, rows []int32, of func(int64) string) *vector {
	if v, same := c.Const(); same {
		return constantVector(expr.String(of(v)))
	}
	out := make([]string, len(rows))
	for i, r := range rows {
		out[i] = of(c.At(int(r)))
	}
	return textVector(out)
}

func names(c registry.Names, rows []int32) *vector {
	return texts(c.Code(), rows, func(code int64) string { return entry(c.Distinct(), code) })
}

func shapes(c registry.Shapes, rows []int32) *vector {
	if v, same := c.Code().Const(); same {
		return constantVector(expr.Shape(entry(c.Distinct(), v)))
	}
	out := make([]tensor.Shape, len(rows))
	for i, r := range rows {
		out[i] = c.At(int(r))
	}
	return &vector{kind: expr.ShapeKind, shapes: out}
}

func floats(c registry.Floats, rows []int32) *vector {
	if v, same := c.Const(); same {
		return constantVector(expr.Float(v))
	}
	out := make([]float64, len(rows))
	for i, r := range rows {
		out[i] = c.At(int(r))
	}
	return &vector{kind: expr.FloatKind, floats: out}
}

// hashes gives hashes, absent where none was taken.
func hashes(c registry.Hashes, rows []int32) *vector {
	if h, same := c.Const(); same {
		if h.IsZero() {
			return absent
		}
		return constantVector(expr.Hash(h))
	}
	out := hashVector(make([]tensor.Hash, len(rows)))
	for i, r := range rows {
		if out.hashes[i] = c.At(int(r)); out.hashes[i].IsZero() {
			out.set(i, expr.Null)
		}
	}
	return out
}
