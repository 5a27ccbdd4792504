package view

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"wreg/ingest/quantized"
	"wreg/registry"
	"wreg/registry/arch"
	"wreg/registry/arch/op"
	"wreg/registry/method"
	"wreg/registry/tensor"
)

// tally adds up the tensors of a revision.
type tally struct {
	model              *Model
	dtypes, components map[string]*Share
	extent             *extent
	large              Large
}

func (t *tally) count(ctx context.Context, s *registry.Snapshot, v *registry.Revision, res *arch.Resolution) error {
	stands, err := packed(ctx, s, v, res)
	if err != nil {
		return err
	}
	values, files := &Values{}, map[int64]bool{}
	err = eachBlock(ctx, s, v, func(b *rows) error {
		template := b.Template()
		component := share(t.components, kindOf(template))
		at := byLayer(template)
		for i := range b.Len() {
			n, name, size := b.elements(i), b.dtype(i), b.Bytes().At(i)
			if len(stands) > 0 {
				if e, ok := stands[b.Path(i)]; ok {
					n, name = e.n, cmp.Or(e.name, name)
				}
			}
			t.model.Params += n
			t.model.Bytes += size
			component.add(n, size)
			share(t.dtypes, name).add(n, size)
			if b.taken.At(i) != 0 {
				x := b.recorded(i)
				path, floating := "", b.floating(i)
				if x.AbsMax > values.AbsMax || beyondHalf(x.AbsMax) || values.AbsMaxAt == "" {
					path = b.Path(i)
				}
				values.add(&x, floating, b.elements(i), path)
				if floating {
					t.large.Add(path, x.AbsMax)
				}
			}
			files[b.Files().Code().At(i)] = true
		}
		if res == nil {
			t.extent.block(b, at)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if res != nil {
		t.extent.expected(res)
	}
	t.model.Shards = len(files)
	t.model.Layers, t.model.Experts = t.extent.layers(), t.extent.experts
	t.model.DTypes, t.model.Components = sorted(t.dtypes), sorted(t.components)
	if t.model.Params > 0 {
		t.model.Bits = float64(t.model.Bytes) * 8 / float64(t.model.Params)
	}
	if values.Tensors > 0 {
		t.model.Values = values
	}
	return nil
}

// extent is how many layers and experts a model has: as its architecture says, else as
// what is there says.
type extent struct {
	towers  map[string]map[int64]int // tensors of each layer
	experts int64
}

func newExtent() *extent { return &extent{towers: map[string]map[int64]int{}} }

func (e *extent) add(tower string, layer int64) {
	if e.towers[tower] == nil {
		e.towers[tower] = map[int64]int{}
	}
	e.towers[tower][layer]++
}

func (e *extent) stack(template string, shape tensor.Shape) {
	if len(shape) > 2 && kindOf(template) == "experts" && !strings.Contains(template, "shared") {
		e.experts = max(e.experts, shape[0])
	}
}

// block counts the rows of a block.
func (e *extent) block(b *rows, at spot) {
	if at.column >= 0 && at.column < len(b.index) {
		for _, n := range b.index[at.column] {
			e.add(at.tower, n)
		}
	}
	if k := slices.Index(tensor.Placeholders(b.Template()), "expert"); k >= 0 && k < len(b.index) {
		e.experts = max(e.experts, slices.Max(b.index[k])+1)
	} else if all := b.Shapes().Distinct(); len(all) > 0 {
		e.stack(b.Template(), b.Shapes().At(0))
	}
}

// expected counts the tensors that the architecture makes.
func (e *extent) expected(res *arch.Resolution) {
	for _, t := range res.Targets {
		template, index := tensor.SplitPath(t.Path)
		if at := byLayer(template); at.column >= 0 && at.column < len(index) {
			e.add(at.tower, index[at.column])
		}
		e.stack(template, t.Shape)
	}
}

// layers are those of the tower that has most tensors.
func (e *extent) layers() int64 {
	most, layers := 0, 0
	for _, tower := range e.towers {
		n := 0
		for _, tensors := range tower {
			n += tensors
		}
		if n > most || n == most && len(tower) > layers {
			most, layers = n, len(tower)
		}
	}
	return int64(layers)
}

// standsFor is how many numbers a tensor of a packed weight stands for, and what it is
// called; "" is its dtype.
type standsFor struct {
	n    int64
	name string
}

// packed are the tensors that hold codes of a weight, or scales of one.
func packed(ctx context.Context, s *registry.Snapshot, v *registry.Revision, res *arch.Resolution) (map[string]standsFor, error) {
	stands := map[string]standsFor{}
	var list tensor.List // whose names say that they may be parts
	err := eachBlock(ctx, s, v, func(b *rows) error {
		if !mayBePart(b) {
			return nil
		}
		for i := range b.Len() {
			t := tensor.Info{Path: b.Path(i), DType: tensor.DType(b.DTypes().At(i)), Shape: b.Shapes().At(i), Bytes: b.Bytes().At(i)}
			list = append(list, t)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	list.Sort()
	for _, q := range quantized.Find(list, v.Config) {
		n, err := q.Shape.Numel()
		if err != nil {
			continue
		}
		for _, p := range q.Parts {
			stands[p] = standsFor{}
		}
		stands[q.Path] = standsFor{n, fmt.Sprintf("%d-bit", q.Bits)}
	}
	if res != nil {
		read(stands, res)
		err = unread(ctx, s, v, stands, res)
	}
	return stands, err
}

// read are the codes and scales that the architecture reads: a weight that other software
// packed, or stored in fewer bits.
func read(stands map[string]standsFor, res *arch.Resolution) {
	var scales func(n *op.Node)
	scales = func(n *op.Node) {
		for i, in := range n.In {
			if n.Op == op.FP8 && i > 0 {
				in.Sources(func(path string) { stands[path] = standsFor{} })
				continue
			}
			scales(in)
		}
	}
	stored := maps.Clone(stands) // as mlx does, which is known
	for _, t := range res.Targets {
		if t.Make == nil {
			continue
		}
		if t.Packed.Bits == 0 {
			scales(t.Make)
			continue
		}
		var of []string
		t.Make.Sources(func(path string) { of = append(of, path) })
		n, err := t.Make.Shape.Unpacked(t.Packed.Bits).Numel()
		isWeight := strings.HasSuffix(t.Path, "weight")
		for _, path := range of {
			switch _, known := stored[path]; {
			case known:
			case isWeight && err == nil: // of which this may be a slice
				stands[path] = standsFor{stands[path].n + n/int64(len(of)), fmt.Sprintf("%d-bit", t.Packed.Bits)}
			case !isWeight:
				stands[path] = standsFor{}
			}
		}
	}
}

// unread are the parts of weights that no rule reads: the codes stand for the weight that
// is expected, and the others for nothing.
func unread(ctx context.Context, s *registry.Snapshot, v *registry.Revision, stands map[string]standsFor, res *arch.Resolution) error {
	weights := map[string]bool{}
	for _, g := range res.Gaps {
		if g.Method == "" || g.Have == nil || g.Shape == nil {
			continue
		}
		if n, err := g.Shape.Numel(); err == nil {
			stands[g.Have.Path] = standsFor{n: n}
			weights[g.Path] = true
		}
	}
	if len(weights) == 0 {
		return nil
	}
	return eachBlock(ctx, s, v, func(b *rows) error {
		for i := range b.Len() {
			path := b.Path(i)
			if _, known := stands[path]; !known && slices.ContainsFunc(method.Weights(path), func(p method.Part) bool { return weights[p.Weight] }) {
				stands[path] = standsFor{}
			}
		}
		return nil
	})
}

// mayBePart reports a block of words, or of names that only parts of weights have.
func mayBePart(b *rows) bool {
	template := b.Template()
	word := template[strings.LastIndexByte(template, '.')+1:]
	return word == "scales" || word == "biases" || word == "weight" && b.dtype(0) == "u32"
}

// share finds a part by its name.
func share(of map[string]*Share, name string) *Share {
	if of[name] == nil {
		of[name] = &Share{Name: name}
	}
	return of[name]
}

func (s *Share) add(params, bytes int64) {
	s.Tensors++
	s.Params += params
	s.Bytes += bytes
}

// sorted are the parts, the largest first.
func sorted(of map[string]*Share) []Share {
	list := make([]Share, 0, len(of))
	for _, name := range slices.Sorted(maps.Keys(of)) {
		list = append(list, *of[name])
	}
	slices.SortStableFunc(list, func(a, b Share) int { return cmp.Compare(b.Bytes, a.Bytes) })
	return list
}

// add counts a tensor of n elements. How large codes are says nothing of the weights.
func (v *Values) add(s *tensor.Stats, floating bool, n int64, path string) {
	v.Tensors++
	v.NaNs += s.NaNs
	v.Infs += s.Infs
	if !floating {
		return
	}
	if n > 0 && s.Zeros == n {
		v.Zero++
	}
	if s.AbsMax == 0 && s.NaNs+s.Infs == n { // nothing is finite
		return
	}
	if s.AbsMax > v.AbsMax || v.AbsMaxAt == "" {
		v.AbsMax, v.AbsMaxAt = s.AbsMax, path
	}
}

// kinds are the parts of a model by a word of their names, the first that fits.
var kinds = []struct {
	name  string
	words []string
}{
	{"vision", []string{"vision", "visual", "image"}},
	{"audio", []string{"audio", "speech"}},
	{"norms", []string{"norm", "ln_"}},
	{"experts", []string{"expert", "switch_mlp", "switch_glu", "_exps"}},
	{"attention", []string{"attn", "attention", "q_proj", "k_proj", "v_proj", "o_proj"}},
	{"state space", []string{"mamba", "mixer", "ssm"}},
	{"mlp", []string{"mlp", "ffn", "feed_forward", "fc1", "fc2", "up_proj", "down_proj", "gate"}},
	{"convolutions", []string{"conv"}},
	{"embeddings", []string{"embed", "embd", "wte", "wpe", "lm_head", "output", "head"}},
}

// kindOf says which part of a model a template belongs to.
func kindOf(template string) string {
	for _, k := range kinds {
		for seg := range strings.SplitSeq(template, ".") {
			for _, w := range k.words {
				if strings.Contains(seg, w) {
					return k.name
				}
			}
		}
	}
	return "other"
}
