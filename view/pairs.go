package view

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"wreg/export"
	"wreg/ingest/quantized"
	"wreg/registry"
	"wreg/registry/arch"
	"wreg/registry/arch/op"
	"wreg/registry/tensor"
	"wreg/view/measure"
)

// side is one of two models that are compared, kept after the snapshot is gone.
type side struct {
	revision *registry.Revision
	recorded tensor.List
	res      *arch.Resolution // nil: no architecture
	units    map[string]*unit
	reader   measure.Side
}

// unit is what a side has under one name: a tensor, or a weight with the parts it is
// packed in.
type unit struct {
	path   string
	make   *op.Node
	form   string   // bf16, affine 4/64
	packed bool     // mlx's
	parts  []string // every name that the other side may call part of it
	bytes  int64    // as stored
}

func sideOf(ctx context.Context, s *registry.Snapshot, v *registry.Revision) (*side, error) {
	list, err := export.Recorded(ctx, s, v)
	if err != nil {
		return nil, err
	}
	x := &side{revision: v, recorded: list, units: map[string]*unit{}}
	x.reader = measure.Side{Ref: v.Ref(), Info: x.recorded.Lookup}
	return x, ctx.Err()
}

// again is a side that was not read yet.
func (x *side) again() *side {
	return &side{revision: x.revision, recorded: x.recorded, res: x.res, units: x.units, reader: measure.Side{Ref: x.reader.Ref, Info: x.reader.Info}}
}

// resolve matches a side with its architecture, if it has one; without, tensors are
// paired by name.
func (x *side) resolve(ctx context.Context, layout string, a *arch.Arch) error {
	if a = archOf(ctx, x.revision, layout, x.recorded, a); a != nil {
		if c, err := arch.ParseConfig(x.revision.Config); err == nil {
			x.res, _ = a.Resolve(ctx, c, x.recorded)
		}
	}
	return ctx.Err()
}

// archOf is a revision's architecture, or a where that is one; nil for none.
func archOf(ctx context.Context, v *registry.Revision, layout string, src arch.Source, a *arch.Arch) *arch.Arch {
	if v.Adapter != nil || len(v.Config) == 0 {
		return nil
	}
	if c, err := arch.ParseConfig(v.Config); a == nil && err == nil {
		a, _ = arch.FindFor(ctx, layout, c, src)
	}
	return a
}

// add keeps a unit.
func (x *side) add(u *unit) {
	u.make = x.reader.Decoded(u.make)
	if u.form == "" {
		u.form = u.make.DType.String()
		if codes := storedAs(u.make); codes != nil {
			u.form = codes.DType.String()
		}
	}
	x.units[u.path] = u
}

// storedAs is the load of the codes that a tree makes numbers of.
func storedAs(n *op.Node) *op.Node {
	switch {
	case n.Op == op.Load:
		return nil
	case n.Op == op.FP8 || n.Op == op.GGML:
		for n.Op != op.Load {
			n = n.In[0]
		}
		return n
	}
	for _, m := range n.In {
		if c := storedAs(m); c != nil {
			return c
		}
	}
	return nil
}

// stored lists units by the names that tensors have.
func (x *side) stored() error {
	part := map[string]bool{}
	for _, q := range quantized.Find(x.recorded, x.revision.Config) {
		var nodes []*op.Node
		for _, p := range q.Parts {
			t, _ := x.recorded.Lookup(p)
			nodes = append(nodes, op.Stored(t))
			part[p] = true
		}
		if err := x.pack(q.Path, arch.Packed{Bits: int(q.Bits), GroupSize: int(q.Group)}, q.Mode, nodes, q.Parts); err != nil {
			return err
		}
	}
	for _, t := range x.recorded {
		if !part[t.Path] {
			x.add(&unit{path: t.Path, make: op.Stored(t), parts: []string{t.Path}, bytes: t.Bytes})
		}
	}
	return nil
}

// pack adds a weight in parts.
func (x *side) pack(path string, packed arch.Packed, mode string, nodes []*op.Node, parts []string) error {
	n, err := measure.Unpacked(packed, nodes)
	if err != nil {
		return fmt.Errorf("%s: tensor %q: %w", x.revision.Ref(), path, err)
	}
	u := &unit{path: path, make: n, packed: true, parts: parts, form: fmt.Sprintf("%s %d/%d", mode, packed.Bits, packed.GroupSize)}
	u.bytes, err = x.takes(nodes...)
	x.add(u)
	return err
}

// takes is the bytes that trees are stored in: of their sources, where those are theirs
// alone, which a tensor that is cut for several is not.
func (x *side) takes(trees ...*op.Node) (bytes int64, err error) {
	cut, seen := false, map[string]bool{}
	var look func(n *op.Node)
	look = func(n *op.Node) {
		cut = cut || n.Op == op.Slice
		for _, m := range n.In {
			look(m)
		}
		if n.Op == op.Load && !seen[n.Path] {
			seen[n.Path] = true
			t, _ := x.recorded.Lookup(n.Path)
			bytes += t.Bytes
		}
	}
	for _, n := range trees {
		look(n)
	}
	if !cut {
		return bytes, nil
	}
	bytes = 0
	for _, n := range trees {
		size, err := n.Shape.Bytes(n.DType)
		if err != nil {
			return 0, err
		}
		bytes += size
	}
	return bytes, nil
}

// carried lists units as they would be in the layout made.
func (x *side) carried() error {
	at := map[string]*arch.Target{}
	for i := range x.res.Targets {
		at[x.res.Targets[i].Path] = &x.res.Targets[i]
	}
	for i := range x.res.Targets {
		t := &x.res.Targets[i]
		if t.Make == nil {
			continue
		}
		if t.Packed.Bits > 0 {
			module, ok := strings.CutSuffix(t.Path, "weight")
			if !ok {
				continue // told with its weight
			}
			nodes, parts := []*op.Node{t.Make}, []string{t.Path}
			for _, suffix := range []string{"scales", "biases"} {
				if p := at[module+suffix]; p != nil && p.Make != nil {
					nodes, parts = append(nodes, p.Make), append(parts, p.Path)
				}
			}
			if len(nodes) < 2 {
				continue // the gaps have its scales
			}
			mode := tensor.PackingMode(t.Packed.Bits, t.Packed.GroupSize, nodes[1].DType)
			if err := x.pack(t.Path, t.Packed, mode, nodes, parts); err != nil {
				return err
			}
			continue
		}
		bytes, err := x.takes(t.Make)
		if err != nil {
			return err
		}
		x.add(&unit{path: t.Path, make: t.Make, parts: []string{t.Path}, bytes: bytes})
	}
	for _, path := range x.res.Unused {
		if t, ok := x.recorded.Lookup(path); ok && x.units[path] == nil {
			x.add(&unit{path: path, make: op.Stored(t), parts: []string{path}, bytes: t.Bytes})
		}
	}
	return nil
}

// sources adds the names of the stored tensors to what the other side may call part of a
// unit.
func (x *side) sources() {
	for _, u := range x.units {
		u.make.Sources(func(path string) { u.parts = append(u.parts, path) })
	}
}

// coded reports a side whose stored numbers mean nothing without their scales, which its
// architecture knows how to join.
func (x *side) coded() bool {
	return x.res != nil && slices.ContainsFunc(x.res.Targets, func(t arch.Target) bool {
		return t.Make != nil && t.Packed.Bits == 0 && measure.Codes(t.Make)
	})
}

// pair is what both sides have.
type pair struct {
	a, b *unit
}

// pairs lists what both sides have, by path with its numbers in order. mapped says that
// the gaps between them are told under the names of the layout made.
func pairs(ctx context.Context, a, b *side, mapped bool, ar *arch.Arch) ([]pair, error) {
	codes := func(t tensor.Info) bool { return t.Coded() }
	if mapped || slices.ContainsFunc(a.recorded, codes) || slices.ContainsFunc(b.recorded, codes) {
		layout := arch.Common(a.revision.Layout, b.revision.Layout)
		if err := errors.Join(a.resolve(ctx, layout, ar), b.resolve(ctx, layout, ar)); err != nil {
			return nil, err
		}
	}
	known := a.res != nil && b.res != nil && a.res.Arch.Name == b.res.Arch.Name
	for _, x := range []*side{a, b} {
		var err error
		switch {
		case known && (mapped || a.coded() || b.coded()):
			if err = x.carried(); !mapped {
				x.sources()
			}
		default:
			err = x.stored()
		}
		if err != nil {
			return nil, err
		}
	}
	var list []pair
	for path, u := range a.units {
		if w := b.units[path]; w != nil {
			list = append(list, pair{u, w})
		}
	}
	sortPaths(list, func(p *pair) string { return p.a.path })
	return list, nil
}

// sortPaths orders by template, then by number.
func sortPaths[T any](list []T, path func(*T) string) {
	type keyed struct {
		template string
		index    []int64
		item     T
	}
	keys := make([]keyed, len(list))
	for i := range list {
		template, index := tensor.SplitPath(path(&list[i]))
		keys[i] = keyed{template, index, list[i]}
	}
	slices.SortStableFunc(keys, func(a, b keyed) int {
		return cmp.Or(strings.Compare(a.template, b.template), slices.Compare(a.index, b.index))
	})
	for i := range keys {
		list[i] = keys[i].item
	}
}
