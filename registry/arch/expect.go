package arch

import (
	"context"
	"fmt"
	"strings"

	"wreg/registry/arch/declare"
	"wreg/registry/arch/op"
	"wreg/registry/tensor"
)

// Expect lists what the layout must hold for a config, in declaration order. src may be
// nil: where the checkpoint decides (optional tensors, alternatives), the first
// alternative is expected then. A packed tensor is listed as its stored parts.
func (a *Arch) Expect(ctx context.Context, c *Config, layout string, src Source) ([]Want, error) {
	r, err := a.match(ctx, c, src, false)
	if err != nil {
		return nil, err
	}
	if layout == HF {
		return r.eachHF(nil, nil)
	}
	if layout != a.Layout {
		return nil, fmt.Errorf("layout %q: %s has hf and %s", layout, a.File, a.Layout)
	}
	wants := make([]Want, 0, len(r.Outputs))
	for _, it := range r.Outputs {
		if err := r.Round(); err != nil {
			return nil, err
		}
		if src != nil {
			if i, ok := src.Lookup(it.Path); ok && i.DType == tensor.U32 {
				r.making = making{Output: it}
				f, t := r.load(it.Path)
				r.making = making{}
				if t == nil && f.bits > 0 {
					base := strings.TrimSuffix(it.Path, "weight")
					for _, p := range f.parts {
						w := wantOf(it)
						w.Path, w.Shape, w.DType = base+p.suffix, p.Shape, p.DType
						if p.suffix == "weight" {
							w.Shape = it.Shape.Packed(f.bits)
						}
						wants = append(wants, w)
					}
					continue
				}
			}
		}
		wants = append(wants, wantOf(it))
	}
	return wants, r.Over()
}

// Refuses says why the architecture takes no checkpoint with this config, though what
// mlx_lm would expect of one can be listed: it reads the config as another model's.
func (a *Arch) Refuses(ctx context.Context, c *Config) error {
	_, err := a.match(ctx, c, tensor.List{{Path: "any"}}, false)
	return err
}

// eachHF lists the hf layout; shapes that several outputs imply for one tensor are
// merged. visit, if there is one, gets each in the order of the list; outputs for which
// whole is true are left out.
func (r *match) eachHF(whole func(it *declare.Output, m *declare.TensorExpr) bool, visit func(w Want, it *declare.Output, m *declare.TensorExpr)) ([]Want, error) {
	type entry struct {
		it   *declare.Output
		m    *declare.TensorExpr
		path string // before renaming
	}
	var wants []Want
	var from []entry
	at := map[string]int{}
	for _, it := range r.Outputs {
		if err := r.Round(); err != nil {
			return nil, err
		}
		m := r.hfWay(it)
		if whole != nil && whole(it, m) {
			continue
		}
		var clash error
		add := func(path, name string, shape tensor.Shape) {
			w := Want{Path: name, Shape: shape, Optional: it.Optional, Rule: it.Rule}
			if m.Op == op.Load {
				w.DType = it.DType
			}
			wants = append(wants, w)
			from = append(from, entry{it, m, path})
		}
		if m.Op == declare.Each && len(r.Renamings.List) == 0 && len(r.Shapes) == 0 { // tens of thousands, each told once
			for i := m.From; i < m.Until; i++ {
				path := m.Element(i)
				add(path, path, op.Tail(it.Shape))
			}
			continue
		}
		m.Inputs(it.Shape, func(path string, shape tensor.Shape) {
			if d, ok := r.Shapes[path]; ok {
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
				clash = fmt.Errorf("%s: %s must have shape %v here and %v by %s", it.Rule, name, shape, wants[i].Shape, wants[i].Rule)
			}
			wants[i].Shape = merged
			wants[i].Optional = wants[i].Optional && it.Optional
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
	if len(r.Reads.List) == 0 && visit == nil {
		return wants, r.Over()
	}
	stored := wants[:0:0]
	for i, w := range wants {
		if err := r.Round(); err != nil {
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
	return stored, r.Over()
}

// hfWay is how the hf layout holds an output: by the first written way whose inputs are
// there, else the first written one, else as it is.
func (r *match) hfWay(it *declare.Output) *declare.TensorExpr {
	if r.src != nil && !r.TowardsHF { // an mlx checkpoint says nothing of hf's way
		for k, m := range it.From {
			if k == it.Own && !it.OwnListed && it.Listed > 0 {
				continue
			}
			r.making = making{Output: it, way: m}
			f, t := r.forward(m)
			r.making = making{}
			if t == nil && r.check(it, m, f) == nil {
				return m
			}
		}
	}
	return it.From[it.FirstWritten()]
}
