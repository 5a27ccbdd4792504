package export_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wreg/export"
)

// -d of what is stored in fp8 gives the floats it gives anyway, and takes the
// quantization out of config.json.
func TestDequantizeStored(t *testing.T) {
	src := written(t, "deepseek_v3-fp8")
	with, _ := exported(t, src, export.Options{NoSync: true, Dequantize: true})
	without, _ := exported(t, src, export.Options{NoSync: true})
	a, b := contents(t, with), contents(t, without)
	for name := range b {
		if strings.HasSuffix(name, ".safetensors") && a[name] != b[name] {
			t.Errorf("%s differs", name)
		}
	}
	config, err := os.ReadFile(filepath.Join(with, "config.json"))
	if err != nil || strings.Contains(string(config), "quantization") {
		t.Error(string(config), err)
	}
}
