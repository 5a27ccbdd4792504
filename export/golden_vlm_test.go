package export_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"wreg/export"
	"wreg/registry/arch"
	"wreg/synth"
)

const goldensVLM = "../registry/arch/testdata/goldens-mlx-vlm"

// Every output tensor of every golden of mlx_vlm whose architecture is known has the name,
// dtype, shape and bytes that mlx_vlm.convert gives it, and config.json its keys and values.
func TestGoldensVLM(t *testing.T) {
	foreign := []string{"-ct-", "-mo-", "qwen3_vl-fp8"} // stored in forms of which registry/arch holds what is said
	eachGolden(t, goldensVLM, arch.MLXVLM, foreign, func(t *testing.T, name string, c *synth.Case, dir string) {
		for _, v := range c.Variants {
			o, ok := options(v.Flags)
			if !ok {
				t.Errorf("%v: flags unknown", v.Flags)
				continue
			}
			o.Target, o.Prove, o.NoSync = arch.MLXVLM, export.ProveSHA256, true
			out, r := exported(t, dir, o)
			compareTensors(t, fmt.Sprint(v.Flags), out, v, r)
			if !strings.Contains(name, "-int4") { // mlx_vlm's own loader cannot read what it writes of it: no quantization block
				compareConfig(t, fmt.Sprint(v.Flags), out, v)
			}
		}
	})
}

func compareConfig(t *testing.T, what, out string, v synth.Variant) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(out, "config.json"))
	if err != nil {
		t.Error(what, err)
		return
	}
	var got, want map[string]any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Error(what, err)
	}
	if err := json.Unmarshal(v.Config, &want); err != nil {
		t.Error(what, err)
	}
	for key := range want {
		if !reflect.DeepEqual(got[key], want[key]) {
			t.Errorf("%s: config.json: %s is %v, want %v", what, key, got[key], want[key])
		}
		delete(got, key)
	}
	for key := range got {
		t.Errorf("%s: config.json: %s is not in the golden", what, key)
	}
}

// A language model alone is what mlx_lm makes of it, under language_model. Where mlx_vlm has
// rules of its own, or fails, the model_type has another file, or none.
func TestTextVLM(t *testing.T) {
	eachGolden(t, goldens, arch.MLXVLM, nil, func(t *testing.T, _ string, c *synth.Case, dir string) {
		config, err := arch.ParseConfig(c.Config)
		if err != nil {
			t.Fatal(err)
		}
		if a, err := arch.FindIn(arch.MLXVLM, config); err != nil || a.Name != "text" {
			return // it has a file of its own
		}
		for _, v := range c.Variants {
			o, ok := options(v.Flags)
			if !ok || o.Quantize != nil && o.Quantize.Recipe != "" { // recipes are other ones
				continue
			}
			for i := range v.Tensors {
				v.Tensors[i].Path = "language_model." + v.Tensors[i].Path
			}
			o.Target, o.Prove, o.NoSync = arch.MLXVLM, export.ProveSHA256, true
			out, r := exported(t, dir, o)
			compareTensors(t, fmt.Sprint(v.Flags), out, v, r)
		}
	})
}
