package arch

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"wreg/registry/arch/op"
	"wreg/registry/tensor"
)

// outcome is an item held against the checkpoint: which way of making it works,
// or what each lacks.
type outcome struct {
	chosen int // index into item.from; -1: none works
	Operand
	nodes      []*op.Node   // of its parts; nil until they are wanted
	shortfalls []*Shortfall // one for each way, when none works
}

// hold tries the ways of making an item in order; the first whose inputs are all
// there and give the declared shape wins.
func (r *run) hold(it *item) outcome {
	o := outcome{chosen: -1}
	r.lastAxis = it.lastAxis()
	defer func() { r.lastAxis = 0 }()
	for k, m := range it.from {
		f, t := r.forward(m)
		if t == nil {
			t = it.check(r, m, f)
		}
		if t == nil {
			o.chosen, o.Operand = k, f
			return o
		}
		o.shortfalls = append(o.shortfalls, t)
	}
	return o
}

// check compares what a making gives with what is declared.
func (it *item) check(r *run, m *TensorExpr, f Operand) *Shortfall {
	wrong := ""
	switch {
	case !f.Shape.Equal(it.shape):
		wrong = fmt.Sprintf("shape %v, expected %v", f.Shape, it.shape)
	case f.bits > 0 && r.raw(it):
		g := Gap{Status: Changed, Want: it.want(), Reason: fmt.Sprintf("stored in %d bits, and the consumer reads it as floats only", f.bits)}
		return &Shortfall{wrong: []Gap{g}, total: 1}
	case f.bits > 0:
		return nil
	case it.dtype == tensor.Invalid && !f.DType.Float():
		wrong = fmt.Sprintf("dtype %v, expected floats", f.DType)
	case it.dtype != tensor.Invalid && f.DType != it.dtype:
		wrong = fmt.Sprintf("dtype %v, expected %v", f.DType, it.dtype)
	default:
		return nil
	}
	if m.Op == op.Load {
		have, _ := r.stored(m.Path)
		g := Gap{Status: Changed, Want: Want{Path: have.Path, Shape: it.shape, DType: it.dtype, Rule: it.rule}, Have: &have, Reason: wrong}
		return &Shortfall{wrong: []Gap{g}, total: 1}
	}
	t := &Shortfall{total: 1}
	told := r.told(m, it.shape)
	m.loads(func(path string) {
		have, ok := r.stored(path)
		if !ok {
			return
		}
		if want := told[path]; !op.Complete(want) || !want.Equal(have.Shape) {
			g := Gap{Status: Changed, Want: Want{Path: have.Path, Shape: want, Rule: it.rule}, Have: &have, Reason: fmt.Sprintf("shape %v, expected %v", have.Shape, want)}
			if !op.Complete(want) {
				g.Shape, g.Reason = nil, fmt.Sprintf("%s made of it has %s", it.path, wrong)
			}
			t.wrong = append(t.wrong, g)
		}
	})
	if len(t.wrong) == 0 {
		t.wrong = []Gap{{Status: Changed, Want: it.want(), Reason: "what its inputs make has " + wrong}}
	}
	return t
}

func (it *item) lastAxis() int64 {
	if n := len(it.shape); n > 0 {
		return it.shape[n-1]
	}
	return 0
}

func (it *item) want() Want {
	return Want{Path: it.path, Shape: it.shape, DType: it.dtype, Optional: it.optional, Rule: it.rule}
}

// told collects what a result's shape tells about the paths a making reads.
func (r *run) told(m *TensorExpr, shape tensor.Shape) map[string]tensor.Shape {
	shapes := map[string]tensor.Shape{}
	m.inputs(shape, func(path string, s tensor.Shape) {
		if d, ok := r.declared[path]; ok {
			s = d
		}
		shapes[path], _ = op.Merge(shapes[path], s)
	})
	return shapes
}

// Resolve lays a checkpoint against the architecture. Gaps and Unused are data,
// not errors; an error means the config cannot be evaluated (a missing key, a
// refused combination) and says which rule, key and line, or that ctx is done.
func (a *Arch) Resolve(ctx context.Context, c *Config, src Source) (*Resolution, error) {
	r, err := a.run(ctx, c, src)
	if err != nil {
		return nil, err
	}
	res := &Resolution{Arch: a}
	outcomes := make([]outcome, len(r.items))
	used := map[string]bool{}
	for i, it := range r.items {
		if err := r.interrupted(); err != nil {
			return nil, err
		}
		o := r.hold(it)
		for _, p := range o.parts {
			n := p.node()
			n.Sources(func(path string) { used[path] = true })
			o.nodes = append(o.nodes, n)
		}
		outcomes[i] = o
	}
	res.Layout, res.Why = r.layout(outcomes)
	seen := map[string]bool{}
	mlx := make(map[string]bool, len(r.items))
	for _, it := range r.items {
		mlx[it.path] = true
	}
	for i, it := range r.items {
		if err := r.interrupted(); err != nil {
			return nil, err
		}
		o := &outcomes[i]
		if g := r.doubled(it, o, mlx); g != nil && !seen[g.Have.Path] {
			seen[g.Have.Path] = true
			res.Gaps = append(res.Gaps, *g)
		}
		if o.chosen < 0 {
			if it.optional && !anyPresent(o.shortfalls) {
				continue
			}
			gaps, m := r.gapsOf(it, o, res.Layout)
			m.loads(func(path string) { // what is there of it is accounted for by the gap
				if i, ok := r.stored(path); ok {
					used[i.Path] = true
				}
			})
			for _, g := range gaps {
				if !seen[g.Path] {
					seen[g.Path] = true
					res.Gaps = append(res.Gaps, g)
				}
			}
		}
		res.Targets = append(res.Targets, r.targets(it, o)...)
	}
	r.leftover(res, used, outcomes)
	return res, r.over
}

// doubled finds a tensor that is there as mlx has it while all that hf makes it of is
// there, too, and used for other tensors: of the two copies one would be lost.
func (r *run) doubled(it *item, o *outcome, mlx map[string]bool) *Gap {
	if o.chosen != it.own || o.chosen < 0 || len(it.from) == 1 {
		return nil
	}
	for k, m := range it.from {
		first := ""
		if k == it.own || !r.stands(m, mlx, &first) || first == "" {
			continue
		}
		have, _ := r.stored(first)
		return &Gap{Status: Extra, Have: &have, Reason: fmt.Sprintf("a second copy: %s is there already, in another form", it.path)}
	}
	return nil
}

// stands reports that every input of a making is there and none is itself a tensor
// of the mlx layout; first becomes one of them.
func (r *run) stands(m *TensorExpr, mlx map[string]bool, first *string) bool {
	one := func(path string) bool {
		if _, ok := r.stored(path); !ok || mlx[path] {
			return false
		}
		*first = path
		return true
	}
	switch m.Op {
	case op.Load:
		return one(m.Path)
	case each:
		for i := m.from; i < m.to; i++ {
			if !one(m.each(i)) {
				return false
			}
		}
	}
	return !slices.ContainsFunc(m.in, func(x *TensorExpr) bool { return !r.stands(x, mlx, first) })
}

func anyPresent(all []*Shortfall) bool {
	return slices.ContainsFunc(all, func(t *Shortfall) bool { return len(t.absent) < t.total || len(t.wrong) > 0 })
}

// targets gives an item's output tensors: one, or those of a packed one.
func (r *run) targets(it *item, o *outcome) []Target {
	t := Target{Want: it.want(), Keep: matches(r, &r.keeps, it.path), Quant: r.quantRule(it)}
	if o.chosen < 0 {
		return []Target{t}
	}
	if o.bits == 0 {
		t.Make = r.cast(o.nodes[0])
		return []Target{t}
	}
	base := strings.TrimSuffix(it.path, "weight")
	out := make([]Target, len(o.parts))
	for i, p := range o.parts {
		out[i] = t
		out[i].Path, out[i].Shape, out[i].DType, out[i].Make = base+p.suffix, p.Shape, p.DType, o.nodes[i]
		out[i].Quant = QuantRule{}
		out[i].Packed = Packed{Bits: o.bits, GroupSize: o.group}
		if base == it.path { // packed, but not a weight: its parts go by its own name
			out[i].Path = it.path + "." + p.suffix
		}
	}
	return out
}

// quantRule tells what -q does to a weight; of several rules the last one counts.
func (r *run) quantRule(it *item) QuantRule {
	module, isWeight := strings.CutSuffix(it.path, ".weight")
	if !isWeight || len(it.shape) < 2 || it.dtype != tensor.Invalid {
		return QuantRule{}
	}
	q := QuantRule{Eligible: true}
	matching(r, &r.quants, module, func(n nameRule) bool {
		switch {
		case n.never:
			q = QuantRule{}
		case n.no:
			q = QuantRule{Eligible: true, Never: true}
		default:
			q = QuantRule{Eligible: true, Bits: n.bits, GroupSize: n.group}
		}
		return n.never
	})
	return q
}

// raw reports that a rule calls the weight's module one that cannot be quantized.
func (r *run) raw(it *item) bool {
	module, isWeight := strings.CutSuffix(it.path, ".weight")
	never := false
	if isWeight {
		matching(r, &r.quants, module, func(n nameRule) bool {
			never = n.never
			return never
		})
	}
	return never
}

// leftover sorts the source tensors that no rule used: dropped by name, or
// unused; of these a second copy and an index beyond the config's are gaps.
func (r *run) leftover(res *Resolution, used map[string]bool, outcomes []outcome) {
	r.src.All(func(i tensor.Info) bool {
		if r.interrupted() != nil {
			return false // Resolve looks too
		}
		if used[i.Path] {
			return true
		}
		if r.work(int64(len(r.ignored))) != nil {
			return false
		}
		if d, ok := r.dropped(i.Path); ok {
			res.Drops = append(res.Drops, Drop{Path: i.Path, Because: d.because, Rule: d.rule})
			return true
		}
		for _, g := range r.ignored {
			if strings.HasSuffix(i.Path, g.suffix) {
				res.Drops = append(res.Drops, Drop{Path: i.Path, Because: "describes a tensor stored as " + g.codec.kind, Rule: g.codec.rule})
				return true
			}
		}
		res.Unused = append(res.Unused, i.Path)
		return true
	})
	if len(res.Unused) > 0 {
		res.Gaps = append(res.Gaps, r.extras(res.Unused, outcomes)...)
	}
}

// dropped finds the first rule that drops a path, under its own name or renamed.
func (r *run) dropped(path string) (d nameRule, ok bool) {
	first := len(r.drops.list)
	for _, name := range []string{path, r.renamedPath(path)} {
		for _, k := range r.drops.near(name) {
			p := r.drops.list[k].pattern
			if name != "" && k < first && r.work(matchSteps(p, name)) == nil && p.Match(name) {
				first = k
			}
		}
	}
	if first == len(r.drops.list) {
		return d, false
	}
	return r.drops.list[first], true
}

// layout tells hf from mlx by the tensors that differ between them.
func (r *run) layout(outcomes []outcome) (layout, why string) {
	var hf, mlx *item
	var nHF, nMLX, packed int
	for i, it := range r.items {
		o := &outcomes[i]
		if o.chosen < 0 {
			continue
		}
		m := it.from[o.chosen]
		own := m.Op == op.Load && m.Path == it.path || o.parts[0].stored == it.path // or a step that left it as it was
		if own && o.bits > 0 && r.storedPlainly(it.path) {
			packed++
		}
		switch {
		case own && r.renamed(it.path) || !own:
			if nHF++; hf == nil {
				hf = it
			}
		case !it.ownListed && it.listed > 0 || r.renamable(it.path):
			if nMLX++; mlx == nil {
				mlx = it
			}
		}
	}
	quantized := ""
	if packed > 0 {
		quantized = fmt.Sprintf("; %d tensors are quantized by mlx", packed)
	}
	switch {
	case nHF > 0 && nMLX > 0:
		return "mixed", fmt.Sprintf("%d tensors are as in mlx (%s), %d as in hf (for %s)%s", nMLX, mlx.path, nHF, hf.path, quantized)
	case nMLX > 0:
		return MLX, fmt.Sprintf("%s is there as mlx names it%s", mlx.path, quantized)
	case nHF > 0:
		return HF, fmt.Sprintf("%s is there as hf has it%s", hf.path, quantized)
	case packed > 0:
		return MLX, strings.TrimPrefix(quantized, "; ")
	}
	return HF, "both layouts name these tensors alike"
}

func (r *run) storedPlainly(path string) bool {
	i, ok := r.src.Lookup(path)
	return ok && i.DType == tensor.U32
}

// renamable reports that the hf layout has another name for path.
func (r *run) renamable(path string) bool {
	return slices.ContainsFunc(r.renames.near(path), func(k int) bool { return len(path) > len(r.renames.list[k].to) })
}

// renamed reports that path is there under its hf name only.
func (r *run) renamed(path string) bool {
	i, ok := r.stored(path)
	return ok && i.Path != path
}

// renamedPath is what an hf path is called here, "" when nothing renames it.
func (r *run) renamedPath(path string) string {
	for _, k := range r.hfNames.near(path) {
		n := r.hfNames.list[k]
		if mlx, ok := moved(path, n.from, n.to); ok && r.work(1) == nil {
			return mlx
		}
	}
	return ""
}
