package main

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"wreg/export"
	"wreg/query"
	"wreg/registry"
	"wreg/registry/arch"
	"wreg/registry/arch/op"
	"wreg/registry/tensor"
	"wreg/synth"
)

// disagreements are the known numbers of checkpoints, by what was done to them, for
// which gaps and export say different things. They may only fall.
var disagreements = map[string]int64{}

// Export refuses a checkpoint if and only if gaps has rows, and both name the same
// tensors with the same reasons: over every architecture and what can be wrong with
// a checkpoint of it.
func TestGapsAndExportAgree(t *testing.T) {
	goldens, err := filepath.Glob("../../registry/arch/testdata/goldens/*.json")
	if err != nil || len(goldens) < 100 {
		t.Fatalf("%d goldens, %v", len(goldens), err)
	}
	q, err := query.Parse("gaps select path, status, reason")
	if err != nil {
		t.Fatal(err)
	}
	var cases atomic.Int64
	var found sync.Map
	t.Run("architectures", func(t *testing.T) {
		for _, golden := range goldens {
			t.Run(strings.TrimSuffix(filepath.Base(golden), ".json"), func(t *testing.T) {
				t.Parallel()
				c, err := synth.Golden(golden)
				if err != nil {
					t.Fatal(err)
				}
				root := t.TempDir()
				r, err := registry.Open(filepath.Join(root, "registry.db"), registry.Options{})
				if err != nil {
					t.Fatal(err)
				}
				defer r.Close()
				for name, tensors := range damaged(t, c) {
					for i := range tensors { // with hashes, others' names of the same bytes are reasons
						tensors[i].Hash = tensor.Hash{}
					}
					v, err := r.Put(t.Context(), registry.Revision{Model: "m", Root: root, Config: c.Config}, tensors)
					if err != nil {
						t.Fatal(err)
					}
					cases.Add(1)
					err = r.View(func(s *registry.Snapshot) error {
						res, err := q.Run(t.Context(), s, query.Options{Model: v.Ref()})
						if err != nil {
							return err
						}
						if why := disagree(res, refusal(t, s, v, root)); why != "" {
							n, _ := found.LoadOrStore(name, new(atomic.Int64))
							n.(*atomic.Int64).Add(1)
							t.Logf("%s: %s", name, why)
						}
						return nil
					})
					if err != nil {
						t.Errorf("%s: %v", name, err)
					}
				}
			})
		}
	})
	if n := cases.Load(); n < 1000 {
		t.Errorf("%d cases only", n)
	}
	found.Range(func(name, n any) bool {
		if n, known := n.(*atomic.Int64).Load(), disagreements[name.(string)]; n > known {
			t.Errorf("%s: gaps and export disagree on %d checkpoints; %d are known", name, n, known)
		}
		return true
	})
	for name, known := range disagreements {
		if n, ok := found.Load(name); !ok || n.(*atomic.Int64).Load() < known {
			t.Errorf("%s: %d disagreements are known, and fewer are left: lower the number", name, known)
		}
	}
}

// refusal is what export refuses a checkpoint for: reasons by path.
func refusal(t *testing.T, s *registry.Snapshot, v *registry.Revision, root string) map[string]string {
	t.Helper()
	_, err := export.New(t.Context(), s, v, export.Options{Out: filepath.Join(root, "out")})
	refused := map[string]string{}
	var gaps *export.GapError
	switch {
	case errors.As(err, &gaps):
		for _, g := range gaps.Gaps {
			path := g.Path
			if g.Status == arch.Extra {
				path = g.Have.Path
			}
			refused[path] = g.Reason
		}
	case err != nil:
		refused["(export)"] = err.Error()
	}
	return refused
}

// disagree says how an answer differs from what export refused. Unused tensors have
// no reason there, and are not named beside gaps.
func disagree(res *query.Result, refused map[string]string) string {
	rows := map[string]string{}
	for _, row := range res.Rows {
		path, reason := row[0].(string), fmt.Sprint(row[2])
		rows[path] = reason
		said, named := refused[path]
		if !named {
			return fmt.Sprintf("only gaps names %s (%s)", path, reason)
		}
		if said != reason {
			return fmt.Sprintf("%s: gaps says %q, export %q", path, reason, said)
		}
	}
	for path, reason := range refused {
		if _, named := rows[path]; !named {
			return fmt.Sprintf("only export names %s (%s)", path, reason)
		}
	}
	return ""
}

// damaged are checkpoints of an architecture, whole and otherwise.
func damaged(t *testing.T, c *synth.Case) map[string][]tensor.Info {
	t.Helper()
	weight := slices.IndexFunc(c.Source, func(i tensor.Info) bool { return len(i.Shape) > 1 && i.DType.Float() })
	last := len(c.Source) - 1
	edit := func(list []tensor.Info, k int, change func(i *tensor.Info)) []tensor.Info {
		list = slices.Clone(list)
		list[k].Shape = slices.Clone(list[k].Shape)
		change(&list[k])
		list[k].Bytes, _ = list[k].Shape.Bytes(list[k].DType)
		return list
	}
	without := func(list []tensor.Info, gone func(path string) bool) []tensor.Info {
		return slices.DeleteFunc(slices.Clone(list), func(i tensor.Info) bool { return gone(i.Path) })
	}
	add := func(list []tensor.Info, more ...tensor.Info) []tensor.Info {
		return append(slices.Clone(list), more...)
	}
	stray := tensor.Info{Path: "stray.weight", DType: tensor.F32, Shape: tensor.Shape{2}, Bytes: 8}
	template, _ := tensor.SplitPath(c.Source[weight].Path)
	mlx := c.Variants[0].Tensors
	list := map[string][]tensor.Info{
		"whole":           c.Source,
		"one absent":      without(c.Source, func(path string) bool { return path == c.Source[weight].Path }),
		"last absent":     without(c.Source, func(path string) bool { return path == c.Source[last].Path }),
		"template absent": without(c.Source, func(path string) bool { of, _ := tensor.SplitPath(path); return of == template }),
		"half absent":     c.Source[:len(c.Source)/2],
		"int8":            edit(c.Source, weight, func(i *tensor.Info) { i.DType = tensor.I8 }),
		"uint32":          edit(c.Source, last, func(i *tensor.Info) { i.DType = tensor.U32 }),
		"fp8":             edit(c.Source, weight, func(i *tensor.Info) { i.DType = tensor.F8E4M3 }),
		"shape":           edit(c.Source, weight, func(i *tensor.Info) { i.Shape[0]++ }),
		"half":            edit(c.Source, weight, func(i *tensor.Info) { i.Shape[0] /= 2 }),
		"rank":            edit(c.Source, last, func(i *tensor.Info) { i.Shape = append(i.Shape, 1) }),
		"stray":           add(c.Source, stray),
		"stray and hole":  add(without(c.Source, func(path string) bool { return path == c.Source[weight].Path }), stray),
		"mlx":             mlx,
		"mlx, one absent": mlx[1:],
		"mlx, stray":      add(mlx, stray),
	}
	named := func(list []tensor.Info, change func(path string) string) []tensor.Info {
		list = slices.Clone(list)
		for i := range list {
			list[i].Path = change(list[i].Path)
		}
		return list
	}
	compiled := func(path string) string { return "_orig_mod.module." + path }
	list["wrapped"] = named(c.Source, compiled)
	list["wrapped, one absent, stray"] = add(named(list["one absent"], compiled), stray)
	list["bare"] = named(c.Source, func(path string) string { return strings.TrimPrefix(path, "model.") })
	module := strings.TrimSuffix(c.Source[weight].Path, ".weight")
	list["unmerged"] = add(named(c.Source, func(path string) string {
		return "base_model.model." + strings.Replace(path, module+".weight", module+".base_layer.weight", 1)
	}), tensor.Info{Path: "base_model.model." + module + ".lora_A.default.weight", DType: tensor.F32, Shape: tensor.Shape{2, 4}, Bytes: 32})
	for name, parts := range map[string]map[string]tensor.DType{ // beside q_proj.weight, as its software calls them
		"bitsandbytes":       {"weight": tensor.U8, "weight.absmax": tensor.U8, "weight.quant_map": tensor.F32, "weight.quant_state.bitsandbytes__nf4": tensor.U8},
		"compressed-tensors": {"weight_packed": tensor.I32, "weight_scale": tensor.BF16, "weight_zero_point": tensor.I32, "weight_shape": tensor.I64},
		"quanto":             {"weight._data": tensor.I8, "weight._scale": tensor.BF16, "input_scale": tensor.F32},
		"fp8, scales":        {"weight": tensor.F8E5M2, "weight_scale": tensor.F32, "input_scale": tensor.F32},
	} {
		for _, i := range c.Source {
			module, ok := strings.CutSuffix(i.Path, ".weight")
			if !ok || len(i.Shape) != 2 || !i.DType.Float() {
				list[name] = append(list[name], i)
				continue
			}
			for _, part := range slices.Sorted(maps.Keys(parts)) {
				list[name] = append(list[name], tensor.Info{Path: module + "." + part, DType: parts[part], Shape: tensor.Shape{i.Shape[0], 1}, Bytes: i.Shape[0] * 2})
			}
		}
	}
	for _, v := range c.Variants[1:] {
		if len(v.Quantization) > 0 && list["quantized"] == nil {
			list["quantized"] = v.Tensors
			scales := slices.IndexFunc(v.Tensors, func(i tensor.Info) bool { return strings.HasSuffix(i.Path, ".scales") })
			if scales >= 0 {
				list["quantized, no scales"] = without(v.Tensors, func(path string) bool { return path == v.Tensors[scales].Path })
			}
		}
	}
	// Every second tensor as mlx has it, and all of hf's with one of mlx's beside them.
	here := map[string]bool{}
	for _, i := range c.Source {
		here[i.Path] = true
	}
	config, err := arch.ParseConfig(c.Config)
	if err != nil {
		t.Fatal(err)
	}
	a, err := arch.Find(config)
	if err != nil {
		t.Fatal(err)
	}
	res, err := a.Resolve(t.Context(), config, &listSource{c.Source})
	if err != nil {
		t.Fatal(err)
	}
	taken, mixed := map[string]bool{}, []tensor.Info{}
	for k, target := range res.Targets {
		if k%2 > 0 || target.Make == nil || here[target.Path] {
			continue
		}
		made := tensor.Info{Path: target.Path, DType: target.Make.DType, Shape: target.Make.Shape}
		made.Bytes, _ = made.Shape.Bytes(made.DType)
		mixed = append(mixed, made)
		reads(target.Make, taken)
		if list["second copy"] == nil {
			list["second copy"] = add(c.Source, made)
		}
	}
	for k, target := range res.Targets {
		if k%2 > 0 && target.Make != nil { // what others read stays
			kept := map[string]bool{}
			reads(target.Make, kept)
			for path := range kept {
				delete(taken, path)
			}
		}
	}
	if len(mixed) > 0 {
		list["mixed"] = add(without(c.Source, func(path string) bool { return taken[path] }), mixed...)
	}
	return list
}

func reads(n *op.Node, into map[string]bool) {
	if n.Op == op.Load {
		into[n.Path] = true
	}
	for _, in := range n.In {
		reads(in, into)
	}
}

// listSource is a checkpoint that is a list.
type listSource struct{ list []tensor.Info }

func (s *listSource) Lookup(path string) (tensor.Info, bool) {
	k := slices.IndexFunc(s.list, func(i tensor.Info) bool { return i.Path == path })
	if k < 0 {
		return tensor.Info{}, false
	}
	return s.list[k], true
}

func (s *listSource) All(yield func(tensor.Info) bool) {
	sorted := slices.SortedFunc(slices.Values(s.list), func(a, b tensor.Info) int { return strings.Compare(a.Path, b.Path) })
	for _, i := range sorted {
		if !yield(i) {
			return
		}
	}
}
