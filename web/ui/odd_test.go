package ui

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"wreg/registry"
	"wreg/registry/tensor"
)

// Models that are nearly nothing, or nothing but what is not a number, or as large as numbers go,
// have their pages; what scripts read there is JSON, and no number was meant for a program.
func TestOddModels(t *testing.T) {
	path := filepath.Join(t.TempDir(), "registry.db")
	layers := func(n int, s func(i int) *tensor.Stats) (list []tensor.Info) {
		for i := range n {
			list = append(list, tensor.Info{Path: fmt.Sprintf("model.layers.%d.mlp.up_proj.weight", i), DType: tensor.F64, Shape: tensor.Shape{2}, Bytes: 16, Stats: s(i)})
		}
		return list
	}
	config, _ := checkpoint(t, "llama")
	for name, list := range map[string][]tensor.Info{
		"nothing": nil,
		"scalar":  {{Path: "s", DType: tensor.F32, Bytes: 4, Stats: &tensor.Stats{Min: 1, Max: 1, AbsMax: 1}}},
		"empty":   {{Path: "e", DType: tensor.F32, Shape: tensor.Shape{0, 5}, Stats: &tensor.Stats{}}},
		"nan":     layers(6, func(i int) *tensor.Stats { return &tensor.Stats{NaNs: int64(2 - i%3), Infs: int64(i % 3)} }),
		"extremes": layers(9, func(i int) *tensor.Stats {
			return &tensor.Stats{Min: -math.MaxFloat64, AbsMax: []float64{math.MaxFloat64, 5e-324, 5e-324, 5e-324}[i%4], Zeros: 1}
		}),
		"deep": layers(200, func(i int) *tensor.Stats { return &tensor.Stats{AbsMax: float64(i)} }),
	} {
		for _, config := range [][]byte{nil, config} {
			put(t, path, registry.Revision{Model: name, Config: config}, list)
		}
	}
	r := serve(t, path)
	data, wrong := regexp.MustCompile(`(?s)<script type="application/json"[^>]*>(.*?)</script>`), regexp.MustCompile(`>[^<]*(\+Inf|-Inf|NaN|&lt;nil&gt;|%!)[^<]*<`)
	for _, model := range []string{"nothing", "scalar", "empty", "nan", "extremes", "deep"} {
		for number := 1; number <= 2; number++ {
			for _, page := range []string{"", "/coverage", "/statistics", "/tensors", "/tensors?sort=-absmax", "/files", "/receipt", "/compare", "/compare?with=nan@1", "/compare?with=" + model + "@1", "/compare?with=nothing@2"} {
				address := fmt.Sprintf("/model/%s@%d%s", model, number, page)
				status, text := r.get(address)
				if status != http.StatusOK {
					t.Errorf("%s: %d\n%s", address, status, text)
				}
				for _, found := range data.FindAllStringSubmatch(text, -1) {
					var v any
					if err := json.Unmarshal([]byte(found[1]), &v); err != nil {
						t.Errorf("%s: %v in %.200s", address, err, found[1])
					}
				}
				if found := wrong.FindString(data.ReplaceAllString(text, "")); found != "" {
					t.Errorf("%s says %q", address, strings.TrimSpace(found))
				}
			}
			r.want(fmt.Sprintf("/part/model/%s@%d", model, number))
		}
	}
	r.want("/part/models", "nothing@1", "deep@2")
	r.want("/model/deep@1/compare?with=nothing@2", "nothing@2 holds no tensors", `<option value="nothing@2" selected>`)
}
