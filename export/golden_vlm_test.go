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
	files, err := filepath.Glob(filepath.Join(goldensVLM, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		c, err := synth.Golden(file)
		if err != nil {
			t.Fatal(err)
		}
		config, err := arch.ParseConfig(c.Config)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := arch.FindIn(arch.MLXVLM, config); err != nil || strings.Contains(name, "-ct-") || strings.Contains(name, "-mo-") || strings.Contains(name, "qwen3_vl-fp8") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := c.Write(dir, synth.Options{ShardBytes: 300_000, Tokenizer: 128}); err != nil {
				t.Fatal(err)
			}
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
	files, err := filepath.Glob(filepath.Join(goldens, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		c, err := synth.Golden(file)
		if err != nil {
			t.Fatal(err)
		}
		config, err := arch.ParseConfig(c.Config)
		if err != nil {
			t.Fatal(err)
		}
		a, err := arch.FindIn(arch.MLXVLM, config)
		if err != nil || a.Name != "text" {
			continue
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := c.Write(dir, synth.Options{ShardBytes: 300_000, Tokenizer: 128}); err != nil {
				t.Fatal(err)
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
}
