package export

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"wreg/registry/arch"
	"wreg/registry/pyjson"
	"wreg/registry/tensor"
)

// TestRecomputed holds what is said of dropped frequencies that config.json does not give.
func TestRecomputed(t *testing.T) {
	const plain = `{"rope_theta": 10000`
	for _, c := range []struct {
		name, config string
		base, scale  float64
		dtype        tensor.DType
		round        float64
		says         string
	}{
		{"plain", plain + `}`, 1e4, 1, tensor.F32, 0, ""},
		{"a quarter", plain + `}`, 1e4, 4, tensor.F32, 0, `"a.inv_freq" is dropped because it is computed again, but it is not what config.json gives: it goes from 0.25`},
		{"another base", plain + `}`, 5e5, 1, tensor.F32, 0, "rope_theta 10000 gives 1 to"},
		{"bf16", plain + `}`, 1e4, 1, tensor.BF16, 1. / 256, ""},
		{"f16", plain + `}`, 1e4, 1, tensor.F16, 1. / 2048, ""},
		{"bf16 of another base", plain + `}`, 5e5, 1, tensor.BF16, 1. / 256, "goes from"},
		{"linear, unscaled", plain + `, "rope_scaling": {"type": "linear", "factor": 4}}`, 1e4, 1, tensor.F32, 0, ""},
		{"linear, scaled", plain + `, "rope_scaling": {"rope_type": "linear", "factor": 4.0}}`, 1e4, 4, tensor.F32, 0, ""},
		{"linear, by another factor", plain + `, "rope_scaling": {"type": "linear", "factor": 2}}`, 1e4, 4, tensor.F32, 0, "goes from"},
		{"each frequency its own", plain + `, "rope_scaling": {"rope_type": "llama3", "factor": 8}}`, 1e4, 4, tensor.F32, 0, ""},
		{"the base is the family's", `{"model_type": "x"}`, 1e6, 1, tensor.F32, 0, ""},
		{"neox", `{"rotary_emb_base": 1e6}`, 1e6, 1, tensor.F32, 0, ""},
		{"parameters", `{"text_config": {"rope_parameters": {"rope_theta": 1e6, "rope_type": "default"}}}`, 1e4, 1, tensor.F32, 0, "rope_theta 1e+06"},
		{"not a number", `{"rope_theta": NaN}`, 1e4, 1, tensor.F32, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			doc, err := pyjson.Parse([]byte(c.config))
			if err != nil {
				t.Fatal(err)
			}
			const n = 16
			least := math.Pow(c.base, -float64(n-1)/n) / c.scale * (1 + c.round)
			info := tensor.Info{DType: c.dtype, Shape: tensor.Shape{n}, Stats: &tensor.Stats{Max: 1 / c.scale, Min: least}}
			p := &Plan{doc: doc}
			var drops []arch.Drop
			for _, path := range []string{"a.inv_freq", "b.inv_freq", "c.masked_bias"} {
				info.Path = path
				p.source.tensors = append(p.source.tensors, info)
				drops = append(drops, arch.Drop{Path: path, Because: "recomputed"})
			}
			p.recomputed(drops)
			said := strings.Join(p.Notes, "\n")
			if !strings.Contains(said, c.says) || (c.says == "") != (said == "") || len(p.Notes) > 1 {
				t.Errorf("notes %q, want %q", p.Notes, c.says)
			}
			if c.says != "" && !strings.Contains(said, "1 more differ too") {
				t.Errorf("the second is not told of: %s", said)
			}
			for i := range p.source.tensors {
				p.source.tensors[i].Stats = nil
			}
			p.Notes = nil
			p.recomputed(drops)
			if said := fmt.Sprint(p.Notes); c.says != "" && !strings.Contains(said, "2 inv_freq tensors are dropped") {
				t.Errorf("without statistics: %s", said)
			}
		})
	}
}
