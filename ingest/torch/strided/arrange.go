package strided

import (
	"io"

	"wreg/ingest/zipfile"
)

// Arrange gives elements of a view in another order than its own, gathered in that
// order: those that dims n, outermost first, reach in its row-major order from element
// base on, step elements apart. Not ok: read them one range after the other. What is
// one block, or takes more reads than a checkpoint may, is left alone.
func (g *gatherer) Arrange(base int64, n, step []int64) (r io.ReaderAt, ok bool) {
	w, ok := g.v.arrange(base, n, step)
	if !ok || g.v.Size() <= blockBytes || g.again.Spend(min(w.Pieces(), zipfile.MaxPieces+1)*zipfile.ReadCost) != nil {
		return nil, false
	}
	return &gatherer{v: w, r: g.r, first: g.first, again: g.again}, true
}

// Arrange is that of what it turns.
func (l *logical) Arrange(base int64, n, step []int64) (io.ReaderAt, bool) {
	g, ok := l.r.(*gatherer)
	if !ok {
		return nil, false
	}
	r, ok := g.Arrange(base, n, step)
	if !ok {
		return nil, false
	}
	return Turn(r, r.(*gatherer).v, l.swap), true
}

// arrange is the view of the elements in that order.
func (v *View) arrange(base int64, n, step []int64) (*View, bool) {
	a := arrangement{of: v, view: *v, size: make([]int64, len(v.Shape)), last: make([]int64, len(v.Shape))}
	a.view.Shape, a.view.Stride = nil, nil
	for i, k := len(v.Shape)-1, int64(1); i >= 0; i-- {
		a.size[i] = k
		k *= v.Shape[i]
	}
	for i, k := range a.size {
		a.last[i], base = base/k, base%k
		a.view.Offset += a.last[i] * v.Stride[i]
	}
	for i := range n {
		if !a.add(n[i], step[i]) {
			return nil, false
		}
	}
	if len(a.view.Shape) == 0 {
		a.dim(1, 0)
	}
	return &a.view, a.view.Check() == nil
}

// arrangement is a view that is made dimension by dimension.
type arrangement struct {
	of         *View
	view       View
	size, last []int64 // of an index of each dimension of the old: its elements, the largest reached
}

func (a *arrangement) dim(n, stride int64) {
	a.view.Shape, a.view.Stride = append(a.view.Shape, n), append(a.view.Stride, stride)
}

// add adds a dimension: of one index, of the same one again and again, along one of
// the old, or along all of that and then of those outside of it.
func (a *arrangement) add(n, step int64) bool {
	switch {
	case n < 1 || step < 0:
		return false
	case n == 1 || step == 0:
		a.dim(n, 0)
		return true
	}
	i := 0
	for i < len(a.size) && a.size[i] > step {
		i++
	}
	if i == len(a.size) || step%a.size[i] != 0 {
		return false
	}
	k, wide := step/a.size[i], a.of.Shape[i]
	if k >= wide {
		return false
	}
	m := n
	if a.last[i]+(n-1)*k >= wide {
		if m = wide / k; wide%k != 0 || n%m != 0 || !a.add(n/m, step*m) {
			return false
		}
	}
	a.last[i] += (m - 1) * k
	a.dim(m, k*a.of.Stride[i])
	return a.last[i] < wide
}
