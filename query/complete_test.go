package query

import (
	"slices"
	"strings"
	"testing"

	"wreg/registry"
)

func TestComplete(t *testing.T) {
	r := store(t, testModels())
	for _, c := range []struct {
		text string
		want []string // the answer holds these
		not  []string
	}{
		{"", []string{"find", "gaps", "missing"}, []string{"where"}},
		{"mis", []string{"missing"}, []string{"find"}},
		{"find mlp.ex", []string{"find mlp.experts"}, []string{"find model"}},
		{"find mlp.experts.", []string{"find mlp.experts.{expert}"}, nil},
		{"find * in m", []string{"find * in moe"}, []string{"find * in gpt"}},
		{"find * in moe,g", []string{"find * in moe,gpt"}, nil},
		{"missing * against ", []string{"missing * against spec", "missing * against layers", "missing * against gpt"}, nil},
		{"missing * as ", []string{"missing * as mlx"}, []string{"missing * as moe"}},
		{"find * where abs", []string{"find * where abs(", "find * where absmax"}, nil},
		{"find * where rea", nil, []string{"find * where reason"}},
		{"gaps * where rea", []string{"gaps * where reason"}, nil},
		{"find * group ", []string{"find * group by"}, nil},
		{"find * group by layer hav", []string{"find * group by layer having"}, nil},
		{"find * wh", []string{"find * where"}, nil},
		{"find line", nil, []string{"find line\nbreak"}}, {"find star", nil, []string{"find star*"}}, {"find hé", []string{"find héé"}, nil},
		{"find model.layers.0.mlp.ex", []string{"find model.layers.0.mlp.experts"}, nil},
		{"find experts.*.up", []string{"find experts.*.up_proj"}, []string{"find experts.*.down_proj"}},
		{"find layers.{0,1}.mlp.experts.{0..3}.d", []string{"find layers.{0,1}.mlp.experts.{0..3}.down_proj"}, nil},
		{"find ^model.la", []string{"find ^model.layers"}, nil},
		{"find ^mo", []string{"find ^model"}, nil},
		{"find ^mlp.", nil, []string{"find ^mlp.experts"}},
		{"find *.bias, mlp.ex", []string{"find *.bias, mlp.experts"}, nil},
		{"find * where layer<ex", []string{"find * where layer<expert"}, nil},
		{"find * where layer < 3 and ex", []string{"find * where layer < 3 and expert"}, nil},
		{"find * where layer = 1 ", []string{"find * where layer = 1 and", "find * where layer = 1 group"}, []string{"find * where layer = 1 bytes"}},
		{"find * select sum(by", []string{"find * select sum(bytes"}, nil},
		{"find * order by bytes ", []string{"find * order by bytes desc", "find * order by bytes limit"}, []string{"find * order by bytes dtype"}},
	} {
		err := r.View(func(s *registry.Snapshot) error {
			got := Complete(t.Context(), c.text, s)
			for _, w := range c.want {
				if !slices.Contains(got, w) {
					t.Errorf("%q: %q is not among %q", c.text, w, got)
				}
			}
			for _, w := range got {
				if slices.Contains(c.not, w) || !strings.HasPrefix(w, c.text) {
					t.Errorf("%q: %q is offered", c.text, w)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
