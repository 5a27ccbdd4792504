package view

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"wreg/export"
	"wreg/query"
	"wreg/registry"
	"wreg/registry/arch"
	"wreg/registry/tensor"
	"wreg/synth"
	"wreg/view/words"
)

const goldens = "../registry/arch/testdata/goldens/"

// golden is the checkpoint that a golden was made of.
func golden(t testing.TB, name string) (config []byte, list []tensor.Info) {
	t.Helper()
	c, err := synth.Golden(goldens + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	return c.Config, c.Source
}

// without is a list without the tensors whose paths have a part.
func without(list []tensor.Info, part string) []tensor.Info {
	return slices.DeleteFunc(slices.Clone(list), func(t tensor.Info) bool { return strings.Contains(t.Path, part) })
}

// with runs fn on a registry that holds one model, m.
func with(t testing.TB, config []byte, list []tensor.Info, fn func(s *registry.Snapshot, v *registry.Revision)) {
	t.Helper()
	r, err := registry.Open(filepath.Join(t.TempDir(), "registry.db"), registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	v, err := r.Put(context.Background(), registry.Revision{Model: "m", Root: t.TempDir(), Config: config}, list)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.View(func(s *registry.Snapshot) error { fn(s, v); return nil }); err != nil {
		t.Fatal(err)
	}
}

// asked counts the gaps that a query lists by status.
func asked(t testing.TB, s *registry.Snapshot) (missing, changed, extra int64) {
	t.Helper()
	q, err := query.Parse("gaps in m select status")
	if err != nil {
		t.Fatal(err)
	}
	res, err := q.Run(t.Context(), s, query.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range res.Rows {
		switch row[0] {
		case arch.Missing:
			missing++
		case arch.Changed:
			changed++
		case arch.Extra:
			extra++
		}
	}
	return missing, changed, extra
}

// summed adds the cells of a map up.
func summed(m *Map) (sum Cell) {
	for _, r := range m.Rows {
		cells := r.Cells
		if r.Outside != nil {
			cells = append(slices.Clone(cells), *r.Outside)
		}
		for _, c := range cells {
			sum.Expected += c.Expected
			sum.Missing += c.Missing
			sum.Changed += c.Changed
			sum.Extra += c.Extra
			sum.Tensors += c.Tensors
			sum.Bytes += c.Bytes
		}
	}
	return sum
}

// Of every architecture the map of a whole checkpoint has nothing missing, and where a
// tensor is lost, the map and the query count the same, of the same layer.
func TestMapCountsWhatGapsLists(t *testing.T) {
	files, err := filepath.Glob(goldens + "*.json")
	if err != nil || len(files) < 100 {
		t.Fatalf("%d goldens, %v", len(files), err)
	}
	for k, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config, list := golden(t, name)
			with(t, config, list, func(s *registry.Snapshot, v *registry.Revision) {
				m, err := Coverage(t.Context(), s, v, nil)
				if err != nil {
					t.Fatal(err)
				}
				sum := summed(m)
				if m.Gaps != 0 || sum.Missing+sum.Changed+sum.Extra != 0 || sum.Tensors != int64(len(list)) || sum.Expected > sum.Tensors || sum.Expected != m.Total.Expected {
					t.Errorf("whole: %d gaps, %+v of %d tensors", m.Gaps, sum, len(list))
				}
				if n := m.hf(t, s, v); sum.Expected != n {
					t.Errorf("the map expects %d, the hf layout %d", sum.Expected, n)
				}
				planned(t, s, v)
			})
			if k%4 > 0 { // the tests of the command line damage all
				return
			}
			gone := list[(k*7)%len(list)].Path
			with(t, config, without(list, gone), func(s *registry.Snapshot, v *registry.Revision) {
				missing, changed, extra := asked(t, s)
				m, err := Coverage(t.Context(), s, v, nil)
				if err != nil {
					t.Fatal(err)
				}
				sum := summed(m)
				o, err := Of(t.Context(), s, v, nil)
				if err != nil {
					t.Fatal(err)
				}
				if x := o.Verdict; x.Expected != sum.Expected || x.Missing != sum.Missing || x.Changed != sum.Changed || x.Extra != sum.Extra {
					t.Errorf("without %s: the verdict has %+v, the map %+v", gone, x, sum)
				}
				if sum.Missing != missing || sum.Changed != changed || sum.Extra != extra || m.Gaps != missing+changed+extra {
					t.Errorf("without %s: the map has %+v, gaps %d missing, %d changed, %d extra", gone, sum, missing, changed, extra)
				}
			})
		})
	}
}

// planned holds what is said of an export against the plans of two.
func planned(t *testing.T, s *registry.Snapshot, v *registry.Revision) {
	t.Helper()
	m, err := Of(t.Context(), s, v, nil)
	if err != nil {
		t.Fatal(err)
	}
	o := export.Options{Out: filepath.Join(t.TempDir(), "out")}
	p, err := export.New(t.Context(), s, v, o)
	if err != nil {
		if !strings.HasPrefix(m.Verdict.Export, "refused: ") {
			t.Errorf("export says %v, the verdict %q", err, m.Verdict.Export)
		}
		return
	}
	if want := fmt.Sprintf("%s, %s", tensor.Count(len(p.Tensors), "tensor"), words.Size(p.TotalSize)); m.Verdict.Export != want {
		t.Errorf("the plan is %s, the verdict says %s", want, m.Verdict.Export)
	}
	o.Quantize = &export.Quantize{}
	p, err = export.New(t.Context(), s, v, o)
	switch q := m.Quantized; {
	case err != nil:
		t.Error(err)
	case q == nil:
		res, err := query.Resolve(t.Context(), s, v, nil)
		if err != nil {
			t.Fatal(err)
		}
		if p.TotalSize < m.Bytes && !slices.ContainsFunc(res.Targets, func(t arch.Target) bool { return t.Packed.Bits > 0 }) {
			t.Errorf("no estimate, and -q makes %d of %d bytes", p.TotalSize, m.Bytes)
		}
	case q.Bytes != p.TotalSize || math.Abs(q.Bits-p.BitsPerWeight()) > 1e-9:
		t.Errorf("at 4 bits %+v, the plan has %d bytes, %g bits", q, p.TotalSize, p.BitsPerWeight())
	}
}

// hf counts what the hf layout must hold and the checkpoint has.
func (m *Map) hf(t *testing.T, s *registry.Snapshot, v *registry.Revision) (n int64) {
	res, err := query.Resolve(t.Context(), s, v, nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := arch.ParseConfig(v.Config)
	if err != nil {
		t.Fatal(err)
	}
	var list tensor.List
	for i, err := range s.Tensors(t.Context(), v) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, i)
	}
	list.Sort()
	wants, err := res.Arch.Expect(t.Context(), c, arch.HF, list)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range wants {
		if _, ok := list.Lookup(w.Path); ok {
			n++
		}
	}
	return n
}

// A lost expert is a missing tensor of its layer; a dense layer of a model with experts
// lacks nothing.
func TestLostExpert(t *testing.T) {
	config, list := golden(t, "hunyuan")
	with(t, config, without(list, "layers.3.mlp.experts.2.up_proj"), func(s *registry.Snapshot, v *registry.Revision) {
		m, err := Coverage(t.Context(), s, v, nil)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(m.Rows, func(r Row) bool { return r.Component == "mlp.experts" })
		if i < 0 {
			t.Fatalf("no experts among %+v", m.Rows)
		}
		for k, c := range m.Rows[i].Cells {
			want := Cell{Expected: 12, Tensors: 12}
			if m.Layers[k] == 3 {
				want = Cell{Expected: 12, Missing: 1, Tensors: 11}
			}
			if c.Expected != want.Expected || c.Missing != want.Missing || c.Tensors != want.Tensors {
				t.Errorf("layer %d: %+v, want %+v", m.Layers[k], c, want)
			}
		}
		e, err := Experts(t.Context(), s, v, nil, 3)
		if err != nil {
			t.Fatal(err)
		}
		if len(e.Layers) != 4 || e.By != ByExpert || e.Total.Missing != 1 || e.Total.Expected != 12 {
			t.Errorf("by expert: %+v", e)
		}
		for _, r := range e.Rows {
			if r.Cells[2].Missing != map[bool]int64{true: 1}[r.Component == "mlp.experts.up_proj"] {
				t.Errorf("by expert: %+v", r)
			}
		}
		if _, err := Experts(t.Context(), s, v, nil, 77); err == nil || !strings.Contains(err.Error(), "layer 77") {
			t.Errorf("layer 77: %v", err)
		}
	})
	config, list = golden(t, "deepseek_v3")
	with(t, config, list, func(s *registry.Snapshot, v *registry.Revision) {
		m, err := Coverage(t.Context(), s, v, nil)
		if err != nil {
			t.Fatal(err)
		}
		dense := 0
		for _, r := range m.Rows {
			for _, c := range r.Cells {
				if c.Missing > 0 {
					t.Errorf("%s: %+v", r.Component, c)
				}
				if r.Component == "mlp.experts" && c.Expected == 0 {
					dense++
				}
			}
		}
		if dense == 0 {
			t.Error("no dense layer")
		}
	})
}

// What a model is, at a glance.
func TestOf(t *testing.T) {
	config, list := golden(t, "hunyuan")
	list = slices.Clone(list)
	for i := range list {
		list[i].Stats = &tensor.Stats{Min: -1, Max: 1, AbsMax: 1}
	}
	list[4].Stats = &tensor.Stats{Min: -3, Max: 2, AbsMax: 3, NaNs: 2, Infs: 1}
	with(t, config, list, func(s *registry.Snapshot, v *registry.Revision) {
		m, err := Of(t.Context(), s, v, nil)
		if err != nil {
			t.Fatal(err)
		}
		var params, bytes int64
		for _, i := range list {
			n, _ := i.Shape.Numel()
			params, bytes = params+n, bytes+i.Bytes
		}
		if m.Arch != "hunyuan" || m.Layout != arch.HF || m.Layers != 4 || m.Experts != 4 || m.Params != params || m.Bytes != bytes || m.Tensors != int64(len(list)) {
			t.Errorf("%+v", m)
		}
		if x := m.Values; x == nil || x.NaNs != 2 || x.Infs != 1 || x.AbsMax != 3 || x.AbsMaxAt != list[4].Path || x.Tensors != int64(len(list)) {
			t.Errorf("%+v", x)
		}
		if m.Verdict.State != Whole || m.Verdict.Gaps != 0 || m.Verdict.Export == "" || m.Quantized == nil || m.Quantized.Bytes >= m.Bytes {
			t.Errorf("%+v, at 4 bits %+v", m.Verdict, m.Quantized)
		}
		var sum Share
		for _, c := range m.Components {
			sum.Tensors, sum.Params, sum.Bytes = sum.Tensors+c.Tensors, sum.Params+c.Params, sum.Bytes+c.Bytes
		}
		if sum.Tensors != m.Tensors || sum.Params != params || sum.Bytes != bytes || m.Components[0].Name != "experts" {
			t.Errorf("components %+v", m.Components)
		}
	})
	with(t, config, without(list, "experts.2.up_proj"), func(s *registry.Snapshot, v *registry.Revision) {
		m, err := Of(t.Context(), s, v, nil)
		if err != nil {
			t.Fatal(err)
		}
		if m.Verdict.State != Gapped || m.Verdict.Gaps != 4 || len(m.Verdict.Lines) != 1 || m.Verdict.Lines[0].Tensors != 4 || m.Quantized != nil || m.Layers != 4 {
			t.Errorf("%+v", m)
		}
	})
	with(t, nil, list, func(s *registry.Snapshot, v *registry.Revision) {
		m, err := Of(t.Context(), s, v, nil)
		if err != nil || m.Verdict.State != Unknown || !strings.Contains(m.Problem, "config.json") || m.Layers != 4 || m.Experts != 4 {
			t.Errorf("%+v, %v", m, err)
		}
	})
}

// A packed weight counts the numbers that it stands for, whoever packed it.
func TestParametersOfPackedWeights(t *testing.T) {
	for _, name := range []string{"llama", "hunyuan", "qwen3_moe", "deepseek_v3"} {
		c, err := synth.Golden(goldens + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		var plain int64
		for _, x := range c.Variants[0].Tensors {
			n, _ := x.Shape.Numel()
			plain += n
		}
		for _, variant := range c.Variants {
			list := slices.Clone(variant.Tensors)
			if !slices.ContainsFunc(list, func(i tensor.Info) bool { return i.DType == tensor.U32 }) {
				continue
			}
			for i := range list {
				list[i].Bytes, _ = list[i].Shape.Bytes(list[i].DType)
			}
			with(t, c.Config, list, func(s *registry.Snapshot, v *registry.Revision) {
				m, err := Of(t.Context(), s, v, nil)
				if err != nil {
					t.Fatal(err)
				}
				if m.Params != plain {
					t.Errorf("%s, %s: %d parameters, want %d (%+v)", name, fmt.Sprint(variant), m.Params, plain, m.DTypes)
				}
			})
		}
	}
}

// So do those that other software stored, be they read or not.
func TestParametersOfForeignWeights(t *testing.T) {
	for _, name := range []string{"deepseek_v3-fp8", "deepseek_v3-int4", "minimax_m2-fp8", "qwen2-awq", "gpt_oss"} {
		config, list := golden(t, name)
		with(t, config, list, func(s *registry.Snapshot, v *registry.Revision) {
			res, err := query.Resolve(t.Context(), s, v, nil)
			if err != nil {
				t.Fatal(err)
			}
			var want int64
			for _, x := range res.Targets {
				n, _ := x.Make.Shape.Numel()
				switch {
				case x.Packed.Bits == 0:
					want += n
				case strings.HasSuffix(x.Path, ".weight"):
					want += n * 32 / int64(x.Packed.Bits)
				}
			}
			left := map[string]bool{}
			for _, d := range res.Drops {
				left[d.Path] = true
			}
			for _, x := range list {
				if n, _ := x.Shape.Numel(); left[x.Path] {
					want += n
				}
			}
			m, err := Of(t.Context(), s, v, nil)
			if err != nil || m.Params != want {
				t.Errorf("%s: %d parameters, want %d, %v", name, m.Params, want, err)
			}
		})
	}
	config, list := golden(t, "llama")
	list = slices.Clone(list)
	var want int64
	for i := range list {
		x := &list[i]
		n, _ := x.Shape.Numel()
		if want += n; strings.HasSuffix(x.Path, "q_proj.weight") { // bitsandbytes, two a byte
			x.DType, x.Shape, x.Bytes = tensor.U8, tensor.Shape{n / 2, 1}, n/2
			list = append(list, tensor.Info{Path: x.Path + ".absmax", DType: tensor.F32, Shape: tensor.Shape{n / 64}, Bytes: n / 16},
				tensor.Info{Path: x.Path + ".quant_map", DType: tensor.F32, Shape: tensor.Shape{16}, Bytes: 64},
				tensor.Info{Path: x.Path + ".quant_state.bitsandbytes__nf4", DType: tensor.U8, Shape: tensor.Shape{80}, Bytes: 80})
		}
	}
	with(t, config, list, func(s *registry.Snapshot, v *registry.Revision) {
		if m, err := Of(t.Context(), s, v, nil); err != nil || m.Params != want || m.Verdict.Changed != 2 {
			t.Errorf("nf4: %d parameters, want %d; %+v, %v", m.Params, want, m.Verdict, err)
		}
	})
}

// Without an architecture the map has what is there, and expects nothing.
func TestPresent(t *testing.T) {
	config, list := golden(t, "llama")
	var known, present *Map
	with(t, config, list, func(s *registry.Snapshot, v *registry.Revision) {
		var err error
		if known, err = Coverage(t.Context(), s, v, nil); err != nil {
			t.Fatal(err)
		}
	})
	with(t, nil, list, func(s *registry.Snapshot, v *registry.Revision) {
		var err error
		if present, err = Present(t.Context(), s, v); err != nil {
			t.Fatal(err)
		}
	})
	if present.Total.Expected != 0 || present.Total.Tensors != int64(len(list)) || present.Total.Bytes != known.Total.Bytes {
		t.Errorf("%+v, with an architecture %+v", present.Total, known.Total)
	}
	if !slices.Equal(present.Layers, known.Layers) || len(present.Rows) != len(known.Rows) {
		t.Errorf("%d rows of %v, want %d of %v", len(present.Rows), present.Layers, len(known.Rows), known.Layers)
	}
	for i, r := range present.Rows {
		for k, c := range r.Cells {
			if c.Expected != 0 || c.Missing != 0 || c.Tensors != known.Rows[i].Cells[k].Tensors || c.DType != known.Rows[i].Cells[k].DType {
				t.Errorf("%s, layer %d: %+v", r.Component, k, c)
			}
		}
	}
}

// Numbers of layers that make a map of millions are refused, not laid out.
func TestMapIsBounded(t *testing.T) {
	config, list := golden(t, "llama")
	list = slices.Clone(list)
	for i := range int64(3000) {
		list = append(list, tensor.Info{Path: fmt.Sprintf("model.layers.%d.a%d.b%d.c.d.weight", i*999_999_999, i, i), DType: tensor.F32, Shape: tensor.Shape{1}, Bytes: 4})
	}
	with(t, config, list, func(s *registry.Snapshot, v *registry.Revision) {
		if _, err := Coverage(t.Context(), s, v, nil); err == nil || !strings.Contains(err.Error(), "no map") {
			t.Errorf("%v", err)
		}
		if _, err := Of(t.Context(), s, v, nil); err != nil {
			t.Error(err)
		}
	})
}
