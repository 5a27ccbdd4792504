package arch

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"wreg/registry/arch/declare"
	"wreg/registry/arch/op"
	"wreg/registry/tensor"
)

// Resolve matches a checkpoint with the architecture. Gaps and Unused are data, not
// errors; an error means that the config cannot be evaluated (a missing key, a refused
// combination) and names the rule, key and line, or that a budget or ctx is exhausted.
func (a *Arch) Resolve(ctx context.Context, c *Config, src Source) (*Resolution, error) {
	r, err := a.match(ctx, c, src, false)
	if err != nil {
		return nil, err
	}
	res, used, outcomes, err := a.made(r)
	if err != nil {
		return nil, err
	}
	lacking := -r.outside
	for _, t := range res.Targets {
		if t.Make == nil {
			lacking++
		}
	}
	if gaps, err := r.wrapped(lacking, a.onPaper(ctx, c)); gaps != nil || err != nil {
		res.Gaps = gaps
		return res, err
	}
	r.leftover(res, used, outcomes)
	r.unmerged(res)
	shares(res)
	r.tied(ctx, c, res, used)
	r.unsaid(res)
	r.doubles(res)
	return res, r.Over()
}

// made is Resolve without a look at what nothing is made of; used are the tensors that
// something is made of.
func (a *Arch) made(r *match) (res *Resolution, used map[string]bool, outcomes []outcome, err error) {
	res, used = &Resolution{Arch: a}, map[string]bool{}
	outcomes, err = r.chooseAll(func(o *outcome) {
		for _, p := range o.parts {
			n := p.node()
			n.Sources(func(path string) { used[path] = true })
			o.nodes = append(o.nodes, n)
		}
	})
	if err != nil {
		return nil, nil, nil, err
	}
	res.Layout, res.Why = r.layout(outcomes)
	if res.Gaps, err = r.gaps(outcomes, res.Layout, used); err != nil {
		return nil, nil, nil, err
	}
	for i, it := range r.Outputs {
		if o := &outcomes[i]; o.chosen >= 0 || lacking(it, o) {
			res.Targets = append(res.Targets, r.targets(it, o)...)
		}
	}
	return res, used, outcomes, r.Over()
}

// Lacks lists what is missing, changed or present twice, as Resolve does, but sooner:
// what makes the tensors is not built, and unused tensors are not looked for, so that
// none is reported as a missing one under another name.
func (a *Arch) Lacks(ctx context.Context, c *Config, src Source) ([]Gap, error) {
	r, err := a.match(ctx, c, src, false)
	if err != nil {
		return nil, err
	}
	outcomes, err := r.chooseAll(func(*outcome) {})
	if err != nil {
		return nil, err
	}
	layout, _ := r.layout(outcomes)
	gaps, err := r.gaps(outcomes, layout, map[string]bool{})
	return gaps, cmp.Or(err, r.Over())
}

// chooseAll chooses how to make every output; visit gets each outcome.
func (r *match) chooseAll(visit func(o *outcome)) ([]outcome, error) {
	outcomes := make([]outcome, len(r.Outputs))
	for i, it := range r.Outputs {
		if err := r.Round(); err != nil {
			return nil, err
		}
		outcomes[i] = r.choose(it)
		visit(&outcomes[i])
	}
	return outcomes, nil
}

// lacking reports an output that nothing makes and that cannot be left out.
func lacking(it *declare.Output, o *outcome) bool {
	return o.chosen < 0 && !(it.Optional && !anyPresent(o.shortfalls))
}

// gaps explains the outputs that are lacking or there twice. What is there of the
// former is marked as used: the gap accounts for it.
func (r *match) gaps(outcomes []outcome, layout string, used map[string]bool) (gaps []Gap, err error) {
	seen := map[string]bool{}
	mlx := make(map[string]bool, len(r.Outputs))
	for _, it := range r.Outputs {
		mlx[it.Path] = true
	}
	for i, it := range r.Outputs {
		if err := r.Round(); err != nil {
			return nil, err
		}
		o := &outcomes[i]
		if g := r.doubled(it, o, mlx); g != nil && !seen[g.Have.Path] {
			seen[g.Have.Path] = true
			gaps = append(gaps, *g)
		}
		if !lacking(it, o) {
			continue
		}
		lacks, m := r.gapsOf(it, o, layout)
		if slices.ContainsFunc(lacks, func(g Gap) bool { return g.Method != "" }) {
			r.outside++
		}
		m.Loads(func(path string) { r.account(path, used) })
		for _, g := range lacks {
			if !seen[g.Path] {
				seen[g.Path] = true
				gaps = append(gaps, g)
			}
		}
	}
	return gaps, nil
}

// account marks what is stored of a tensor as used, with the parts of its packing.
func (r *match) account(path string, used map[string]bool) {
	mark := func(i tensor.Info, ok bool) {
		if ok {
			used[i.Path] = true
		}
	}
	i, ok := r.stored(path)
	mark(i, ok)
	if ok && i.DType == tensor.U32 {
		mark(r.stored(sibling(path, "scales")))
		mark(r.stored(sibling(path, "biases")))
	}
	r.Reads.Matching(&r.Budget, path, func(_ int, c *declare.Read) bool {
		for role := range c.Parts {
			mark(r.role(c, path, role))
		}
		return false
	})
}

// targets lists what an output becomes: one tensor, or the parts of a packed one.
func (r *match) targets(it *declare.Output, o *outcome) []Target {
	t := Target{Want: wantOf(it), Keep: r.keeps(it.Path), Quant: r.quantRule(it)}
	if o.chosen < 0 {
		return []Target{t}
	}
	if o.bits == 0 {
		t.Make = r.cast(o.nodes[0])
		return []Target{t}
	}
	base := strings.TrimSuffix(it.Path, "weight")
	out := make([]Target, len(o.parts))
	for i, p := range o.parts {
		out[i] = t
		out[i].Path, out[i].Shape, out[i].DType, out[i].Make = base+p.suffix, p.Shape, p.DType, o.nodes[i]
		out[i].Quant = QuantRule{}
		out[i].Packed = Packed{Bits: o.bits, GroupSize: o.group}
		if base == it.Path { // packed, but not a weight: its parts go by its own name
			out[i].Path = it.Path + "." + p.suffix
		}
	}
	return out
}

// keeps reports that a tensor is exempt from the cast; the last rule that matches counts.
func (r *match) keeps(path string) (kept bool) {
	r.Keeps.Matching(&r.Budget, path, func(_ int, n declare.NameRule) bool {
		kept = !n.Cast
		return false
	})
	return kept
}

// quantRule says what -q does to a weight; the last rule that matches counts.
func (r *match) quantRule(it *declare.Output) QuantRule {
	module, isWeight := strings.CutSuffix(it.Path, ".weight")
	if !isWeight || len(it.Shape) < 2 || it.DType != tensor.Invalid {
		return QuantRule{}
	}
	q := QuantRule{Eligible: true}
	r.Quants.Matching(&r.Budget, module, func(_ int, n declare.NameRule) bool {
		switch {
		case n.Never:
			q = QuantRule{}
		case n.No:
			q = QuantRule{Eligible: true, Never: true}
		default:
			q = QuantRule{Eligible: true, Bits: n.Bits, GroupSize: n.Group, Mode: n.Mode}
		}
		return n.Never
	})
	return q
}

// layout distinguishes hf from mlx by the tensors that they name differently.
func (r *match) layout(outcomes []outcome) (layout, why string) {
	var hf, mlx *declare.Output
	var nHF, nMLX, packed int
	for i, it := range r.Outputs {
		o := &outcomes[i]
		if o.chosen < 0 {
			continue
		}
		m := it.From[o.chosen]
		own := m.Op == op.Load && m.Path == it.Path || o.parts[0].stored == it.Path // or a step that left it as it was
		if own && o.bits > 0 && r.storedPlainly(it.Path) {
			packed++
		}
		switch {
		case own && r.renamed(it.Path) || !own:
			if nHF++; hf == nil {
				hf = it
			}
		case !it.OwnListed && it.Listed > 0 || r.renamable(it.Path):
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
		return "mixed", fmt.Sprintf("%d tensors are as in %s (%s), %d as in hf (for %s)%s", nMLX, r.Arch.Layout, mlx.Path, nHF, hf.Path, quantized)
	case nMLX > 0:
		return r.Arch.Layout, fmt.Sprintf("%s has the name that %s gives it%s", mlx.Path, r.Arch.Layout, quantized)
	case nHF > 0:
		return HF, fmt.Sprintf("%s is stored as hf has it%s", hf.Path, quantized)
	case packed > 0:
		return r.Arch.Layout, strings.TrimPrefix(quantized, "; ")
	}
	return HF, "both layouts have the same names for these tensors"
}

func (r *match) storedPlainly(path string) bool {
	i, ok := r.src.Lookup(path)
	return ok && i.DType == tensor.U32
}
