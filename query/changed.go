package query

import (
	"fmt"
	"slices"

	"wreg/registry/arch"
	"wreg/registry/tensor"
)

// castTo reports that a tensor of another float dtype is what was wanted, cast.
func (w *want) castTo(d tensor.DType) bool {
	return w.castable && d != w.dtype && d.Float() && w.dtype.Float() && !w.content.unlike
}

// changed compares a tensor with what it should be; nil when nothing differs.
func changed(w *want, have tensor.Info) *gap {
	g := &gap{path: w.path, status: arch.Changed, want: w, have: &have}
	same := alike(w.content.stats, have.Stats)
	switch {
	case w.shape != nil && !w.shape.Equal(have.Shape):
		g.reason = fmt.Sprintf("shape is %v, should be %v", have.Shape, w.shape)
		if g.remedy = transposed(w.shape, have.Shape); g.remedy != "" && same {
			g.reason = "transposed: " + g.reason + ", statistics are equal"
		}
	case w.castTo(have.DType):
		differs := castDiffers(w.content.stats, have.Stats)
		if differs == "" {
			return nil
		}
		g.reason = fmt.Sprintf("cast from %v to %v, but %s", w.dtype, have.DType, differs)
	case w.dtype.Valid() && w.dtype != have.DType:
		g.reason = fmt.Sprintf("dtype is %v, should be %v", have.DType, w.dtype)
		if have.DType.Float() && w.dtype.Float() {
			g.reason = fmt.Sprintf("cast: %s", g.reason)
			if differs := castDiffers(w.content.stats, have.Stats); differs != "" {
				g.reason += ", and " + differs
			}
		}
		g.remedy = fmt.Sprintf("cast to %v", w.dtype)
	default:
		if g.reason = w.content.differs(have); g.reason == "" {
			return nil
		}
		if same {
			g.reason += ", statistics are equal: the same values in another order?"
			g.remedy = transposed(have.Shape, have.Shape)
		}
	}
	return g
}

// transposed recognises a matrix that lies on its side.
func transposed(want, have tensor.Shape) string {
	if n := len(want); n == len(have) && n >= 2 && want[n-1] == have[n-2] && want[n-2] == have[n-1] && slices.Equal(want[:n-2], have[:n-2]) {
		return "transpose the last two axes"
	}
	return ""
}
