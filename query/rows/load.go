package rows

import (
	"wreg/registry/block"
	"wreg/registry/expr"
	"wreg/registry/tensor"
)

// load decodes one column of a block for the rows listed.
func (p *part) load(c Column, rows []int32) *vector {
	if of := columns[c].load; of != nil {
		return of(p, rows)
	}
	return absent // a gap's column, where there are no gaps
}

func loadPaths(p *part, rows []int32) *vector {
	return textVector(at(rows, p.block.Path))
}

// numbers gives the k-th number of the paths; k is -1 where they have none.
func (p *part) numbers(k int, rows []int32) *vector {
	if k < 0 {
		return absent
	}
	numbers, _ := p.block.Index(k)
	return intVector(pick(numbers, rows))
}

func loadDTypes(p *part, rows []int32) *vector {
	if d, same := p.block.DTypes().Const(); same {
		return dtypeVectors[uint8(d)]
	}
	return texts(p.block.DTypes(), rows, func(v int64) string { return tensor.DType(v).String() })
}

// dtypeVectors are columns of one dtype, of which a registry has very many.
var dtypeVectors = func() (list [256]*vector) {
	for d := range list {
		list[d] = constantVector(expr.String(tensor.DType(d).String()))
	}
	return list
}()

// rank and numel are of a shape's code.
func (p *part) rank(code int64) int64 { return int64(len(entry(p.block.Shapes().Distinct(), code))) }

func (p *part) numel(code int64) int64 { return entry(p.block.Shapes().Numels(), code) }

// trusts gives how the files of the rows are known.
func (p *part) trusts(rows []int32) *vector {
	files := p.block.Files()
	of := func(code int64) expr.Value { return p.source.trust(entry(files.Distinct(), code)) }
	if code, same := files.Code().Const(); same {
		return constantVector(of(code))
	}
	if v, same := p.source.oneTrust(); same {
		return constantVector(v)
	}
	return vectorOf(at(rows, func(row int) expr.Value { return of(files.Code().At(row)) }))
}

// counts gives a counted statistic, absent where none was taken.
func (p *part) counts(c block.Ints, rows []int32) *vector {
	return p.statistic(rows, func() *vector { return ints(c, rows) }, false)
}

// extremes gives a least or greatest value, absent also where none is finite.
func (p *part) extremes(c block.Floats, rows []int32) *vector {
	return p.statistic(rows, func() *vector { return floats(c, rows) }, true)
}

func (p *part) statistic(rows []int32, load func() *vector, extreme bool) *vector {
	has := p.block.HasStats()
	v, same := has.Const()
	if same && v == 0 {
		return absent
	}
	out := load()
	alike := same && (!extreme || p.sameFinite()) // absent on all rows or on none
	var null []bool
	for i, r := range rows {
		if has.At(int(r)) == 0 || extreme && p.nothingFinite(int(r)) {
			if null == nil {
				null = make([]bool, len(rows))
			}
			null[i] = true
		}
		if alike {
			break
		}
	}
	switch {
	case null == nil:
		return out
	case out.constant && alike:
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

// oneExtreme reports a least or greatest value that all rows of the block share.
func (p *part) oneExtreme(c block.Floats) bool {
	_, same := c.Const()
	return same && one(p.block.HasStats()) && p.sameFinite()
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

// at gives a value of each row listed.
func at[T any](rows []int32, of func(row int) T) []T {
	out := make([]T, len(rows))
	for i, r := range rows {
		out[i] = of(int(r))
	}
	return out
}

func ints(c block.Ints, rows []int32) *vector {
	if v, same := c.Const(); same {
		return constantVector(expr.Int(v))
	}
	return intVector(at(rows, c.At))
}

func coded(c block.Ints, rows []int32, of func(int64) int64) *vector {
	if v, same := c.Const(); same {
		return constantVector(expr.Int(of(v)))
	}
	return intVector(at(rows, func(row int) int64 { return of(c.At(row)) }))
}

func texts(c block.Ints, rows []int32, of func(int64) string) *vector {
	if v, same := c.Const(); same {
		return constantVector(expr.String(of(v)))
	}
	return textVector(at(rows, func(row int) string { return of(c.At(row)) }))
}

func names(c block.Names, rows []int32) *vector {
	return texts(c.Code(), rows, func(code int64) string { return entry(c.Distinct(), code) })
}

func shapes(c block.Shapes, rows []int32) *vector {
	if v, same := c.Code().Const(); same {
		return constantVector(expr.Shape(entry(c.Distinct(), v)))
	}
	return &vector{kind: expr.ShapeKind, shapes: at(rows, c.At)}
}

func floats(c block.Floats, rows []int32) *vector {
	if v, same := c.Const(); same {
		return constantVector(expr.Float(v))
	}
	return &vector{kind: expr.FloatKind, floats: at(rows, c.At)}
}

// hashes gives hashes, absent where none was taken.
func hashes(c block.Hashes, rows []int32) *vector {
	if h, same := c.Const(); same {
		if h.IsZero() {
			return absent
		}
		return constantVector(expr.Hash(h))
	}
	out := &vector{kind: expr.HashKind, hashes: at(rows, c.At)}
	for i := range out.hashes {
		if out.hashes[i].IsZero() {
			out.set(i, expr.Null)
		}
	}
	return out
}
