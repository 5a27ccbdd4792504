package arch_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"wreg/registry/arch"
	"wreg/registry/tensor"
)

// param is a row of testdata/mlx: what mlx_lm itself expects for a config, in
// module order (conformance/expected_params.py asks it).
type param struct {
	Name  string
	Shape tensor.Shape
	Cast  *bool           // false: the dtype cast leaves it alone
	Quant json.RawMessage // absent: not a quantizable module; else true, false or {bits, group_size}
}

func (p param) rule(t *testing.T) arch.QuantRule {
	if len(p.Quant) == 0 {
		return arch.QuantRule{}
	}
	r := arch.QuantRule{Eligible: true}
	var own struct {
		Bits  int
		Group int `json:"group_size"`
	}
	switch text := string(p.Quant); text {
	case "true", "{}":
	case "false", "null":
		r.Never = true
	default:
		if err := json.Unmarshal(p.Quant, &own); err != nil {
			t.Fatalf("%s: %v", p.Name, err)
		}
		r.Bits, r.GroupSize = own.Bits, own.Group
	}
	return r
}

// asked is a file of testdata/mlx: a config and what mlx_lm expects for it.
type asked struct {
	name   string
	arch   *arch.Arch
	config *arch.Config
	Config json.RawMessage
	Params []param
}

func everyAsked(t *testing.T) (all []asked) {
	t.Helper()
	files, err := filepath.Glob("testdata/mlx/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal("no testdata/mlx", err)
	}
	for _, f := range files {
		c := asked{name: strings.TrimSuffix(filepath.Base(f), ".json")}
		text, err := os.ReadFile(f)
		if err == nil {
			err = json.Unmarshal(text, &c)
		}
		if err == nil {
			c.config, err = arch.ParseConfig(c.Config)
		}
		if err == nil {
			c.arch, err = arch.Find(c.config)
		}
		if err != nil {
			t.Fatal(f, err)
		}
		all = append(all, c)
	}
	return all
}

// The mlx side of every .arch file is what mlx_lm expects: names, shapes, order,
// and the rules of its dtype cast and quantization; and a checkpoint that is
// already so resolves to itself.
func TestParams(t *testing.T) {
	for _, c := range everyAsked(t) {
		a, config := c.arch, c.config
		t.Run(c.name, func(t *testing.T) {
			declared, err := a.Expect(t.Context(), config, arch.MLX, nil)
			if err != nil {
				t.Fatal(err)
			}
			dtypes := map[string]tensor.DType{}
			for _, w := range declared {
				dtypes[w.Path] = w.DType
			}
			var list []tensor.Info
			for _, p := range c.Params {
				n, _ := p.Shape.Numel()
				dt := tensor.F32
				if d := dtypes[p.Name]; d != tensor.Invalid { // packed by nature
					dt = d
				}
				list = append(list, tensor.Info{Path: p.Name, DType: dt, Shape: p.Shape, Bytes: 4 * n})
			}
			src := newSource(list)
			want, err := a.Expect(t.Context(), config, arch.MLX, src)
			if err != nil {
				t.Fatal(err)
			}
			want = slices.DeleteFunc(want, func(w arch.Want) bool { // the checkpoint decides
				_, there := src.Lookup(w.Path)
				return w.Optional && !there
			})
			for i, w := range want {
				if i >= len(c.Params) {
					t.Fatalf("%s (%s) is more than mlx_lm's %d", w.Path, w.Rule, len(c.Params))
				}
				if p := c.Params[i]; p.Name != w.Path || !p.Shape.Equal(w.Shape) {
					t.Fatalf("tensor %d is %s %v (%s), mlx_lm's is %s %v", i, w.Path, w.Shape, w.Rule, p.Name, p.Shape)
				}
			}
			if len(want) != len(c.Params) {
				t.Fatalf("%d tensors, mlx_lm has %d; the next is %s", len(want), len(c.Params), c.Params[len(want)].Name)
			}
			r, err := a.Resolve(t.Context(), config, src)
			if err != nil {
				t.Fatal(err)
			}
			complain(t, r)
			for i, target := range r.Targets {
				p := c.Params[i]
				if target.Keep != (p.Cast != nil) {
					t.Errorf("%s: keep is %v (%s)", p.Name, target.Keep, target.Rule)
				}
				if strings.HasSuffix(p.Name, ".weight") && target.Quant != p.rule(t) {
					t.Errorf("%s %v: quantization rule %+v, mlx_lm's %+v (%s)", p.Name, p.Shape, target.Quant, p.rule(t), target.Rule)
				}
			}
		})
	}
}
