package query

import (
	"slices"

	"wreg/registry"
	"wreg/registry/tensor"
)

// gapBatch gives gaps as rows.
func gapBatch(gaps []gap, v *registry.Revision) *batch {
	return &batch{n: len(gaps), weight: 1, load: func(c column) *vector {
		values := make([]any, len(gaps))
		for i := range gaps {
			values[i] = gaps[i].value(c, v)
		}
		return vectorOf(values)
	}}
}

// value is one column of a gap, nil when absent: a missing tensor has no shape.
func (g *gap) value(c column, v *registry.Revision) any {
	switch c {
	case colPath:
		return g.path
	case colModel:
		return v.Ref()
	case colStatus:
		return g.status
	case colReason:
		return textOrNil(g.reason)
	case colRemedy:
		return textOrNil(g.remedy)
	case colTemplate, colLayer, colExpert:
		template, index := tensor.SplitPath(g.path)
		if c == colTemplate {
			return template
		}
		if k := slices.Index(tensor.Placeholders(template), c.String()); k >= 0 && k < len(index) {
			return index[k]
		}
		return nil
	case colExpectedShape:
		if g.want != nil && g.want.shape != nil {
			return g.want.shape
		}
		return nil
	case colExpectedDType:
		if g.want != nil && g.want.dtype.Valid() {
			return g.want.dtype.String()
		}
		return nil
	}
	if g.have == nil {
		return nil
	}
	return infoValue(c, g.have)
}

func textOrNil(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// infoValue is one column of a tensor's record.
func infoValue(c column, t *tensor.Info) any {
	switch c {
	case colDType:
		return t.DType.String()
	case colShape:
		return t.Shape
	case colRank:
		return int64(len(t.Shape))
	case colNumel:
		n, err := t.Shape.Numel()
		if err != nil {
			return nil
		}
		return n
	case colBytes:
		return t.Bytes
	case colHash:
		if t.Hash.IsZero() {
			return nil
		}
		return t.Hash
	case colFile:
		return t.File
	case colOffset:
		return t.Offset
	case colFormat:
		return t.Format
	}
	if t.Stats == nil {
		return nil
	}
	if c == colMin || c == colMax || c == colAbsMax {
		if n, err := t.Shape.Numel(); err == nil && t.Stats.AbsMax == 0 && t.Stats.NaNs+t.Stats.Infs == n {
			return nil
		}
	}
	switch c {
	case colMin:
		return t.Stats.Min
	case colMax:
		return t.Stats.Max
	case colAbsMax:
		return t.Stats.AbsMax
	case colNaNs:
		return t.Stats.NaNs
	case colInfs:
		return t.Stats.Infs
	case colZeros:
		return t.Stats.Zeros
	}
	return nil
}
