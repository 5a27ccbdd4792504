package arch_test

import (
	"fmt"
	"runtime/debug"
	"slices"
	"testing"

	"wreg/registry/arch"
	"wreg/registry/tensor"
	"wreg/synth"
)

// breakages damage the tensors of one template: where they lie in the list is at.
var breakages = []struct {
	name   string
	break_ func(list []tensor.Info, at []int) []tensor.Info
}{
	{"all gone", func(list []tensor.Info, at []int) []tensor.Info { return without(list, at) }},
	{"the first gone", func(list []tensor.Info, at []int) []tensor.Info { return without(list, at[:1]) }},
	{"the last gone", func(list []tensor.Info, at []int) []tensor.Info { return without(list, at[len(at)-1:]) }},
	{"all but one gone", func(list []tensor.Info, at []int) []tensor.Info { return without(list, at[1:]) }},
	{"one of another shape", func(list []tensor.Info, at []int) []tensor.Info { return reshaped(list, at[len(at)/2:][:1], 3, 5) }},
	{"all without axes", func(list []tensor.Info, at []int) []tensor.Info { return reshaped(list, at) }},
	{"all shorter rows", func(list []tensor.Info, at []int) []tensor.Info {
		out := slices.Clone(list)
		for _, i := range at {
			if out[i].Shape = slices.Clone(out[i].Shape); len(out[i].Shape) > 0 {
				out[i].Shape[len(out[i].Shape)-1] = 1
			}
		}
		return out
	}},
	{"all empty", func(list []tensor.Info, at []int) []tensor.Info { return reshaped(list, at, 0) }},
	{"one as packed words", func(list []tensor.Info, at []int) []tensor.Info { return retyped(list, at[:1], tensor.U32) }},
	{"all as codes", func(list []tensor.Info, at []int) []tensor.Info { return retyped(list, at, tensor.F8E4M3) }},
	{"one as bytes", func(list []tensor.Info, at []int) []tensor.Info { return retyped(list, at[len(at)-1:], tensor.U8) }},
}

func without(list []tensor.Info, at []int) []tensor.Info {
	out := make([]tensor.Info, 0, len(list))
	for i, t := range list {
		if !slices.Contains(at, i) {
			out = append(out, t)
		}
	}
	return out
}

func reshaped(list []tensor.Info, at []int, dims ...int64) []tensor.Info {
	out := slices.Clone(list)
	for _, i := range at {
		out[i].Shape = dims
	}
	return out
}

func retyped(list []tensor.Info, at []int, dt tensor.DType) []tensor.Info {
	out := slices.Clone(list)
	for _, i := range at {
		out[i].DType = dt
	}
	return out
}

// Whatever is gone or odd in a checkpoint of any architecture, in either layout, is
// judged, and every gap says why. Each template is taken away as a whole; the other damages take turns.
func TestBrokenCheckpoints(t *testing.T) {
	turn := 0
	for _, name := range arch.Names(arch.MLX) {
		text, err := synth.Config(name)
		if err != nil {
			t.Fatal(err)
		}
		config, err := arch.ParseConfig(text)
		if err != nil {
			t.Fatal(name, err)
		}
		a, err := arch.Find(config)
		if err != nil {
			t.Fatal(name, err)
		}
		asHF := map[string]bool{}
		for _, layout := range []string{arch.HF, arch.MLX} {
			list := complete(t, a, config, layout)
			templates := map[string][]int{}
			var order []string
			for i, info := range list {
				template, _ := tensor.SplitPath(info.Path)
				if templates[template] == nil {
					order = append(order, template)
				}
				templates[template] = append(templates[template], i)
			}
			for _, template := range order {
				at := templates[template]
				damages := breakages[:1]
				if layout == arch.MLX && asHF[template] {
					continue // damaged already
				}
				asHF[template] = true
				if turn++; turn%2 == 0 {
					k := 1 + turn/2%(len(breakages)-1)
					damages = append(damages[:1:1], breakages[k])
				}
				for _, b := range damages {
					judge(t, a, config, b.break_(list, at), fmt.Sprintf("%s in %s, %s: %s", name, layout, template, b.name))
				}
			}
		}
	}
}

// The same for checkpoints that hold codes: every damage of every template.
func TestBrokenCodes(t *testing.T) {
	seen := 0
	for name, c := range goldens(t) {
		plain := func(i tensor.Info) bool { return i.DType.Float() && i.DType != tensor.F8E4M3 }
		if !slices.ContainsFunc(c.Source, func(i tensor.Info) bool { return !plain(i) }) {
			continue
		}
		seen++
		a, config, _ := resolve(t, c, c.Source)
		templates := map[string][]int{}
		for i, info := range c.Source {
			template, _ := tensor.SplitPath(info.Path)
			templates[template] = append(templates[template], i)
		}
		for template, at := range templates {
			for _, b := range breakages {
				judge(t, a, config, b.break_(c.Source, at), fmt.Sprintf("%s, %s: %s", name, template, b.name))
			}
		}
	}
	if seen < 5 {
		t.Errorf("only %d goldens hold codes", seen)
	}
}

// complete is a checkpoint that holds all of a layout.
func complete(t *testing.T, a *arch.Arch, config *arch.Config, layout string) []tensor.Info {
	t.Helper()
	want, err := a.Expect(t.Context(), config, layout, nil)
	if err != nil {
		t.Fatal(err)
	}
	list := make([]tensor.Info, len(want))
	for i, w := range want {
		dt := w.DType
		if dt == tensor.Invalid {
			dt = tensor.BF16
		}
		list[i] = tensor.Info{Path: w.Path, DType: dt, Shape: w.Shape}
	}
	return list
}

// judge asks all there is to ask about a checkpoint.
func judge(t *testing.T, a *arch.Arch, config *arch.Config, list []tensor.Info, what string) {
	t.Helper()
	defer func() {
		if p := recover(); p != nil {
			t.Errorf("%s: panic: %v\n%s", what, p, debug.Stack())
		}
	}()
	src := newSource(list)
	explained := func(gaps []arch.Gap, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
		for _, g := range gaps {
			if g.Reason == "" {
				t.Errorf("%s: gap %s %s has no reason", what, g.Status, g.Path)
			}
		}
	}
	r, err := a.Resolve(t.Context(), config, src)
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	explained(r.Gaps, nil)
	for _, target := range r.Targets {
		if target.Make == nil && len(r.Gaps) == 0 {
			t.Errorf("%s: %s is not made, and no gap says so", what, target.Path)
		}
	}
	for _, layout := range []string{arch.HF, arch.MLX} {
		explained(a.Against(t.Context(), config, layout, src))
	}
	if _, err := a.Expect(t.Context(), config, arch.MLX, src); err != nil {
		t.Errorf("%s: %v", what, err)
	}
	back, err := a.Invert(t.Context(), config, src)
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	explained(back.Gaps, nil)
}

// Codes too few for the declared size have no bits each: they are refused, not
// divided by.
func TestTinyCodes(t *testing.T) {
	for _, form := range []string{"tiles", "nvfp4", "mxfp8"} {
		a, err := arch.Parse("x.arch", "arch x\nread **.weight as "+form+"(scale = s)\ntensor a.weight [4, 64]")
		if err != nil {
			t.Fatal(err)
		}
		config, err := arch.ParseConfig([]byte(`{"model_type": "x"}`))
		if err != nil {
			t.Fatal(err)
		}
		for _, columns := range []int64{0, 1, 4} {
			judge(t, a, config, []tensor.Info{
				{Path: "a.weight", DType: tensor.U8, Shape: tensor.Shape{4, columns}},
				{Path: "a.s", DType: tensor.U8, Shape: tensor.Shape{1, 1}},
			}, fmt.Sprintf("%d columns of %s", columns, form))
		}
	}
}
