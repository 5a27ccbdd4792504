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
		{"find * where dtype = b", []string{"find * where dtype = bf16"}, []string{"find * where dtype = bytes"}},
		{"find * where layer < 4 and DType!=", []string{"find * where layer < 4 and DType!=bf16"}, []string{"find * where layer < 4 and DType!=bytes"}},
		{"find * where dtype in (f32, b", []string{"find * where dtype in (f32, bf16"}, []string{"find * where dtype in (f32, bytes"}},
		{"find * where dtype not in (", []string{"find * where dtype not in (bf16"}, nil},
		{"gaps where expected_dtype = ", []string{"gaps where expected_dtype = bf16"}, []string{"gaps where expected_dtype = path"}},
		{"gaps where status = ", []string{"gaps where status = missing", "gaps where status = changed"}, []string{"gaps where status = status"}},
		{"find * where bytes > nu", []string{"find * where bytes > numel"}, nil},
		{"find * in moe@", []string{"find * in moe@1"}, []string{"find * in moe"}},
		{"find * order by bytes ", []string{"find * order by bytes desc", "find * order by bytes limit"}, []string{"find * order by bytes dtype"}},
	} {
		err := r.View(func(s *registry.Snapshot) error {
			var got []string
			for _, g := range Complete(t.Context(), c.text, s, Options{}) {
				got = append(got, g.Text)
			}
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

// What is offered says what it is.
func TestCompleteDescribes(t *testing.T) {
	r := store(t, testModels())
	for text, want := range map[string]string{
		"mis":                         "those that should be there and are not",
		"find * wh":                   "keeps the rows for which it is true",
		"find * where absm":           "greatest magnitude of a finite value",
		"find * where lowe":           "text in lower case",
		"find * where layer < 3 an":   "both",
		"gaps against lay":            "what most layers have",
		"missing as mlx-":             "what mlx_vlm loads: the same, and what sees and hears",
		"find * order by bytes de":    "greatest first",
		"find mlp.experts.{expert}.u": "15 tensors",
		"find * in moe@":              "",
	} {
		err := r.View(func(s *registry.Snapshot) error {
			got := Complete(t.Context(), text, s, Options{Model: "moe"})
			if len(got) != 1 || got[0].About == "" || want != "" && got[0].About != want {
				t.Errorf("%q: %q, want one that is %q", text, got, want)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
