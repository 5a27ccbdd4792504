package query

import (
	"slices"

	"wreg/registry"
	"wreg/registry/arch"
	"wreg/registry/expr"
	"wreg/registry/tensor"
)

// gapBatch gives gaps as rows.
func gapBatch(gaps []arch.Gap, v *registry.Revision) *batch {
	return &batch{n: len(gaps), weight: 1, load: func(c column) *vector {
		values := make([]expr.Value, len(gaps))
		for i := range gaps {
			values[i] = gapValue(&gaps[i], c, v)
		}
		return vectorOf(values)
	}}
}

// value is one column of a gap, nil when absent: a missing tensor has no shape.
func gapValue(g *arch.Gap, c column, v *registry.Revision) expr.Value {
	switch c {
	case colPath:
		return expr.String(g.Path)
	case colModel:
		return expr.String(v.Ref())
	case colStatus:
		return expr.String(g.Status)
	case colReason:
		return textOrNull(g.Reason)
	case colRemedy:
		return textOrNull(g.Remedy)
	case colTemplate, colLayer, colExpert:
		template, index := tensor.SplitPath(g.Path)
		if c == colTemplate {
			return expr.String(template)
		}
		if k := slices.Index(tensor.Placeholders(template), c.String()); k >= 0 && k < len(index) {
			return expr.Int(index[k])
		}
		return expr.Null
	case colExpectedShape:
		if g.Shape != nil {
			return expr.Shape(g.Shape)
		}
		return expr.Null
	case colExpectedDType:
		if g.DType.Valid() {
			return expr.String(g.DType.String())
		}
		return expr.Null
	}
	if g.Have == nil {
		return expr.Null
	}
	return infoValue(c, g.Have)
}

func textOrNull(s string) expr.Value {
	if s == "" {
		return expr.Null
	}
	return expr.String(s)
}

// infoValue is one column of a tensor's record.
func infoValue(c column, t *tensor.Info) expr.Value {
	switch c {
	case colDType:
		return expr.String(t.DType.String())
	case colShape:
		return expr.Shape(t.Shape)
	case colRank:
		return expr.Int(int64(len(t.Shape)))
	case colNumel:
		n, err := t.Shape.Numel()
		if err != nil {
			return expr.Null
		}
		return expr.Int(n)
	case colBytes:
		return expr.Int(t.Bytes)
	case colHash:
		if t.Hash.IsZero() {
			return expr.Null
		}
		return expr.Hash(t.Hash)
	case colFile:
		return expr.String(t.File)
	case colOffset:
		return expr.Int(t.Offset)
	case colFormat:
		return expr.String(t.Format)
	}
	if t.Stats == nil {
		return expr.Null
	}
	if c == colMin || c == colMax || c == colAbsMax {
		if n, err := t.Shape.Numel(); err == nil && t.Stats.AbsMax == 0 && t.Stats.NaNs+t.Stats.Infs == n {
			return expr.Null
		}
	}
	switch c {
	case colMin:
		return expr.Float(t.Stats.Min)
	case colMax:
		return expr.Float(t.Stats.Max)
	case colAbsMax:
		return expr.Float(t.Stats.AbsMax)
	case colNaNs:
		return expr.Int(t.Stats.NaNs)
	case colInfs:
		return expr.Int(t.Stats.Infs)
	case colZeros:
		return expr.Int(t.Stats.Zeros)
	}
	return expr.Null
}
