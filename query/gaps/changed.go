package gaps

import (
	"fmt"
	"slices"

	"wreg/registry/arch"
	"wreg/registry/tensor"
)

// castTo reports that a tensor of another float dtype is what was wanted, cast.
func (w *want) castTo(d tensor.DType) bool {
	return w.castable && d != w.DType && d.Float() && w.DType.Float() && !w.content.unlike
}

// changed compares a tensor with what it should be; nil when nothing differs.
func changed(w *want, have tensor.Info) *arch.Gap {
	g := &arch.Gap{Status: arch.Changed, Want: w.Want, Have: &have}
	switch {
	case w.Shape != nil && !w.Shape.Equal(have.Shape):
		g.Reason = fmt.Sprintf("shape is %v, should be %v", have.Shape, w.Shape)
		g.Remedy = transposed(w.Shape, have.Shape)
	case w.castTo(have.DType):
		differs := castDiffers(w.content.stats, have.Stats)
		if differs == "" {
			return nil
		}
		g.Reason = fmt.Sprintf("cast from %v to %v, but %s", w.DType, have.DType, differs)
	case w.DType.Valid() && w.DType != have.DType:
		g.Reason = fmt.Sprintf("dtype is %v, should be %v", have.DType, w.DType)
		if have.DType.Float() && w.DType.Float() {
			g.Reason = fmt.Sprintf("cast: %s", g.Reason)
			if differs := castDiffers(w.content.stats, have.Stats); differs != "" {
				g.Reason += ", and " + differs
			}
		}
		g.Remedy = fmt.Sprintf("cast to %v", w.DType)
	default:
		if g.Reason = w.content.differs(have); g.Reason == "" {
			return nil
		}
	}
	return g
}

// transposed recognizes a matrix whose last two axes are swapped.
func transposed(want, have tensor.Shape) string {
	if n := len(want); n == len(have) && n >= 2 && want[n-1] == have[n-2] && want[n-2] == have[n-1] && slices.Equal(want[:n-2], have[:n-2]) {
		return "transpose the last two axes"
	}
	return ""
}
