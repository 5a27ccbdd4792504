package arch

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"wreg/registry/arch/declare"
	"wreg/registry/arch/op"
	"wreg/registry/arch/stray"
	"wreg/registry/method"
	"wreg/registry/tensor"
)

// leftover sorts the source tensors that nothing used into dropped and unused, which are
// gaps.
func (r *match) leftover(res *Resolution, used map[string]bool, outcomes []outcome) {
	r.src.All(func(i tensor.Info) bool {
		if r.Round() != nil {
			return false // Resolve looks too
		}
		if used[i.Path] {
			return true
		}
		if r.Work(int64(len(r.Ignored))) != nil {
			return false
		}
		if d, ok := r.dropped(i.Path); ok {
			res.Drops = append(res.Drops, Drop{Path: i.Path, Because: d.Because, Rule: d.Rule})
			return true
		}
		if len(r.foreign) > 0 && (r.foreign[i.Path[:strings.LastIndexByte(i.Path, '.')+1]] || slices.ContainsFunc(method.Weights(i.Path), func(p method.Part) bool { return r.foreign[p.Weight] })) {
			return true // its weight is a gap
		}
		for _, g := range r.Ignored {
			if strings.HasSuffix(i.Path, g.Suffix) {
				res.Drops = append(res.Drops, Drop{Path: i.Path, Because: "describes a tensor stored as " + g.Read.Kind, Rule: g.Read.Rule})
				return true
			}
		}
		res.Unused = append(res.Unused, i.Path)
		return true
	})
	if len(res.Unused) > 0 {
		res.Gaps = r.strays(res.Gaps, res.Unused, used, r.extras(res.Unused, outcomes))
	}
}

// strays adds the tensors that no rule uses or drops to the gaps. Reasons are known of
// those that resemble an expected one.
func (r *match) strays(gaps []Gap, unused []string, used map[string]bool, reasons map[string]string) []Gap {
	told := map[string]bool{}
	for _, g := range gaps {
		if g.Status == Extra {
			told[g.Have.Path] = true
		}
	}
	for _, path := range unused {
		have, ok := r.src.Lookup(path)
		if !ok || told[path] || r.Work(1) != nil {
			continue
		}
		g := Gap{Status: Extra, Want: Want{Path: path}, Have: &have, Reason: reasons[path]}
		if g.Reason == "" {
			var why string
			if why, g.Remedy = stray.Needed(path, r.src.Lookup, func(path string) bool { return used[path] }); why == "" && stray.Head(path) {
				why, g.Remedy = r.head(path, used)
			}
			g.Reason = "no rule of " + r.Arch.Name + " uses it"
			if training := stray.Training(path); training != "" {
				g.Reason += ": " + training
			}
			if g.Unless = AllowUnused; why != "" {
				g.Reason, g.Unless = why+"; "+g.Reason, ""
			}
		}
		gaps = append(gaps, g)
	}
	r.respelled(gaps)
	return gaps
}

// respelled finds missing tensors that lie there under nearly their names: each beside
// the only stranger that has its numbers, its shape and numbers of its kind.
func (r *match) respelled(gaps []Gap) {
	place := func(index []int64, shape tensor.Shape) string { return fmt.Sprint(index, shape) }
	type name struct {
		template string
		gap      *Gap
	}
	strangers := map[string][]name{}
	for i := range gaps {
		if g := &gaps[i]; g.Unless == AllowUnused {
			template, index := tensor.SplitPath(g.Have.Path)
			at := place(index, g.Have.Shape)
			strangers[at] = append(strangers[at], name{template, g})
		}
	}
	of := map[*Gap][]*Gap{} // both ways
	for i := range gaps {
		g := &gaps[i]
		if g.Status != Missing || g.Shape == nil || len(strangers) == 0 {
			continue
		}
		template, index := tensor.SplitPath(g.Path)
		for _, s := range strangers[place(index, g.Shape)] {
			if r.Work(1) != nil {
				return
			}
			d := s.gap.Have.DType
			if (d == g.DType || g.DType == tensor.Invalid && d.Float()) && stray.Near(template, s.template) {
				of[g], of[s.gap] = append(of[g], s.gap), append(of[s.gap], g)
			}
		}
	}
	for i := range gaps {
		g := &gaps[i]
		if len(of[g]) != 1 || len(of[of[g][0]]) != 1 || g.Status != Missing {
			continue
		}
		s := of[g][0]
		g.Reason = fmt.Sprintf("renamed? %s has its shape and a similar name, and no rule uses it", s.Have.Path)
		g.Remedy = "rename " + s.Have.Path
		s.Reason, s.Unless = fmt.Sprintf("renamed? %s has its shape and a similar name, and is missing", g.Path), ""
	}
}

// head says whether an output head that no rule takes can be left out: it can where it
// is a copy of what is used.
func (r *match) head(path string, used map[string]bool) (why, remedy string) {
	head := r.whole(path)
	switch _, same := r.copies(&head, used); {
	case same:
		return "", ""
	case !head.Hashed():
		return "is an output head, and no hash says that it is a copy of the embedding", "ingest with hashes, or take it out of the checkpoint"
	}
	return "is an output head, and not a copy of a tensor that is used", "to go without it, take it out of the checkpoint"
}

// copies are the used tensors that a head may be a copy of; same says that it is one,
// by the hashes taken at ingest.
func (r *match) copies(head *tensor.Info, used map[string]bool) (of []string, same bool) {
	r.src.All(func(i tensor.Info) bool {
		if used[i.Path] && i.DType == head.DType && i.Shape.Equal(head.Shape) {
			of = append(of, i.Path)
			i = r.whole(i.Path)
			same = same || head.SameBytes(&i)
		}
		return r.Work(1) == nil
	})
	return of, same
}

// whole is what is known of a stored tensor, its hash included.
func (r *match) whole(path string) tensor.Info {
	i, _ := r.src.Lookup(path)
	if d, ok := r.src.(decoded); ok {
		if src, ok := d.Source.(Hashed); ok {
			whole, _ := src.Whole(path)
			return asFloats(whole)
		}
	}
	return i
}

// tied checks the premise of rules that drop a head as tied to the embedding: that the
// bytes are the same, by their hashes. Heads that no hash speaks for are left to who
// reads bytes.
func (r *match) tied(ctx context.Context, c *Config, res *Resolution, used map[string]bool) {
	for i := range res.Drops {
		d := &res.Drops[i]
		if !d.Tied() {
			continue
		}
		head := r.whole(d.Path)
		switch of, same := r.copies(&head, used); {
		case same:
		case !head.Hashed() && len(of) > 0:
			d.Of = of
		default:
			res.Gaps = append(res.Gaps, res.Arch.Untied(ctx, c, r.src, *d))
		}
	}
}

// untie are the keys by which a config.json says that there is no head of its own.
var untie = []string{"tie_word_embeddings", "text_config.tie_word_embeddings", "share_input_output_layers"}

// Untied is the gap of a head that a rule drops as tied to the embedding and that is not
// its copy. What to do about it is tried before it is said.
func (a *Arch) Untied(ctx context.Context, c *Config, src Source, d Drop) Gap {
	head, _ := src.Lookup(d.Path)
	g := Gap{Status: Extra, Want: Want{Path: d.Path}, Have: &head, Remedy: "no setting of config.json makes this architecture keep it",
		Reason: fmt.Sprintf("would be dropped as %s (%s), and its bytes are not those of the embedding: a trained head would be lost", d.Because, d.Rule)}
	for _, key := range untie {
		if a.keeps(ctx, c.Without(key), src, d.Path) {
			g.Remedy = fmt.Sprintf("to keep it, set %s to false in config.json and ingest again", key)
			break
		}
	}
	g.Remedy += "; to go without it, take it out of the checkpoint"
	return g
}

// keeps reports that with a config the tensor is used and nothing is amiss.
func (a *Arch) keeps(ctx context.Context, c *Config, src Source, path string) bool {
	if c == nil {
		return false
	}
	r, err := a.match(ctx, c, src, false)
	if err != nil {
		return false
	}
	res, used, outcomes, err := a.made(r)
	if err != nil {
		return false
	}
	r.leftover(res, used, outcomes)
	return r.Over() == nil && len(res.Gaps) == 0 && !slices.ContainsFunc(res.Drops, func(d Drop) bool { return d.Path == path })
}

// dropped finds the first rule that drops a path, under its own name or renamed.
func (r *match) dropped(path string) (d declare.NameRule, ok bool) {
	first := len(r.Drops.List)
	for _, name := range []string{path, r.renamedPath(path)} {
		if name == "" {
			continue
		}
		r.Drops.Matching(&r.Budget, name, func(k int, _ declare.NameRule) bool {
			first = min(first, k)
			return true
		})
	}
	if first == len(r.Drops.List) {
		return d, false
	}
	return r.Drops.List[first], true
}

// extras explains unused tensors that resemble an expected one: an index beyond the
// config's, a second copy.
func (r *match) extras(unused []string, outcomes []outcome) map[string]string {
	most := map[string][]int64{}          // template of hf tensors → the highest index of each number
	other := map[string]*declare.Output{} // inputs of ways not taken → what they would make
	for i, it := range r.Outputs {
		for k, m := range it.From {
			m.Loads(func(path string) {
				path = r.hfName(path)
				template, index := tensor.SplitPath(path)
				top := most[template]
				if top == nil {
					top = slices.Clone(index)
				}
				for j, n := range index {
					top[j] = max(top[j], n)
				}
				most[template] = top
				if k != outcomes[i].chosen && outcomes[i].chosen >= 0 {
					other[path] = it
				}
			})
		}
	}
	reasons := map[string]string{}
	for _, path := range unused {
		template, index := tensor.SplitPath(path)
		if it := other[path]; it != nil {
			reasons[path] = fmt.Sprintf("a second copy: %s is there already, in another form", it.Path)
		} else if top := most[template]; top != nil {
			names := tensor.Placeholders(template)
			for k, n := range index {
				if n > top[k] {
					reasons[path] = fmt.Sprintf("%s %d: config.json has %d, numbered from 0", strings.TrimPrefix(names[k], "n"), n, top[k]+1)
				}
			}
		}
	}
	return reasons
}

// doubles finds f64, which mlx does not have, where config.json casts it to nothing or
// the consumer keeps it.
func (r *match) doubles(res *Resolution) {
	name, ok := r.Key("torch_dtype")
	if _, text := name.Text(); !ok || !text {
		name, _ = r.Key("text_config.dtype")
	}
	text, _ := name.Text()
	for _, t := range res.Targets {
		if t.Make == nil || t.Make.DType != tensor.F64 {
			continue
		}
		computed := computes(t.Make)
		if !t.Keep && !computed && tensor.TorchFloat(text) != tensor.Invalid {
			continue
		}
		g := Gap{Status: Changed, Want: t.Want, Reason: "f64 does not exist in mlx, and config.json does not say what to cast to", Remedy: "give --dtype", Unless: CastTo}
		switch {
		case computed:
			g.Reason, g.Remedy, g.Unless = "f64 is not computed with, and what mlx has is computed from it", "store it as f32 and ingest again", ToHF
		case t.Keep:
			g.Reason, g.Remedy, g.Unless = "f64 does not exist in mlx, and mlx_lm keeps this tensor as it is", "store it as f32 and ingest again", ToHF
		}
		t.Make.Sources(func(path string) {
			if i, _ := r.src.Lookup(path); g.Have == nil && i.DType == tensor.F64 {
				g.Have = &i
			}
		})
		if t.Make.Op == op.Load {
			g.Path = t.Make.Path
		}
		res.Gaps = append(res.Gaps, g)
	}
}

// computes reports that a tree does more than move numbers.
func computes(n *op.Node) bool { return n.Op.Rounds() || slices.ContainsFunc(n.In, computes) }

// unsaid finds weights in codes that config.json has no block for: by that alone mlx_lm
// loads them. What ModelOpt packs may have its block in a file beside config.json.
func (r *match) unsaid(res *Resolution) {
	scales := map[string]tensor.DType{}
	for _, t := range res.Targets {
		if module, ok := strings.CutSuffix(t.Path, ".scales"); ok && t.Make != nil {
			scales[module] = t.Make.DType
		}
	}
	lacks, there := r.Unspoken()
	if lacks == "" {
		r.misread(res, scales)
		return
	}
	first, block, where, told := len(res.Gaps), "", " to config.json", map[string]bool{}
	for _, t := range res.Targets {
		module, isWeight := strings.CutSuffix(t.Path, ".weight")
		if dtype, ok := scales[module]; ok && isWeight && t.Packed.Bits > 0 {
			var have tensor.Info
			t.Make.Sources(func(path string) { have, _ = r.src.Lookup(path) })
			if have.DType != tensor.U32 && have.DType != tensor.I32 && strings.HasSuffix(have.Path, ".weight") {
				continue // as ModelOpt stores it
			}
			text := fmt.Sprintf(`add "quantization": {"group_size": %d, "bits": %d, "mode": %q}`, t.Packed.GroupSize, t.Packed.Bits, tensor.PackingMode(t.Packed.Bits, t.Packed.GroupSize, dtype))
			if there { // any will do: mlx_lm asks the shapes, not these
				text, where = fmt.Sprintf(`put "group_size": %d, "bits": %d into "quantization"`, t.Packed.GroupSize, t.Packed.Bits), " of config.json"
			}
			if block == "" {
				block = text
			} else if block != text && !there {
				block = "add the block with which it was quantized, as modules differ"
			}
			if told[have.Path] { // halves of it are two tensors
				continue
			}
			told[have.Path] = true
			res.Gaps = append(res.Gaps, Gap{Status: Changed, Want: Want{Path: have.Path, Shape: t.Shape, Rule: t.Rule}, Have: &have, Unless: Dequantize,
				Reason: fmt.Sprintf("stored in %d-bit codes, and %s, without which mlx_lm refuses them", t.Packed.Bits, lacks)})
		}
	}
	for i := first; i < len(res.Gaps); i++ {
		res.Gaps[i].Remedy = block + where + " and ingest again, or export with -d"
	}
}

// misread finds weights that config.json's quantization says something else of, by the name
// of their module, than what is stored.
func (r *match) misread(res *Resolution, scales map[string]tensor.DType) {
	if len(scales) == 0 {
		return // a block over floats alone is left out
	}
	for _, t := range res.Targets {
		module, isWeight := strings.CutSuffix(t.Path, ".weight")
		dtype, coded := scales[module]
		if !isWeight || t.Make == nil || coded != (t.Packed.Bits > 0) || !coded && !t.Quant.Eligible {
			continue
		}
		stored, is := tensor.Packing{}, "floats"
		if coded {
			stored = tensor.Packing{Mode: tensor.PackingMode(t.Packed.Bits, t.Packed.GroupSize, dtype), Bits: t.Packed.Bits, Group: t.Packed.GroupSize}
			is = stored.String()
		}
		says := r.Misread(module, stored)
		if says == "" {
			continue
		}
		g := Gap{Status: Changed, Want: Want{Path: t.Path, Shape: t.Shape, Rule: t.Rule}, Unless: Dequantize,
			Reason: fmt.Sprintf("stored as %s, and quantization of config.json says of this module: %s; mlx_lm believes that", is, says)}
		t.Make.Sources(func(path string) {
			if have, ok := r.src.Lookup(path); ok && g.Have == nil {
				g.Have, g.Path = &have, have.Path
			}
		})
		g.Remedy = "take the module's entry out of the block, as mlx_lm then asks the shapes, and ingest again"
		if !coded {
			g.Remedy = "set the module's entry to false, and ingest again"
		}
		res.Gaps = append(res.Gaps, g)
	}
}
