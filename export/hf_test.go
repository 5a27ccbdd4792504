package export_test

import (
	"strings"
	"testing"

	"wreg/export"
	"wreg/registry/arch"
)

// Taken back to hf, config.json says how the weights are stored now: fp8 codes that
// became floats on the way are no codes any more; copied ones still are.
func TestConfigBack(t *testing.T) {
	src := written(t, "deepseek_v3-fp8")
	mlx, _ := exported(t, src, export.Options{NoSync: true})
	for from, want := range map[string]bool{mlx: false, src: true} {
		out, _ := exported(t, from, export.Options{NoSync: true, Target: arch.HF})
		if config := contents(t, out)["config.json"]; strings.Contains(config, "quantization_config") != want {
			t.Errorf("quantization_config of a copy of %s: %s", from, config)
		}
	}
}
