package arch

import (
	"context"
	"fmt"
	"strings"

	"wreg/registry/arch/op"
	"wreg/registry/tensor"
)

// Expect lists what the layout must hold for a config, in declaration order. src
// may be nil; where the checkpoint decides (optional tensors, alternatives), the
// first alternative is expected then. Of a packed tensor the stored parts are
// listed.
func (a *Arch) Expect(ctx context.Context, c *Config, layout string, src Source) ([]Want, error) {
	r, err := a.run(ctx, c, src)
	if err != nil {
		return nil, err
	}
	if layout == HF {
		return r.eachHF(nil, nil)
	}
	if layout != MLX {
		return nil, fmt.Errorf("there is no layout %q; known are hf and mlx", layout)
	}
	wants := make([]Want, 0, len(r.items))
	for _, it := range r.items {
		if err := r.interrupted(); err != nil {
			return nil, err
		}
		if src != nil {
			if i, ok := src.Lookup(it.path); ok && i.DType == tensor.U32 {
				r.lastAxis = it.lastAxis()
				f, t := r.load(it.path)
				r.lastAxis = 0
				if t == nil && f.bits > 0 {
					base := strings.TrimSuffix(it.path, "weight")
					for _, p := range f.parts {
						w := it.want()
						w.Path, w.Shape, w.DType = base+p.suffix, p.Shape, p.DType
						if p.suffix == "weight" {
							w.Shape = packedShape(it.shape, f.bits)
						}
						wants = append(wants, w)
					}
					continue
				}
			}
		}
		wants = append(wants, it.want())
	}
	return wants, r.over
}

// eachHF lists the hf layout, joining what several results tell about one tensor.
// visit, when there is one, gets each in the order of the list; what whole says is
// all there is left out.
func (r *run) eachHF(whole func(it *item, m *TensorExpr) bool, visit func(w Want, it *item, m *TensorExpr)) ([]Want, error) {
	type entry struct {
		it   *item
		m    *TensorExpr
		path string // before renaming
	}
	var wants []Want
	var from []entry
	at := map[string]int{}
	for _, it := range r.items {
		if err := r.interrupted(); err != nil {
			return nil, err
		}
		m := r.hfWay(it)
		if whole != nil && whole(it, m) {
			continue
		}
		var clash error
		add := func(path, name string, shape tensor.Shape) {
			w := Want{Path: name, Shape: shape, Optional: it.optional, Rule: it.rule}
			if m.Op == op.Load {
				w.DType = it.dtype
			}
			wants = append(wants, w)
			from = append(from, entry{it, m, path})
		}
		if m.Op == each && len(r.renames.list) == 0 && len(r.declared) == 0 { // tens of thousands, each told once
			for i := m.from; i < m.to; i++ {
				path := m.each(i)
				add(path, path, op.Tail(it.shape))
			}
			continue
		}
		m.inputs(it.shape, func(path string, shape tensor.Shape) {
			if d, ok := r.declared[path]; ok {
				shape = d
			}
			name := r.hfName(path)
			i, ok := at[name]
			if !ok {
				at[name] = len(wants)
				add(path, name, shape)
				return
			}
			merged, ok := op.Merge(wants[i].Shape, shape)
			if !ok {
				clash = fmt.Errorf("%s: %s must have shape %v here and %v by %s", it.rule, name, shape, wants[i].Shape, wants[i].Rule)
			}
			wants[i].Shape = merged
			wants[i].Optional = wants[i].Optional && it.optional
		})
		if clash != nil {
			return nil, clash
		}
	}
	for i := range wants {
		if !op.Complete(wants[i].Shape) {
			wants[i].Shape = nil
		}
	}
	if len(r.reads.list) == 0 && visit == nil {
		return wants, r.over
	}
	stored := wants[:0:0]
	for i, w := range wants {
		if err := r.interrupted(); err != nil {
			return nil, err
		}
		parts := r.storedAs(from[i].path, w)
		if parts == nil {
			parts = []Want{w}
		}
		if visit == nil {
			stored = append(stored, parts...)
			continue
		}
		for _, p := range parts {
			visit(p, from[i].it, from[i].m)
		}
	}
	return stored, r.over
}

// hfWay is the way by which the hf layout holds an item: the first written one
// whose inputs are there, else the first written one, else the item itself.
func (r *run) hfWay(it *item) *TensorExpr {
	if r.src != nil && !r.towardsHF { // an mlx checkpoint says nothing of hf's way
		for k, m := range it.from {
			if k == it.own && !it.ownListed && it.listed > 0 {
				continue
			}
			if f, t := r.forward(m); t == nil && it.check(r, m, f) == nil {
				return m
			}
		}
	}
	return it.from[it.firstWritten()]
}

// firstWritten is the first way that the file writes: the hf layout's. Without one
// it is the tensor itself.
func (it *item) firstWritten() int {
	for k := range it.from {
		if it.listed > 0 && (k != it.own || it.ownListed) {
			return k
		}
	}
	return it.own
}
