package query

import (
	"strings"
	"testing"

	"wreg/registry/tensor"
)

// Where there is no majority nothing is claimed: a stack of one or two layers beside one
// of three or more is not compared, and that is said.
func TestLoneStack(t *testing.T) {
	list := func(paths ...string) (out []tensor.Info) {
		for _, p := range paths {
			out = append(out, tensor.Info{Path: p, DType: tensor.F32, Shape: tensor.Shape{2}, Bytes: 8})
		}
		return out
	}
	long := []string{"encoder.layers.0.w", "encoder.layers.1.w", "encoder.layers.2.w", "encoder.layers.3.w"}
	for name, c := range map[string]struct {
		more []string
		rows string
		note bool
	}{
		"one layer":       {[]string{"decoder.layers.0.w", "decoder.layers.0.b"}, "", true},
		"two layers":      {[]string{"decoder.layers.0.w", "decoder.layers.0.b", "decoder.layers.1.w"}, "", true},
		"two lone stacks": {[]string{"a.layers.0.w", "b.layers.7.w", "w"}, "", true},
		"a stack within":  {[]string{"encoder.layers.0.blocks.0.w", "encoder.layers.1.blocks.0.w", "encoder.layers.2.blocks.0.w", "encoder.layers.3.blocks.0.w"}, "", false},
		"three layers": {[]string{"decoder.layers.0.w", "decoder.layers.0.b", "decoder.layers.1.w", "decoder.layers.2.w"},
			"decoder.layers.0.b | extra | only 1 of 3 layers have it", false},
	} {
		res := ask(t, store(t, map[string][]tensor.Info{"m": list(append(c.more, long...)...)}), "gaps in m against layers select path, status, reason")
		var rows []string
		for _, row := range res.Rows {
			rows = append(rows, strings.Join([]string{row[0].(string), row[1].(string), row[2].(string)}, " | "))
		}
		if got := strings.Join(rows, "\n"); got != c.rows {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, c.rows)
		}
		if notes := strings.Join(res.Notes, "\n"); strings.Contains(notes, "too few for a majority") != c.note {
			t.Errorf("%s: notes %q", name, notes)
		}
	}
}
