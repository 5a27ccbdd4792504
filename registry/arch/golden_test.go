package arch_test

import (
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"wreg/registry/arch"
	"wreg/registry/arch/op"
	"wreg/registry/tensor"
	"wreg/synth"
)

// source is a checkpoint that is a list.
type source struct {
	list []tensor.Info
	at   map[string]int
}

func newSource(list []tensor.Info) *source {
	s := &source{list: slices.Clone(list), at: map[string]int{}}
	slices.SortFunc(s.list, func(a, b tensor.Info) int { return strings.Compare(a.Path, b.Path) })
	for i, t := range s.list {
		s.at[t.Path] = i
	}
	return s
}

func (s *source) Lookup(path string) (tensor.Info, bool) {
	i, ok := s.at[path]
	if !ok {
		return tensor.Info{}, false
	}
	return s.list[i], true
}

func (s *source) All(yield func(tensor.Info) bool) {
	for _, t := range s.list {
		if !yield(t) {
			return
		}
	}
}

func goldens(t *testing.T) map[string]*synth.Case {
	t.Helper()
	return goldensIn(t, "goldens")
}

func goldensIn(t *testing.T, dir string) map[string]*synth.Case {
	t.Helper()
	files, err := filepath.Glob("testdata/" + dir + "/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal("no goldens", err)
	}
	cases := map[string]*synth.Case{}
	for _, f := range files {
		c, err := synth.Golden(f)
		if err != nil {
			t.Fatal(err)
		}
		cases[strings.TrimSuffix(filepath.Base(f), ".json")] = c
	}
	return cases
}

func resolve(t *testing.T, c *synth.Case, list []tensor.Info) (*arch.Arch, *arch.Config, *arch.Resolution) {
	t.Helper()
	return resolveIn(t, arch.MLX, c, list)
}

func resolveIn(t *testing.T, layout string, c *synth.Case, list []tensor.Info) (*arch.Arch, *arch.Config, *arch.Resolution) {
	t.Helper()
	config, err := arch.ParseConfig(c.Config)
	if err != nil {
		t.Fatal(err)
	}
	a, err := arch.FindIn(layout, config)
	if err != nil {
		t.Fatal(err)
	}
	r, err := a.Resolve(t.Context(), config, newSource(list))
	if err != nil {
		t.Fatal(err)
	}
	return a, config, r
}

// complain lists what stands against a checkpoint, for messages.
func complain(t *testing.T, r *arch.Resolution) {
	t.Helper()
	for i, g := range r.Gaps {
		if i == 6 {
			t.Errorf("… %d gaps in all", len(r.Gaps))
			break
		}
		t.Errorf("gap %s %s %v (%s): %s", g.Status, g.Path, g.Shape, g.Rule, g.Reason)
	}
	if n := len(r.Unused); n > 0 {
		t.Errorf("%d unused: %v", n, r.Unused[:min(n, 8)])
	}
}

// Every golden's source resolves without a gap to exactly what mlx_lm.convert
// made of it, byte for byte; so does its output, which must not change again.
func TestGoldens(t *testing.T) { testGoldens(t, arch.MLX, goldens(t)) }

// The same of mlx_vlm.
func TestGoldensVLM(t *testing.T) {
	cases := goldensIn(t, "goldens-mlx-vlm")
	for name, c := range goldens(t) { // language models
		for i := range c.Variants {
			for k := range c.Variants[i].Tensors {
				c.Variants[i].Tensors[k].Path = "language_model." + c.Variants[i].Tensors[k].Path
			}
		}
		if a := archIn(t, arch.MLXVLM, c); a != nil && a.Name == "text" {
			cases["text/"+name] = c
		}
	}
	for name, c := range cases {
		if archIn(t, arch.MLXVLM, c) == nil || foreignForms[name] {
			delete(cases, name)
		}
	}
	testGoldens(t, arch.MLXVLM, cases)
}

// foreignForms are goldens of mlx_vlm whose sources are stored as no codec reads them, or as
// one reads them otherwise (qwen3_vl-fp8: as bf16, where mlx_vlm makes mxfp8 of the numbers).
var foreignForms = map[string]bool{"qwen3_vl-fp8": true, "qwen3_vl-ct-nvfp4": true, "qwen3_vl-ct-fp8": true, "qwen3_vl-ct-fp8block": true,
	"qwen3_vl-mo-nvfp4": true, "qwen3_vl-mo-fp8": true}

// What is stored in another form is refused, or made floats: never taken for what it is not.
func TestForeignFormsVLM(t *testing.T) {
	cases := goldensIn(t, "goldens-mlx-vlm")
	for name := range foreignForms {
		_, _, r := resolveIn(t, arch.MLXVLM, cases[name], cases[name].Source)
		if name == "qwen3_vl-fp8" {
			complain(t, r)
		} else if len(r.Gaps) == 0 {
			t.Errorf("%s: no gap", name)
		}
	}
}

func archIn(t *testing.T, layout string, c *synth.Case) *arch.Arch {
	t.Helper()
	config, err := arch.ParseConfig(c.Config)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := arch.FindIn(layout, config)
	return a
}

func testGoldens(t *testing.T, layout string, cases map[string]*synth.Case) {
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			a, config, r := resolveIn(t, layout, c, c.Source)
			complain(t, r)
			v := plainVariant(c)
			if v == nil {
				return
			}
			made := compare(t, c, r, v)
			if want, err := a.Expect(t.Context(), config, arch.HF, newSource(c.Source)); err != nil {
				t.Error(err)
			} else {
				same(t, "the hf layout", want, c.Source, r.Drops)
			}
			if gaps, err := a.Against(t.Context(), config, arch.HF, newSource(c.Source)); err != nil || len(gaps) > 0 {
				t.Errorf("against hf: %d gaps, %v", len(gaps), err)
			}
			if t.Failed() {
				return
			}
			_, _, again := resolveIn(t, layout, c, made)
			complain(t, again)
			for _, target := range again.Targets {
				if strings.HasSuffix(name, "baichuan_m1") && strings.HasSuffix(target.Path, "lm_head.weight") {
					continue // nothing tells a normalized head from a raw one: its file says so
				}
				if target.Make == nil || target.Make.Op != op.Load || target.Make.Path != target.Path {
					t.Errorf("an mlx checkpoint must stay as it is, but %s is made by %+v", target.Path, target.Make)
					break
				}
			}
		})
	}
}

func plainVariant(c *synth.Case) *synth.Variant {
	for i := range c.Variants {
		if c.Variants[i].Plain() {
			return &c.Variants[i]
		}
	}
	return nil
}

// compare interprets every target and gives the tensors made.
func compare(t *testing.T, c *synth.Case, r *arch.Resolution, v *synth.Variant) []tensor.Info {
	t.Helper()
	stored := newSource(c.Source)
	load := func(path string) ([]byte, error) {
		i, ok := stored.Lookup(path)
		if !ok {
			return nil, fmt.Errorf("no %s", path)
		}
		b := make([]byte, i.Bytes)
		return b, synth.Fill(b, path, c.Seed, i.DType, 0)
	}
	want := newSource(v.Tensors)
	var made []tensor.Info
	seen := map[string]bool{}
	for _, target := range r.Targets {
		w, ok := want.Lookup(target.Path)
		if !ok {
			t.Errorf("%s %v (%s) is not in mlx_lm's output", target.Path, target.Shape, target.Rule)
			continue
		}
		seen[target.Path] = true
		if target.Make == nil || !target.Shape.Equal(w.Shape) || !target.Make.Shape.Equal(w.Shape) {
			t.Errorf("%s has shape %v, mlx_lm's %v", target.Path, target.Shape, w.Shape)
			continue
		}
		bytes, err := interpret(target.Make, load)
		if err != nil {
			t.Errorf("%s: %v", target.Path, err)
			continue
		}
		dt := target.Make.DType
		if dt.Float() && w.DType.Float() && dt != w.DType && !target.Keep { // torch_dtype's cast
			n, _ := w.Shape.Numel()
			var out []byte
			for i := range int(n) {
				out = put(out, get(bytes, i, dt), w.DType)
			}
			bytes, dt = out, w.DType
		}
		if dt != w.DType {
			t.Errorf("%s is %v, mlx_lm's %v (keep %v)", target.Path, dt, w.DType, target.Keep)
		} else if sha256.Sum256(bytes) != w.Hash {
			t.Errorf("%s: other bytes than mlx_lm's, by %s", target.Path, target.Rule)
		}
		made = append(made, tensor.Info{Path: target.Path, DType: w.DType, Shape: w.Shape, Bytes: w.Bytes})
	}
	for _, w := range v.Tensors {
		if !seen[w.Path] {
			t.Errorf("mlx_lm's %s %v is not among the targets", w.Path, w.Shape)
		}
	}
	return made
}

// same compares the hf layout's expectation with the tensors that are there: each
// expected one is, and each one that is there is expected or dropped.
func same(t *testing.T, what string, want []arch.Want, have []tensor.Info, drops []arch.Drop) {
	t.Helper()
	left := newSource(have)
	accounted := map[string]bool{}
	for _, d := range drops {
		accounted[d.Path] = true
	}
	for _, w := range want {
		i, ok := left.Lookup(w.Path)
		switch {
		case !ok && !w.Optional:
			t.Errorf("%s: %s %v is expected (%s), and not there", what, w.Path, w.Shape, w.Rule)
		case ok && !w.Shape.Equal(i.Shape):
			t.Errorf("%s: %s is expected as %v, is %v (%s)", what, w.Path, w.Shape, i.Shape, w.Rule)
		case ok && w.DType != tensor.Invalid && w.DType != i.DType, ok && w.DType == tensor.Invalid && !i.DType.Float():
			t.Errorf("%s: %s is expected as %v, is %v (%s)", what, w.Path, w.DType, i.DType, w.Rule)
		}
		accounted[w.Path] = true
	}
	for _, i := range have {
		if !accounted[i.Path] {
			t.Errorf("%s: %s %v is not expected", what, i.Path, i.Shape)
		}
	}
}
