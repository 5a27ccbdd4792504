package query

import (
	"fmt"
	"testing"

	"wreg/registry/tensor"
)

// A tensor of NaN and infinities alone, or of nothing, has no least value: not 0.
func TestExtremesOfNothing(t *testing.T) {
	info := func(path string, rows int64, s *tensor.Stats) tensor.Info {
		return tensor.Info{Path: path, DType: tensor.F32, Shape: tensor.Shape{rows}, Bytes: 4 * rows, Stats: s}
	}
	nan, inf, empty := &tensor.Stats{NaNs: 4}, &tensor.Stats{NaNs: 1, Infs: 3}, &tensor.Stats{}
	zero, one := &tensor.Stats{Zeros: 4}, &tensor.Stats{Min: 1, Max: 1, AbsMax: 1}
	mixed := func(list ...*tensor.Stats) (infos []tensor.Info) {
		for i, s := range list {
			infos = append(infos, info([]string{"layers.0.w", "layers.1.w", "layers.2.w", "layers.3.w"}[i], 4, s))
		}
		return infos
	}
	r := store(t, map[string][]tensor.Info{
		"nan": mixed(nan, nan), "inf": {info("w", 4, inf)}, "empty": {info("w", 0, empty)}, "zero": mixed(zero, zero),
		"mixed": mixed(nan, zero, one, nil), "sizes": {info("layers.0.w", 4, zero), info("layers.1.w", 0, empty)},
	})
	for model, want := range map[string]string{
		"nan": "<nil> <nil> <nil> | 4\n<nil> <nil> <nil> | 4\n", "inf": "<nil> <nil> <nil> | 1\n", "empty": "<nil> <nil> <nil> | 0\n",
		"zero": "0 0 0 | 0\n0 0 0 | 0\n", "sizes": "0 0 0 | 0\n<nil> <nil> <nil> | 0\n",
		"mixed": "<nil> <nil> <nil> | 4\n0 0 0 | 0\n1 1 1 | 0\n<nil> <nil> <nil> | <nil>\n",
	} {
		got := ""
		for _, row := range ask(t, r, "find * in "+model+" select min, max, absmax, nans").Rows {
			for _, v := range row[:3] {
				got += fmt.Sprint(v) + " "
			}
			got += "| " + fmt.Sprint(row[3]) + "\n"
		}
		expect(t, model, got, want)
	}
	expect(t, "dead tensors", ask(t, r, "find * in * where absmax = 0 select model, path").text("model", "path"),
		"mixed@1 | layers.1.w\nsizes@1 | layers.0.w\nzero@1 | layers.0.w\nzero@1 | layers.1.w\n")
	expect(t, "least", ask(t, r, "find * in * group by model select model, min(min), count(absmax)").text("model", "min(min)", "count(absmax)"),
		"empty@1 | <nil> | 0\ninf@1 | <nil> | 0\nmixed@1 | 0 | 2\nnan@1 | <nil> | 0\nsizes@1 | 0 | 1\nzero@1 | 0 | 2\n")
}
